//! `ResponseStream`: the responses to one request, as they come to a client.

use std::sync::Arc;

use anyserve::client::ClientError;
use anyserve::proto::inference::ModelInferResponse;
use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::{future_into_py, get_runtime};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::client::wait;
use crate::errors;
use crate::message::PyInferResponse;
use crate::target::Responses;

/// The responses to one request; none is left once it was closed.
#[pyclass(frozen, module = "anyserve._core", name = "ResponseStream")]
pub(crate) struct PyResponseStream(Arc<Shared>);

struct Shared {
    responses: Mutex<Option<Responses>>,
    closed: CancellationToken,
}

impl PyResponseStream {
    pub(crate) fn new(responses: Responses) -> Self {
        let (responses, closed) = (Mutex::new(Some(responses)), CancellationToken::new());
        Self(Arc::new(Shared { responses, closed }))
    }
}

impl Shared {
    async fn next(&self) -> Result<Option<ModelInferResponse>, ClientError> {
        let next = async {
            match &mut *self.responses.lock().await {
                Some(responses) => responses.next().await.transpose(),
                None => Ok(None),
            }
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Ok(None),
            next = next => next,
        }
    }
}

#[pymethods]
impl PyResponseStream {
    /// Waits for the next response; None after the last.
    fn next(&self, py: Python<'_>) -> PyResult<Option<PyInferResponse>> {
        wait(py, self.0.next())?.map(|response| PyInferResponse::from_proto(py, response)).transpose()
    }

    /// The same; the awaitable's result is the response.
    fn next_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let shared = Arc::clone(&self.0);
        future_into_py(py, async move {
            let next = shared.next().await;
            Python::attach(|py| match next {
                Ok(response) => {
                    response.map(|response| PyInferResponse::from_proto(py, response)).transpose()
                }
                Err(error) => Err(errors::from_client(py, &error)),
            })
        })
    }

    /// Cancels what is left of the request; who waits for a response gets none.
    fn close(&self) {
        self.0.closed.cancel();
        let shared = Arc::clone(&self.0);
        // Whoever reads lets go in a moment.
        get_runtime().spawn(async move { *shared.responses.lock().await = None });
    }
}
