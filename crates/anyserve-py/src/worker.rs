//! `Worker`: brings requests to the user's handlers.

use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};

use anyserve::worker::{Failure, FailureKind, Next, Order, Request, Worker, WorkerError, reply_all};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::handler::{self, Handler, Ready};
use crate::pool::Pool;
use crate::store;
use crate::work::PyWork;
use crate::{call, calls};

/// What an event loop has to know: new work, the requests that nobody waits for any longer, those whose streams may go
/// on, the calls for which something came, the order to carry out, and whether to stop.
type Drained = (Vec<PyWork>, Vec<u64>, Vec<u64>, Vec<u64>, Option<u32>, bool);

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
        store::set(worker.objects());
        calls::set(worker.calls());
        Ok(Self { worker, handlers: OnceLock::new() })
    }

    /// Tells the agent that the application could not be loaded.
    fn start_failed(&self, message: String, traceback: String) {
        self.worker.start_failed(message, traceback);
    }

    /// Tells the agent what the application declares.
    fn declare(&self, pools: Vec<Pool>) {
        self.worker.declare(pools.into_iter().map(Pool::declaration).collect());
    }

    /// Tells the agent what the handlers serve; returns how many batches run at once, or none if the agent said stop.
    fn ready(&self, py: Python<'_>, handlers: Vec<Handler>, sleeps: bool) -> PyResult<Option<u32>> {
        let declared = handlers.iter().map(Handler::declaration).collect();
        let concurrency = handler::concurrency(&handlers);
        let ready = handlers.into_iter().map(|handler| Ready::try_from(handler).map(Arc::new));
        let _ = self.handlers.set(ready.collect::<PyResult<_>>()?);
        match py.detach(|| self.worker.ready(declared, concurrency, sleeps)) {
            Ok(()) => Ok(Some(concurrency)),
            Err(WorkerError::Stopped) => Ok(None),
            Err(error) => Err(PyRuntimeError::new_err(error.to_string())),
        }
    }

    /// Runs handlers that are not async on this thread, until the agent says stop. Threads may share the work.
    ///
    /// An order of the agent is carried out by `carry_out(level)`: the level to sleep at, or 0 to be awake.
    fn serve(&self, py: Python<'_>, carry_out: &Bound<'_, PyAny>) -> PyResult<()> {
        loop {
            // While there is work the GIL is kept: one crossing for many requests.
            let next = self.worker.try_next_batch().map(Next::Batch);
            match next.or_else(|| py.detach(|| self.worker.next_batch())) {
                None => return Ok(()),
                Some(Next::Order(order)) => drop(carry_out.call1((level(order),))?),
                Some(Next::Batch(batch)) => {
                    if let Some((handler, batch)) = self.with_handler(batch) {
                        call::run(py, &handler, batch)?;
                    }
                }
            }
            py.check_signals()?;
        }
    }

    /// The last order was carried out; or why not, with the traceback.
    #[pyo3(signature = (error=None, traceback=""))]
    fn settled(&self, error: Option<String>, traceback: &str) {
        self.worker.settled(error.map_or(Ok(()), |error| Err((error, traceback.to_owned()))));
    }

    /// From now on an event loop brings in the agent's messages, by `drain`. Returns the descriptors to
    /// watch for reading.
    fn lend_to_loop(&self) -> PyResult<[RawFd; 2]> {
        self.worker.lend_to_loop().map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// Brings in what has arrived, without waiting; takes at most `most` batches of it.
    fn drain(&self, py: Python<'_>, most: usize) -> PyResult<Drained> {
        let news = self.worker.drain();
        let order = news.order.map(level);
        let works = self.take(py, most)?;
        Ok((works, news.cancelled, news.opened, news.answered, order, self.worker.is_stopping()))
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

/// The level at which the worker is to sleep; 0 is awake.
fn level(order: Order) -> u32 {
    match order {
        Order::Sleep { level } => level,
        Order::Wake => 0,
    }
}
