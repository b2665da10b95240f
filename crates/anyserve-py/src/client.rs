//! `Client`: calls to a server, blocking or awaited.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyserve::client::blocking::Blocking;
use anyserve::client::fleet::{FleetOptions, HashOn};
use anyserve::client::{CallOptions, Client, ClientError, FleetClient};
use anyserve::core::replicas::balance::Policy;
use anyserve::registry::open;
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
use crate::target::{Place, Target};
pub(crate) use crate::waiting::wait;
use crate::waiting::wait_on;

type Declared = (String, String, Vec<i64>);

/// A client of one server, or of the replicas of a registry.
#[pyclass(frozen, module = "anyserve._core", name = "Client")]
pub(crate) struct PyClient {
    /// Its connections are driven by the threads that call.
    blocking: Blocking,
    local: Target,
    /// Its connections are driven by the runtime that all clients share.
    shared: Target,
    /// The one above does not send large tensors.
    shares_memory: bool,
}

#[pymethods]
impl PyClient {
    /// With `shared_memory`, the agent's socket for that, large tensors are not sent but lie in its memory.
    #[new]
    #[pyo3(signature = (endpoint, shared_memory=None))]
    fn new(py: Python<'_>, endpoint: &str, shared_memory: Option<PathBuf>) -> PyResult<Self> {
        let raise = |error| errors::from_client(py, &error);
        let blocking = Blocking::new()?;
        let local = blocking.within(|| Client::new(endpoint)).map_err(raise)?;
        // The connection's tasks live on the runtime that all clients share.
        let _context = get_runtime().enter();
        let has_memory = shared_memory.is_some();
        let shared = match shared_memory {
            None => Client::new(endpoint),
            Some(socket) => Client::sharing_memory(endpoint, socket),
        };
        let shared = shared.map_err(raise)?;
        Ok(Self {
            blocking,
            local: Target::Server(Box::new(local)),
            shared: Target::Server(Box::new(shared)),
            shares_memory: has_memory,
        })
    }

