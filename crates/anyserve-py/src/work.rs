//! `Work`: a batch in the hands of an event loop.

use std::sync::{Arc, Mutex, PoisonError};

use anyserve::worker::{Failure, FailureKind, Request};
use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call;
use crate::current;
use crate::handler::{Kind, Ready};
use crate::message::PyInferResponse;
use crate::outlet::Outlet;

/// What one call of a handler is to answer.
#[pyclass(frozen, module = "anyserve._core", name = "Work")]
pub(crate) struct PyWork {
    handler: Arc<Ready>,
    ids: Py<PyTuple>,
    batch: Mutex<Vec<Request>>,
    /// For a handler that streams, once it was called.
    outlet: Mutex<Option<Arc<Outlet>>>,
}

impl PyWork {
    pub(crate) fn new(py: Python<'_>, handler: Arc<Ready>, batch: Vec<Request>) -> PyResult<Self> {
        let ids = PyTuple::new(py, batch.iter().map(Request::id))?.unbind();
        Ok(Self { handler, ids, batch: Mutex::new(batch), outlet: Mutex::new(None) })
    }

    fn take_batch(&self) -> Vec<Request> {
        std::mem::take(&mut self.batch.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn outlet(&self) -> Option<Arc<Outlet>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[pymethods]
impl PyWork {
    /// The agent's numbers for its requests.
    #[getter]
    fn ids(&self, py: Python<'_>) -> Py<PyTuple> {
        self.ids.clone_ref(py)
    }

    /// True if its handler is a coroutine function or an async generator.
    #[getter]
    fn is_async(&self) -> bool {
        self.handler.is_async
    }

    /// True if its handler has any number of responses.
    #[getter]
    fn streams(&self) -> bool {
        matches!(self.handler.kind, Kind::Generator | Kind::Stream)
    }

    /// True if its handler yields them.
    #[getter]
    fn yields(&self) -> bool {
        self.handler.kind == Kind::Generator
    }

    /// True once nobody waits for any of its requests.
    #[getter]
    fn cancelled(&self) -> bool {
        if let Some(outlet) = self.outlet() {
            return outlet.is_cancelled();
        }
        self.batch.lock().unwrap_or_else(PoisonError::into_inner).iter().all(Request::is_cancelled)
    }

    /// Runs a handler that is not async, and answers.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        call::run(py, &self.handler, self.take_batch())
    }

    /// Calls an async handler; returns its coroutine or its async generator.
    #[pyo3(signature = (stream=None))]
    fn call<'py>(&self, py: Python<'py>, stream: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        current::enter_task(py, &self.ids)?;
        let mut batch = self.take_batch();
        let arguments = call::arguments(py, &self.handler, &mut batch);
        if self.streams() {
            let outlet = batch.pop().map(Outlet::new);
            *self.outlet.lock().unwrap_or_else(PoisonError::into_inner) = outlet;
        } else {
            *self.batch.lock().unwrap_or_else(PoisonError::into_inner) = batch;
        }
        call::invoke(py, &self.handler, arguments?, stream)
    }

    /// Answers with what the handler returned.
    fn answer(&self, py: Python<'_>, result: &Bound<'_, PyAny>) {
        call::answer(py, &self.handler, self.take_batch(), result);
    }

    /// Sends one response of a stream; false if the client has to take more of it first.
    fn send(&self, py: Python<'_>, response: &Bound<'_, PyAny>) -> PyResult<bool> {
        let found = response.cast::<PyInferResponse>().map_err(|_| match self.handler.kind {
            Kind::Generator => call::wrong(py, &self.handler, response, "yielded"),
            _ => PyTypeError::new_err(format!(
                "stream.send() takes a ModelInferResponse, not {}",
                call::kind_of(response)
            )),
        })?;
        self.outlet().map_or(Ok(true), |outlet| outlet.try_send(py, found))
    }

    /// The handler of a stream is done; `result` is what it returned.
    fn finish(&self, py: Python<'_>, result: &Bound<'_, PyAny>) -> PyResult<()> {
        call::returned_nothing(py, &self.handler, result)?;
        if let Some(outlet) = self.outlet() {
            outlet.finish();
        }
        Ok(())
    }

    /// Ends a stream before its handler does.
    fn close(&self) {
        if let Some(outlet) = self.outlet() {
            outlet.close();
        }
    }

    /// Answers with the error that the handler raised; raises it again if it must end the worker.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyBaseException>) -> PyResult<()> {
        let error = PyErr::from_value(error.into_any());
        match self.outlet() {
            Some(outlet) => call::fail_stream(py, &self.handler, &outlet, error),
            None => call::fail(py, &self.handler, self.take_batch(), error),
        }
    }

    /// The handler was cancelled.
    fn cancel(&self) {
        let failure = || Failure::new(FailureKind::Cancelled, "the handler was cancelled");
        if let Some(outlet) = self.outlet() {
            outlet.fail(failure());
        }
        for request in self.take_batch() {
            request.fail(failure());
        }
    }
}
