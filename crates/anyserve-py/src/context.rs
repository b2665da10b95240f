//! `Context`: what a handler may know beside its request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::gpus::assigned_gpus;
use crate::objects::PyObjects;

/// What holds for the request that a handler works on.
#[pyclass(frozen, module = "anyserve", name = "Context")]
pub(crate) struct PyContext {
    /// The agent's number for it.
    pub(crate) request: u64,
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

    /// Has a request served by whoever offers what it asks for, and waits for its outputs.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, model_name='', inputs=None, *, capability=None, endpoint=None, timeout=None, parameters=None, model_version='', request_id='', outputs=())")]
    fn call<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.caller(py)?.call_method("call", args, kwargs)
    }

    /// The same without holding up the event loop.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, model_name='', inputs=None, *, capability=None, endpoint=None, timeout=None, parameters=None, model_version='', request_id='', outputs=())")]
    fn acall<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.caller(py)?.call_method("acall", args, kwargs)
    }

    /// The same for a request that has any number of responses: returns them as they come.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, model_name='', inputs=None, *, capability=None, endpoint=None, timeout=None, parameters=None, model_version='', request_id='', outputs=())")]
    fn stream<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.caller(py)?.call_method("stream", args, kwargs)
    }

    /// Seconds until the client stops waiting, 0.0 if it has; None if it did not say.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64())
    }
}

impl PyContext {
    /// Who makes calls in the name of the request.
    fn caller<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        CLASS.import(py, "anyserve.calls", "Caller")?.call1(((self.request,),))
    }
}
