//! Where a handler that streams sends its responses.

use std::sync::Arc;

use anyserve::worker::{Failure, Request, SendError};
use bytes::Bytes;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::call::LARGE_REPLY;
use crate::errors;
use crate::message::PyInferResponse;

/// A request whose responses are streamed.
#[derive(Debug)]
pub(crate) struct Outlet(Request);

impl Outlet {
    pub(crate) fn new(request: Request) -> Arc<Self> {
        Arc::new(Self(request))
    }

    /// Sends one response; waits without the GIL until the client has taken enough of those before it.
    pub(crate) fn send(&self, py: Python<'_>, response: &Bound<'_, PyInferResponse>) -> PyResult<()> {
        let (response, contents) = response.try_borrow()?.to_proto(py)?;
        let sent = if is_large(&contents) {
            py.detach(|| self.0.send(response, &contents))
        } else {
            // As a rule there is room, and the GIL need not change hands.
            match self.0.try_send(response, &contents) {
                Ok(Some(response)) => py.detach(|| self.0.send(response, &contents)),
                sent => sent.map(drop),
            }
        };
        sent.map_err(|error| raise(py, &error))
    }

    /// The same without waiting: false if the client has to take more first.
    pub(crate) fn try_send(&self, py: Python<'_>, response: &Bound<'_, PyInferResponse>) -> PyResult<bool> {
        let (response, contents) = response.try_borrow()?.to_proto(py)?;
        let unsent = if is_large(&contents) {
            py.detach(|| self.0.try_send(response, &contents))
        } else {
            self.0.try_send(response, &contents)
        };
        unsent.map(|unsent| unsent.is_none()).map_err(|error| raise(py, &error))
    }

    /// True once nobody waits for the stream.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Lets the client know that it has everything, while the handler goes on.
    pub(crate) fn close(&self) {
        self.0.close();
    }

    /// The handler is done.
    pub(crate) fn finish(&self) {
        self.0.finish();
    }

    /// The handler failed.
    pub(crate) fn fail(&self, failure: Failure) {
        self.0.fail(failure);
    }
}

/// True for what is better written without the GIL.
fn is_large(contents: &[Bytes]) -> bool {
    contents.iter().map(Bytes::len).sum::<usize>() >= LARGE_REPLY
}

fn raise(py: Python<'_>, error: &SendError) -> PyErr {
    match error {
        SendError::Closed => PyRuntimeError::new_err(error.to_string()),
        SendError::Cancelled => errors::new(py, "CancelledError", error.to_string()),
        SendError::Stalled(_) => errors::new(py, "ResourceExhaustedError", error.to_string()),
        SendError::Invalid(message) => PyValueError::new_err(message.clone()),
    }
}

/// The responses of one request, for a handler declared with `stream=True`.
#[pyclass(frozen, module = "anyserve", name = "Stream")]
pub(crate) struct PyStream(pub(crate) Arc<Outlet>);

#[pymethods]
impl PyStream {
    /// Sends one response. Waits while the client is too far behind.
    fn send(&self, py: Python<'_>, response: &Bound<'_, PyInferResponse>) -> PyResult<()> {
        self.0.send(py, response)
    }

    /// Ends the stream before the handler returns; nothing can be sent afterwards.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}
