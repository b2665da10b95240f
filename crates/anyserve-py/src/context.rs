//! `Context`: what a handler may know beside its request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::gpus::assigned_gpus;
use crate::objects::PyObjects;

/// What holds for the request that a handler works on.
#[pyclass(frozen, module = "anyserve", name = "Context")]
pub(crate) struct PyContext {
    pub(crate) capability: Arc<BTreeMap<String, String>>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) deadline: Option<Instant>,
}

#[pymethods]
impl PyContext {
    /// The pairs of the capability that the request is served under.
    #[getter]
    fn capability(&self) -> BTreeMap<String, String> {
        (*self.capability).clone()
    }

    /// True once nobody waits for the answer any longer; cheap enough to ask in a loop.
    #[getter]
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The numbers of the GPUs that this worker has; none if it needs none.
    #[getter]
    #[expect(clippy::unused_self, reason = "to Python it is an attribute like the others")]
    fn gpus(&self, py: Python<'_>) -> PyResult<Py<PyTuple>> {
        assigned_gpus(py)
    }

    /// The objects of the agent.
    #[getter]
    #[expect(clippy::unused_self, reason = "to Python it is an attribute like the others")]
    fn objects(&self) -> PyObjects {
        PyObjects
    }

    /// Seconds until the client stops waiting, 0.0 if it has; None if it did not say.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64())
    }
}
