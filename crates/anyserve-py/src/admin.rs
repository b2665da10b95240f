//! `Admin`: an operator's view of an agent.

use std::path::PathBuf;

use anyserve::client::{Admin, ClientError};
use anyserve::proto::admin::{Pool, StatusResponse, Worker};
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

    /// Lets the agent read its configuration again.
    #[pyo3(signature = (*, all=false))]
    fn reload(&self, py: Python<'_>, all: bool) -> PyResult<String> {
        wait(py, self.0.reload(all))
    }
}

fn wait<T: Send>(py: Python<'_>, call: impl Future<Output = Result<T, ClientError>> + Send) -> PyResult<T> {
    py.detach(|| get_runtime().block_on(call)).map_err(|error| errors::from_client(py, &error))
}

fn to_dict<'py>(py: Python<'py>, status: &StatusResponse) -> PyResult<Bound<'py, PyDict>> {
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
