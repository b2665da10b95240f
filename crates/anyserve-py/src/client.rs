//! `Client`: calls to a server, blocking or awaited.

use std::path::PathBuf;
use std::time::Duration;

use anyserve::client::{CallOptions, Client, ClientError};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_async_runtimes::tokio::{future_into_py, get_runtime};

use crate::admin;
use crate::capability::to_query;
use crate::client_objects::PyClientObjects;
use crate::errors;
use crate::message::{PyInferRequest, PyInferResponse};
use crate::response_stream::PyResponseStream;
use crate::staging;

type Declared = (String, String, Vec<i64>);

/// A connection to one server.
#[pyclass(frozen, module = "anyserve._core", name = "Client")]
pub(crate) struct PyClient(Client);

#[pymethods]
impl PyClient {
    /// With `shared_memory`, the agent's socket for that, large tensors are not sent but lie in its memory.
    #[new]
    #[pyo3(signature = (endpoint, shared_memory=None))]
    fn new(py: Python<'_>, endpoint: &str, shared_memory: Option<PathBuf>) -> PyResult<Self> {
        // The connection's tasks live on the runtime that all clients share.
        let _context = get_runtime().enter();
        let client = match shared_memory {
            None => Client::new(endpoint),
            Some(socket) => Client::sharing_memory(endpoint, socket),
        };
        client.map(Self).map_err(|error| errors::from_client(py, &error))
    }

    /// Calls a function, and puts the large contents of requests that it makes where the agent sees them.
    fn prepare<'py>(&self, make: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        staging::staged(&self.0, || make.call0())
    }

    /// The objects of the agent.
    #[getter]
    fn objects(&self) -> PyClientObjects {
        PyClientObjects(self.0.objects())
    }

    /// `HOST:PORT`.
    #[getter]
    fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    /// Sends a request and waits for the response.
    #[pyo3(signature = (request, capability=None, timeout=None))]
    fn infer(
        &self,
        py: Python<'_>,
        request: &PyInferRequest,
        capability: Option<&Bound<'_, PyDict>>,
        timeout: Option<f64>,
    ) -> PyResult<PyInferResponse> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout)?);
        let response = wait(py, self.0.infer(request, &options))?;
        PyInferResponse::from_proto(py, response)
    }

    /// Sends a request; the awaitable's result is the response.
    #[pyo3(signature = (request, capability=None, timeout=None))]
    fn infer_async<'py>(
        &self,
        py: Python<'py>,
        request: &PyInferRequest,
        capability: Option<&Bound<'py, PyDict>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout)?);
        let client = self.0.clone();
        future_into_py(py, async move {
            let result = client.infer(request, &options).await;
            Python::attach(|py| match result {
                Ok(response) => PyInferResponse::from_proto(py, response),
                Err(error) => Err(errors::from_client(py, &error)),
            })
        })
    }

    /// Sends a request; returns its responses as they come.
    #[pyo3(signature = (request, capability=None, timeout=None))]
    fn stream(
        &self,
        py: Python<'_>,
        request: &PyInferRequest,
        capability: Option<&Bound<'_, PyDict>>,
        timeout: Option<f64>,
    ) -> PyResult<PyResponseStream> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout)?);
        wait(py, self.0.stream(request, &options)).map(PyResponseStream::new)
    }

    /// The same; the awaitable's result is the responses.
    #[pyo3(signature = (request, capability=None, timeout=None))]
    fn stream_async<'py>(
        &self,
        py: Python<'py>,
        request: &PyInferRequest,
        capability: Option<&Bound<'py, PyDict>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout)?);
        let client = self.0.clone();
        future_into_py(py, async move {
            let result = client.stream(request, &options).await;
            result
                .map(PyResponseStream::new)
                .map_err(|error| Python::attach(|py| errors::from_client(py, &error)))
        })
    }

    /// True if the server has a worker that is ready.
    #[pyo3(signature = (timeout=None))]
    fn is_server_ready(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait(py, self.0.is_server_ready(to_timeout(timeout)?))
    }

    /// True if the server has a worker that is ready for the model.
    #[pyo3(signature = (model_name, timeout=None))]
    fn is_model_ready(&self, py: Python<'_>, model_name: &str, timeout: Option<f64>) -> PyResult<bool> {
        wait(py, self.0.is_model_ready(model_name, to_timeout(timeout)?))
    }

    /// The pools, workers and queues of the agent, as dicts and lists.
    #[pyo3(signature = (timeout=None))]
    fn status<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        let status = wait(py, self.0.status(to_timeout(timeout)?))?;
        admin::to_dict(py, &status)
    }

    /// The same; the awaitable's result is the dict.
    #[pyo3(signature = (timeout=None))]
    fn status_async<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let (client, timeout) = (self.0.clone(), to_timeout(timeout)?);
        future_into_py(py, async move {
            let status = client.status(timeout).await;
            Python::attach(|py| match status {
                Ok(status) => admin::to_dict(py, &status).map(Bound::unbind),
                Err(error) => Err(errors::from_client(py, &error)),
            })
        })
    }

    /// The declared inputs and outputs of a model, each a list of (name, datatype, shape).
    #[pyo3(signature = (model_name, timeout=None))]
    fn model_metadata(
        &self,
        py: Python<'_>,
        model_name: &str,
        timeout: Option<f64>,
    ) -> PyResult<(Vec<Declared>, Vec<Declared>)> {
        let metadata = wait(py, self.0.model_metadata(model_name, to_timeout(timeout)?))?;
        let declared = |tensors: Vec<anyserve::proto::inference::model_metadata_response::TensorMetadata>| {
            tensors.into_iter().map(|tensor| (tensor.name, tensor.datatype, tensor.shape)).collect()
        };
        Ok((declared(metadata.inputs), declared(metadata.outputs)))
    }
}

fn options(
    py: Python<'_>,
    capability: Option<&Bound<'_, PyDict>>,
    timeout: Option<f64>,
) -> PyResult<CallOptions> {
    let capability = capability.map(|pairs| to_query(py, pairs)).transpose()?;
    Ok(CallOptions { capability, timeout: to_timeout(timeout)?, ..CallOptions::default() })
}

pub(crate) fn to_timeout(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let convert = |seconds: f64| match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err(PyValueError::new_err(format!("timeout {seconds} is not a positive number of seconds"))),
    };
    seconds.map(convert).transpose()
}

/// Waits without the GIL; Ctrl-C is heard at once.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    call: impl Future<Output = Result<T, ClientError>> + Send,
) -> PyResult<T> {
    let mut call = std::pin::pin!(call);
    loop {
        let result = py.detach(|| {
            get_runtime().block_on(async { tokio::time::timeout(SIGNAL_CHECK, call.as_mut()).await })
        });
        match result {
            Ok(result) => return result.map_err(|error| errors::from_client(py, &error)),
            Err(_) => py.check_signals()?,
        }
    }
}

/// How often a waiting call looks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);
