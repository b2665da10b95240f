//! `Worker`: brings requests to the user's handlers.

use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};

use anyserve::worker::{Failure, FailureKind, Request, Worker, reply_all};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::call;
use crate::handler::{Handler, Ready};
use crate::work::PyWork;

/// What an event loop has to know: new work, the requests that nobody waits for any longer, those whose streams may go
/// on, and whether to stop.
type Drained = (Vec<PyWork>, Vec<u64>, Vec<u64>, bool);

/// A worker process, connected to its agent.
#[pyclass(frozen, module = "anyserve._core", name = "Worker")]
pub(crate) struct PyWorker {
    worker: Worker,
    handlers: OnceLock<Vec<Arc<Ready>>>,
}

#[pymethods]
impl PyWorker {
    /// Takes over the control channel that the agent passed to this process.
    #[new]
    fn new() -> PyResult<Self> {
        let worker = Worker::from_env().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Self { worker, handlers: OnceLock::new() })
    }

    /// Tells the agent that the application could not be loaded.
    fn start_failed(&self, message: String, traceback: String) {
        self.worker.start_failed(message, traceback);
    }

    /// Tells the agent what the handlers serve; returns how many batches run at once.
    fn ready(&self, py: Python<'_>, handlers: Vec<Handler>) -> PyResult<u32> {
        let declared = handlers.iter().map(Handler::declaration).collect();
        let concurrency = handlers.iter().map(Handler::concurrency).max().unwrap_or(1);
        let ready = handlers.into_iter().map(|handler| Ready::try_from(handler).map(Arc::new));
        let _ = self.handlers.set(ready.collect::<PyResult<_>>()?);
        py.detach(|| self.worker.ready(declared, concurrency))
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(concurrency)
    }

    /// Runs handlers that are not async on this thread, until the agent says stop. Threads may share the work.
    fn serve(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            // While there is work the GIL is kept: one crossing for many requests.
            let next = self.worker.try_next_batch();
            let Some(batch) = next.or_else(|| py.detach(|| self.worker.next_batch())) else {
                return Ok(());
            };
            if let Some((handler, batch)) = self.with_handler(batch) {
                call::run(py, &handler, batch)?;
            }
            py.check_signals()?;
        }
    }

    /// From now on an event loop brings in the agent's messages, by `drain`. Returns the socket to watch for reading.
    fn lend_to_loop(&self) -> RawFd {
        self.worker.lend_to_loop()
    }

    /// Brings in what has arrived, without waiting; takes at most `most` batches of it.
    fn drain(&self, py: Python<'_>, most: usize) -> PyResult<Drained> {
        let news = self.worker.drain();
        Ok((self.take(py, most)?, news.cancelled, news.opened, self.worker.is_stopping()))
    }

    /// At most `most` batches that have arrived.
    fn take(&self, py: Python<'_>, most: usize) -> PyResult<Vec<PyWork>> {
        let batches = std::iter::from_fn(|| self.worker.try_next_batch()).take(most);
        let work = batches.filter_map(|batch| self.with_handler(batch));
        work.map(|(handler, batch)| PyWork::new(py, handler, batch)).collect()
    }

    /// Seconds that a stream waits for a client that takes nothing.
    #[getter]
    fn stall_timeout(&self) -> f64 {
        self.worker.stall_timeout().as_secs_f64()
    }
}

impl PyWorker {
    fn with_handler(&self, batch: Vec<Request>) -> Option<(Arc<Ready>, Vec<Request>)> {
        let index = batch.first()?.capability();
        let handler = self.handlers.get().and_then(|handlers| handlers.get(index));
        let Some(handler) = handler else {
            let failure =
                || Failure::new(FailureKind::Internal, "the agent named a handler that does not exist");
            reply_all(batch.into_iter().map(|request| (request, Err(failure()))));
            return None;
        };
        Some((Arc::clone(handler), batch))
    }
}
