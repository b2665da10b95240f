//! `Call`: a request that a handler makes of other workers.

use std::sync::OnceLock;

use anyserve::worker::Calls;
use anyserve::worker::calls::{Ask, Call, Response};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::client::to_timeout;
use crate::message::{PyInferRequest, PyInferResponse};
use crate::{current, errors};

/// What the handlers of this process may ask for.
static CALLS: OnceLock<Calls> = OnceLock::new();

/// From now on this process is a worker.
pub(crate) fn set(calls: Calls) {
    // A process is one worker.
    let _ = CALLS.set(calls);
}

/// A call that is under way; it is cancelled when nobody refers to it.
#[pyclass(frozen, module = "anyserve._core", name = "Call")]
pub(crate) struct PyCall(Call);

#[pymethods]
impl PyCall {
    /// Makes a call. With `watched`, `Worker.drain` says when something has come for it.
    #[new]
    #[pyo3(signature = (request, requests=None, timeout=None, endpoint=None, *, stream=false, watched=false))]
    fn new(
        py: Python<'_>,
        request: &PyInferRequest,
        requests: Option<Vec<u64>>,
        timeout: Option<f64>,
        endpoint: Option<String>,
        stream: bool,
        watched: bool,
    ) -> PyResult<Self> {
        let ask = Ask { stream, ..ask(py, request, requests, timeout, endpoint)? };
        let call = calls()?.begin(ask, watched);
        call.map(Self).map_err(|failure| errors::from_failure(py, &failure))
    }

    /// As `Worker.drain` names it.
    #[getter]
    fn id(&self) -> u64 {
        self.0.id()
    }

    /// Waits for the next response; None after the last.
    fn next(&self, py: Python<'_>) -> PyResult<Option<PyInferResponse>> {
        let next = py.detach(|| self.0.next()).map_err(|failure| errors::from_failure(py, &failure))?;
        next.map(|response| to_python(py, response)).transpose()
    }

    /// Whether there is something, and if so the same.
    fn try_next(&self, py: Python<'_>) -> PyResult<(bool, Option<PyInferResponse>)> {
        let next = self.0.try_next().map_err(|failure| errors::from_failure(py, &failure))?;
        let Some(next) = next else {
            return Ok((false, None));
        };
        Ok((true, next.map(|response| to_python(py, response)).transpose()?))
    }

    /// Nobody waits for it any longer; who does gets nothing.
    fn cancel(&self) {
        self.0.cancel();
    }
}

/// Makes a call that has one response, and waits for it.
#[pyfunction]
#[pyo3(signature = (request, requests=None, timeout=None, endpoint=None))]
pub(crate) fn call(
    py: Python<'_>,
    request: &PyInferRequest,
    requests: Option<Vec<u64>>,
    timeout: Option<f64>,
    endpoint: Option<String>,
) -> PyResult<PyInferResponse> {
    let ask = ask(py, request, requests, timeout, endpoint)?;
    let calls = calls()?;
    let response = py.detach(|| calls.infer(ask)).map_err(|failure| errors::from_failure(py, &failure))?;
    to_python(py, response)
}

/// What is asked for, by the handler of these requests, or of those that it works on.
fn ask(
    py: Python<'_>,
    request: &PyInferRequest,
    requests: Option<Vec<u64>>,
    timeout: Option<f64>,
    endpoint: Option<String>,
) -> PyResult<Ask> {
    let mut request = request.to_proto(py)?;
    let contents = std::mem::take(&mut request.raw_input_contents);
    let callers = requests.map_or_else(|| current::requests(py), Ok)?;
    Ok(Ask { request, contents, timeout: to_timeout(timeout)?, callers, stream: false, endpoint })
}

fn calls() -> PyResult<&'static Calls> {
    CALLS.get().ok_or_else(|| {
        PyRuntimeError::new_err("this process is no worker of an agent: calls are for handlers; use a Client")
    })
}

fn to_python(py: Python<'_>, (mut response, contents): Response) -> PyResult<PyInferResponse> {
    response.raw_output_contents = contents;
    anyserve::proto::tensor::normalize_response(&mut response)
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    PyInferResponse::from_proto(py, response)
}
