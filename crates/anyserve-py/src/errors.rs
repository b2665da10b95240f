//! Rust errors to the exceptions of `anyserve.errors`, and the other way round.

use anyserve::client::ClientError;
use anyserve::worker::FailureKind;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// An exception class of `anyserve.errors`, by its name.
pub(crate) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("anyserve.errors")?.getattr(name)
}

/// An exception of that class with that message.
pub(crate) fn new(py: Python<'_>, name: &str, message: String) -> PyErr {
    match class(py, name).and_then(|class| class.call1((message,))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The exception for an error that the client met.
pub(crate) fn from_client(py: Python<'_>, error: &ClientError) -> PyErr {
    let message = error.to_string();
    let (code, retry_after) = match error {
        ClientError::Endpoint(_) => return pyo3::exceptions::PyValueError::new_err(message),
        ClientError::Status(status) => {
            let hint = status.metadata().get("retry-after-ms");
            (status.code() as i32, hint.and_then(|hint| hint.to_str().ok()?.parse::<f64>().ok()))
        }
        ClientError::Unreachable { .. } => (UNAVAILABLE, None),
        ClientError::Timeout(_) => (DEADLINE_EXCEEDED, None),
        _ => (INTERNAL, None),
    };
    let build = || {
        let retry_after = retry_after.map(|millis| millis / 1000.0);
        class(py, "from_code")?.call1((code, message, retry_after))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

// The gRPC status codes of what the client itself reports.
const DEADLINE_EXCEEDED: i32 = 4;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;

/// How a handler's exception answers the request: the code it carries, or INTERNAL with its type.
pub(crate) fn to_failure(py: Python<'_>, error: &PyErr) -> (FailureKind, String) {
    let value = error.value(py);
    let text = value.str().map_or_else(|_| "(no message)".to_owned(), |text| text.to_string());
    if is_request_error(py, value).unwrap_or(false)
        && let Ok(code) = value.getattr("code").and_then(|code| code.getattr("name"))
        && let Ok(code) = code.extract::<String>()
        && let Some(kind) = FailureKind::from_str_name(&code)
    {
        return (kind, text);
    }
    let name = error.get_type(py).qualname().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    (FailureKind::Internal, format!("{name}: {text}"))
}

/// The exception with its traceback, as Python prints it.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let lines = py.import("traceback")?.call_method1("format_exception", (error.value(py),))?;
        Ok(lines.extract::<Vec<String>>()?.concat())
    };
    format().unwrap_or_else(|_| error.to_string())
}

fn is_request_error(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    value.is_instance(CLASS.import(py, "anyserve.errors", "RequestError")?)
}
