//! `Admin`: an operator's view of an agent.

use std::path::PathBuf;
use std::time::Duration;

use anyserve::client::objects::Info;
use anyserve::client::{Admin, ClientError};
use anyserve::proto::admin::{Lease, Pool, StatusResponse, Worker};
use anyserve::proto::objects::Object;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_async_runtimes::tokio::get_runtime;

use crate::errors;

/// A connection to the socket by which an agent is steered.
#[pyclass(frozen, module = "anyserve._core", name = "Admin")]
pub(crate) struct PyAdmin(Admin);

#[pymethods]
impl PyAdmin {
    #[new]
    fn new(py: Python<'_>, socket: PathBuf) -> PyResult<Self> {
        let _context = get_runtime().enter();
        Admin::new(&socket).map(Self).map_err(|error| errors::from_client(py, &error))
    }

    /// Everything that an operator sees, as dicts and lists.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = wait(py, self.0.status())?;
        to_dict(py, &status)
    }

    /// Keeps at least `min` workers of a pool and at most `max`, or exactly `min`.
    #[pyo3(signature = (pool, min, max=None))]
    fn scale(&self, py: Python<'_>, pool: &str, min: u32, max: Option<u32>) -> PyResult<String> {
        wait(py, self.0.scale(pool, min, max))
    }

    /// Puts the workers of a pool to sleep.
    fn sleep(&self, py: Python<'_>, pool: &str) -> PyResult<String> {
        wait(py, self.0.sleep(pool))
    }

    /// Wakes the workers of a pool.
    fn wake(&self, py: Python<'_>, pool: &str) -> PyResult<String> {
        wait(py, self.0.wake(pool))
    }

    /// Keeps the workers of a pool from being evicted, or not any more.
    fn pin(&self, py: Python<'_>, pool: &str, pinned: bool) -> PyResult<String> {
        wait(py, self.0.pin(pool, pinned))
    }

    /// Lets a pool finish what it has, and take nothing new.
    fn drain(&self, py: Python<'_>, pool: &str) -> PyResult<String> {
        wait(py, self.0.drain(pool))
    }

    /// The objects, the leases that are at least so many seconds old, and what is used, as dicts and lists.
    fn objects<'py>(&self, py: Python<'py>, lease_age: f64) -> PyResult<Bound<'py, PyDict>> {
        let age = Duration::try_from_secs_f64(lease_age)
            .map_err(|_| PyValueError::new_err(format!("{lease_age} is not a number of seconds")))?;
        let found = wait(py, self.0.objects(age))?;
        let dict = PyDict::new(py);
        dict.set_item("size", found.size)?;
        dict.set_item("used", found.used)?;
        dict.set_item("pinned", found.pinned)?;
        let objects = found.objects.into_iter().map(|object| object_to_dict(py, object));
        dict.set_item("objects", objects.collect::<PyResult<Vec<_>>>()?)?;
        let leases = found.leases.iter().map(|lease| lease_to_dict(py, lease));
        dict.set_item("leases", leases.collect::<PyResult<Vec<_>>>()?)?;
        Ok(dict)
    }

    /// What is known of an object, by its id, its reference or its key.
    fn stat_object<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        let object = wait(py, self.0.stat_object(name))?;
        object_to_dict(py, object)
    }

    /// Deletes an object.
    fn delete_object(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        wait(py, self.0.delete_object(name))
    }

    /// Lets the agent read its configuration again.
    #[pyo3(signature = (*, all=false))]
    fn reload(&self, py: Python<'_>, all: bool) -> PyResult<String> {
        wait(py, self.0.reload(all))
    }
}

fn wait<T: Send>(py: Python<'_>, call: impl Future<Output = Result<T, ClientError>> + Send) -> PyResult<T> {
    py.detach(|| get_runtime().block_on(call)).map_err(|error| errors::from_client(py, &error))
}

