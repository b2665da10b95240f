//! Rust errors to the exceptions of `anyserve.errors`, and the other way round.

use std::time::Duration;

use anyserve::client::ClientError;
use anyserve::worker::{Failure, FailureKind};
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
        ClientError::Endpoint(_) | ClientError::Header(_) => {
            return pyo3::exceptions::PyValueError::new_err(message);
        }
        ClientError::Status(status) => {
            let hint = status.metadata().get("retry-after-ms");
            (status.code() as i32, hint.and_then(|hint| hint.to_str().ok()?.parse::<f64>().ok()))
        }
        ClientError::Capability(_) => return new(py, "CapabilityError", message),
        ClientError::NoReplica(_) => (NOT_FOUND, None),
        ClientError::Unreachable { .. } | ClientError::Lost { .. } | ClientError::NoRegistry { .. } => {
            (UNAVAILABLE, None)
        }
        ClientError::Timeout(_) => (DEADLINE_EXCEEDED, None),
        ClientError::NoSharedMemory { .. } => (FAILED_PRECONDITION, None),
        _ => (INTERNAL, None),
    };
    let build = || {
        let retry_after = retry_after.map(|millis| millis / 1000.0);
        class(py, "from_code")?.call1((code, message, retry_after))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

/// The exception for what the agent said to a call of a handler.
pub(crate) fn from_failure(py: Python<'_>, failure: &Failure) -> PyErr {
    let build = || {
        let retry_after = failure.retry_after.map(|after| after.as_secs_f64());
        let code =
            py.import("anyserve.status")?.getattr("StatusCode")?.getattr(failure.kind.as_str_name())?;
        class(py, "from_code")?.call1((code, failure.message.clone(), retry_after))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

// The gRPC status codes of what the client itself reports.
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const FAILED_PRECONDITION: i32 = 9;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;

/// How a handler's exception answers the request: with the code it carries, or INTERNAL and its type.
pub(crate) fn to_failure(py: Python<'_>, error: &PyErr) -> Failure {
    let value = error.value(py);
    let text = value.str().map_or_else(|_| "(no message)".to_owned(), |text| text.to_string());
    let traceback = traceback(py, error);
    let request_error = is_request_error(py, value).unwrap_or(false);
    if request_error && let Some(kind) = kind(value) {
        let hint = value.getattr("retry_after").and_then(|hint| hint.extract::<Option<f64>>());
        let retry_after = hint.ok().flatten().and_then(|hint| Duration::try_from_secs_f64(hint).ok());
        return Failure { kind, message: text, traceback, retry_after };
    }
    let name = error.get_type(py).qualname().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    Failure { traceback, ..Failure::new(FailureKind::Internal, format!("{name}: {text}")) }
}

/// The status that a `RequestError` carries.
fn kind(error: &Bound<'_, PyAny>) -> Option<FailureKind> {
    let name = error.getattr("code").and_then(|code| code.getattr("name")).ok()?;
    FailureKind::from_str_name(&name.extract::<String>().ok()?)
}

/// The exception with its traceback, as Python prints it.
fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let parts = (error.get_type(py), error.value(py), error.traceback(py));
        let lines = py.import("traceback")?.call_method1("format_exception", parts)?;
        Ok(lines.extract::<Vec<String>>()?.concat())
    };
    format().unwrap_or_else(|_| error.to_string())
}

fn is_request_error(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    value.is_instance(CLASS.import(py, "anyserve.errors", "RequestError")?)
}