    /// Calls a function, and puts the large contents of requests that it makes where the agent sees them.
    fn prepare<'py>(&self, make: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match &self.shared {
            Target::Server(client) => staging::staged(client, || make.call0()),
            Target::Fleet(_) => make.call0(),
        }
    }

    /// A client of the replicas of a registry.
    #[staticmethod]
    #[pyo3(signature = (registry, capability=None, policy="power_of_two", hash_on=None, retry_on_failure=false))]
    fn discover(
        py: Python<'_>,
        registry: &str,
        capability: Option<&Bound<'_, PyDict>>,
        policy: &str,
        hash_on: Option<&str>,
        retry_on_failure: bool,
    ) -> PyResult<Self> {
        let policy = policy.parse::<Policy>().map_err(to_value_error)?;
        let hash_on = hash_on.map(str::parse::<HashOn>).transpose().map_err(to_value_error)?;
        let capability = capability.map(|pairs| to_query(py, pairs)).transpose()?;
        let mut options = FleetOptions::new(policy, hash_on).map_err(to_value_error)?;
        options.capability = capability;
        options.retry_on_failure = retry_on_failure;
        let blocking = Blocking::new()?;
        // The registry is followed, and connections are driven, on the runtime that all clients share.
        let _context = get_runtime().enter();
        let shared = FleetClient::new(open(registry).map_err(to_value_error)?, options);
        let local = Target::Fleet(shared.with_own_connections());
        Ok(Self { blocking, local, shared: Target::Fleet(shared), shares_memory: false })
    }

    /// The objects of the agent; in a fleet, of one of its agents.
    #[getter]
    fn objects(&self, py: Python<'_>) -> PyResult<PyClientObjects> {
        match &self.shared {
            Target::Server(client) => Ok(PyClientObjects(client.objects())),
            Target::Fleet(fleet) => wait(py, fleet.objects(None)).map(PyClientObjects),
        }
    }

    /// The same; the awaitable's result are the objects.
    fn objects_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let target = self.shared.clone();
        future_into_py(py, async move {
            let objects = match target {
                Target::Server(client) => Ok(client.objects()),
                Target::Fleet(fleet) => fleet.objects(None).await,
            };
            objects.map(PyClientObjects).map_err(|error| Python::attach(|py| errors::from_client(py, &error)))
        })
    }

    /// `HOST:PORT` and replica id of where the last request went; none before the first.
    #[getter]
    fn place(&self) -> Option<Place> {
        // Both know what either did.
        self.shared.place()
    }

    /// The same; before the first request, of where it may go.
    #[pyo3(signature = (timeout=None))]
    fn resolve(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Place> {
        self.wait(py, self.local.resolve(to_timeout(timeout)?))
    }

    /// The same; the awaitable's result is the place.
    #[pyo3(signature = (timeout=None))]
    fn resolve_async<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let (target, timeout) = (self.shared.clone(), to_timeout(timeout)?);
        future_into_py(py, async move {
            let place = target.resolve(timeout).await;
            place.map_err(|error| Python::attach(|py| errors::from_client(py, &error)))
        })
    }

    /// Sends a request and waits for the response.
    #[pyo3(signature = (request, capability=None, timeout=None, headers=None))]
    fn infer(
        &self,
        py: Python<'_>,
        request: &PyInferRequest,
        capability: Option<&Bound<'_, PyDict>>,
        timeout: Option<f64>,
        headers: Option<HashMap<String, String>>,
    ) -> PyResult<PyInferResponse> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout, headers)?);
        let response = if self.shares_memory {
            // What lies in the agent's memory is given back by a task that runs whether anybody calls or not.
            wait(py, self.shared.infer(request, &options))?
        } else {
            self.wait(py, self.local.infer(request, &options))?
        };
        PyInferResponse::from_proto(py, response)
    }

    /// Sends a request; the awaitable's result is the response.
    #[pyo3(signature = (request, capability=None, timeout=None, headers=None))]
    fn infer_async<'py>(
        &self,
        py: Python<'py>,
        request: &PyInferRequest,
        capability: Option<&Bound<'py, PyDict>>,
        timeout: Option<f64>,
        headers: Option<HashMap<String, String>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout, headers)?);
        let client = self.shared.clone();
        future_into_py(py, async move {
            let result = client.infer(request, &options).await;
            Python::attach(|py| match result {
                Ok(response) => PyInferResponse::from_proto(py, response),
                Err(error) => Err(errors::from_client(py, &error)),
            })
        })
    }

    /// Sends a request; returns its responses as they come.
    #[pyo3(signature = (request, capability=None, timeout=None, headers=None))]
    fn stream(
        &self,
        py: Python<'_>,
        request: &PyInferRequest,
        capability: Option<&Bound<'_, PyDict>>,
        timeout: Option<f64>,
        headers: Option<HashMap<String, String>>,
    ) -> PyResult<PyResponseStream> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout, headers)?);
        wait(py, self.shared.stream(request, &options)).map(PyResponseStream::new)
    }

    /// The same; the awaitable's result is the responses.
    #[pyo3(signature = (request, capability=None, timeout=None, headers=None))]
    fn stream_async<'py>(
        &self,
        py: Python<'py>,
        request: &PyInferRequest,
        capability: Option<&Bound<'py, PyDict>>,
        timeout: Option<f64>,
        headers: Option<HashMap<String, String>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (request, options) = (request.to_proto(py)?, options(py, capability, timeout, headers)?);
        let client = self.shared.clone();
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
        self.wait(py, self.local.is_server_ready(to_timeout(timeout)?))
    }

    /// True if the server has a worker that is ready for the model.
    #[pyo3(signature = (model_name, timeout=None))]
    fn is_model_ready(&self, py: Python<'_>, model_name: &str, timeout: Option<f64>) -> PyResult<bool> {
        self.wait(py, self.local.is_model_ready(model_name, to_timeout(timeout)?))
    }

    /// The pools, workers and queues of the agent, as dicts and lists.
    #[pyo3(signature = (timeout=None))]
    fn status<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.wait(py, self.local.status(to_timeout(timeout)?))?;
        admin::to_dict(py, &status)
    }

    /// The same; the awaitable's result is the dict.
    #[pyo3(signature = (timeout=None))]
    fn status_async<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let (client, timeout) = (self.shared.clone(), to_timeout(timeout)?);
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
        let metadata = self.wait(py, self.local.model_metadata(model_name, to_timeout(timeout)?))?;
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
    headers: Option<HashMap<String, String>>,
) -> PyResult<CallOptions> {
    let capability = capability.map(|pairs| to_query(py, pairs)).transpose()?;
    let headers = headers.into_iter().flatten().collect();
    Ok(CallOptions { capability, timeout: to_timeout(timeout)?, headers })
}

fn to_value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub(crate) fn to_timeout(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let convert = |seconds: f64| match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err(PyValueError::new_err(format!("timeout {seconds} is not a positive number of seconds"))),
    };
    seconds.map(convert).transpose()
}

impl PyClient {
    /// Waits for a call on the connection that the calling threads drive.
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        call: impl Future<Output = Result<T, ClientError>> + Send,
    ) -> PyResult<T> {
        wait_on(py, Some(&self.blocking), call)
    }
}