pub(crate) fn to_dict<'py>(py: Python<'py>, status: &StatusResponse) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("version", &status.version)?;
    dict.set_item("address", &status.address)?;
    dict.set_item("pid", status.pid)?;
    dict.set_item("uptime", status.uptime_seconds)?;
    dict.set_item("resident_memory", status.resident_memory)?;
    dict.set_item("draining", status.draining)?;
    let resources = PyDict::new(py);
    for resource in &status.resources {
        let (total, used) = (resource.total, resource.used);
        resources
            .set_item(&resource.name, [("total", total), ("used", used)].into_iter().collect::<Counts>())?;
    }
    dict.set_item("resources", resources)?;
    let pools: Vec<_> = status.pools.iter().map(|pool| pool_to_dict(py, pool)).collect::<PyResult<_>>()?;
    dict.set_item("pools", pools)?;
    Ok(dict)
}

fn object_to_dict(py: Python<'_>, object: Object) -> PyResult<Bound<'_, PyDict>> {
    let info = Info::try_from(object).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let dict = PyDict::new(py);
    dict.set_item("reference", info.reference.to_string())?;
    dict.set_item("id", info.reference.id.to_string())?;
    dict.set_item("size", info.reference.size)?;
    let array = info.reference.array;
    dict.set_item("datatype", array.as_ref().map(|array| array.datatype.clone()))?;
    dict.set_item("shape", array.map(|array| array.shape))?;
    dict.set_item("key", info.key)?;
    dict.set_item("pinned", info.pinned)?;
    dict.set_item("expires_in", info.expires_in.map(|left| left.as_secs_f64()))?;
    dict.set_item("age", info.age.as_secs_f64())?;
    dict.set_item("creator", info.creator)?;
    dict.set_item("leases", info.leases)?;
    dict.set_item("location", info.location)?;
    Ok(dict)
}

fn lease_to_dict<'py>(py: Python<'py>, lease: &Lease) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("worker", &lease.worker)?;
    dict.set_item("size", lease.bytes)?;
    dict.set_item("age", lease.age_seconds)?;
    dict.set_item("unsealed", lease.unsealed)?;
    Ok(dict)
}

type Counts = std::collections::BTreeMap<&'static str, u64>;

fn pool_to_dict<'py>(py: Python<'py>, pool: &Pool) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &pool.name)?;
    dict.set_item("state", &pool.state)?;
    dict.set_item("reason", &pool.reason)?;
    dict.set_item("capabilities", &pool.capabilities)?;
    dict.set_item("min", pool.min)?;
    dict.set_item("max", pool.max)?;
    dict.set_item("pinned", pool.pinned)?;
    dict.set_item("waiting", pool.waiting)?;
    dict.set_item("oldest_wait", pool.oldest_wait_seconds)?;
    dict.set_item("running", pool.running)?;
    dict.set_item("ended", pool.ended)?;
    dict.set_item("failed", pool.failed)?;
    dict.set_item("rate", pool.rate)?;
    dict.set_item("decision", &pool.decision)?;
    dict.set_item("decision_age", pool.decision_age_seconds)?;
    let workers: Vec<_> =
        pool.workers.iter().map(|worker| worker_to_dict(py, worker)).collect::<PyResult<_>>()?;
    dict.set_item("workers", workers)?;
    dict.set_item("answered", pool.answered)?;
    dict.set_item("first_response", pool.first_response_seconds)?;
    Ok(dict)
}

fn worker_to_dict<'py>(py: Python<'py>, worker: &Worker) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", worker.id)?;
    dict.set_item("pid", worker.pid)?;
    dict.set_item("state", &worker.state)?;
    dict.set_item("state_age", worker.state_age_seconds)?;
    dict.set_item("running", worker.running)?;
    dict.set_item("requests", worker.requests)?;
    dict.set_item("resident_memory", worker.resident_memory)?;
    dict.set_item("gpus", &worker.gpus)?;
    Ok(dict)
}
