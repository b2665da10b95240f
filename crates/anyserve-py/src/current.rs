//! Which requests a handler works on, for the calls that it makes without saying so.
//!
//! A handler that is not async runs on one thread; an async one runs in a task, whose context knows.

use std::cell::RefCell;

use anyserve::worker::Request;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

thread_local! {
    /// The requests of the handler that this thread runs.
    static RUNNING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The `ContextVar` of tasks; none before the first async handler runs.
static IN_TASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A handler runs on this thread until this is dropped.
pub(crate) struct Entered(());

impl Entered {
    /// These are its requests.
    pub(crate) fn new(batch: &[Request]) -> Self {
        RUNNING.with_borrow_mut(|running| {
            running.clear();
            running.extend(batch.iter().map(Request::id));
        });
        Self(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::clear);
    }
}

/// The running task is a handler's, with these requests.
pub(crate) fn enter_task(py: Python<'_>, requests: &Py<PyTuple>) -> PyResult<()> {
    let variable = IN_TASK.get_or_try_init(py, || {
        let class = py.import("contextvars")?.getattr("ContextVar")?;
        class.call1(("anyserve_requests",)).map(Bound::unbind)
    })?;
    variable.bind(py).call_method1("set", (requests,)).map(drop)
}

/// The requests of the handler that asks, by the agent's numbers; none on a thread of the user's own.
pub(crate) fn requests(py: Python<'_>) -> PyResult<Vec<u64>> {
    if let Some(variable) = IN_TASK.get(py) {
        let found: Option<Vec<u64>> = variable.bind(py).call_method1("get", (py.None(),))?.extract()?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Ok(RUNNING.with_borrow(Vec::clone))
}
