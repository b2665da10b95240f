//! The worker's end of anyserve: receive requests from the agent, answer them.
//!
//! An agent starts a worker process with the control channel as its standard input. [`Worker::from_env`] takes it
//! over, [`Worker::ready`] says what the process serves, and [`Worker::next`] yields one request after the other:
//!
//! ```no_run
//! use anyserve_proto::inference::ModelInferResponse;
//! use anyserve_proto::worker::Capability;
//! use anyserve_worker::Worker;
//!
//! # fn main() -> Result<(), anyserve_worker::WorkerError> {
//! let worker = Worker::from_env()?;
//! let pairs = [("type".to_owned(), "ping".to_owned())].into();
//! worker.ready(vec![Capability { pairs, ..Default::default() }], 1, false)?;
//! while let Some(request) = worker.next() {
//!     let response = ModelInferResponse { id: request.infer().id.clone(), ..Default::default() };
//!     request.reply(response, &[]);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The thread that asks for the next request reads the channel itself, so that a request is not handed from thread to
//! thread. While a handler runs long, a watching thread reads in its place, so that recalls and cancellations are
//! heard. If the agent dies, the worker's process ends at once. A thread of its own lets the agent know every second
//! that the process is alive.

pub mod calls;
mod claims;
mod connect;
mod failure;
mod heartbeat;
mod inbox;
mod lead;
mod memory;
pub mod objects;
mod recent;
mod request;
mod stream;
mod window;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use anyserve_proto::worker::{Capability, Declared, DeclaredPool, Hello, Settled, StartFailed, to_agent};

pub use anyserve_proto::worker::failure::Kind as FailureKind;
pub use calls::Calls;
pub use failure::Failure;
use inbox::Taken;
pub use inbox::{News, Order};
use lead::Shared;
pub use objects::Objects;
pub use request::{Answer, Request};
pub use stream::SendError;

/// A worker process, connected to its agent.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
}

/// What a worker is to do next.
#[derive(Debug)]
pub enum Next {
    /// Answer these requests.
    Batch(Vec<Request>),
    /// Carry this out, then say so by [`Worker::settled`].
    Order(Order),
}

/// Why a process cannot be a worker.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It was started by hand.
    #[error("this process was not started by an anyserve agent ({0} is not set); use `anyserve run`")]
    NotAWorker(&'static str),
    /// The channel could not be taken over.
    #[error("cannot take over the control channel from the agent")]
    Connect(#[from] std::io::Error),
    /// The agent ended the conversation before it began.
    #[error("the agent asked the worker to stop before it was ready")]
    Stopped,
}

impl Worker {
    /// Takes over the channel that the agent passed to this process.
    pub fn from_env() -> Result<Self, WorkerError> {
        connect::from_env()
    }

    /// Tells the agent that the application is loaded and what it serves, and waits for its answer.
    ///
    /// `concurrency` is how many batches the process runs at once; `sleeps` says that it carries out [`Order`]s.
    pub fn ready(
        &self,
        capabilities: Vec<Capability>,
        concurrency: u32,
        sleeps: bool,
    ) -> Result<(), WorkerError> {
        let protocol_version = anyserve_proto::WORKER_PROTOCOL_VERSION;
        let hello = Hello { protocol_version, capabilities, concurrency, sleeps };
        self.shared.send(to_agent::Message::Hello(hello), &[]);
        let welcomed = |inbox: &mut inbox::State| inbox.is_welcome().then_some(());
        self.shared.wait_for_work(welcomed).ok_or(WorkerError::Stopped)
    }

    /// Tells the agent that the application could not be loaded; the process should end now.
    pub fn start_failed(&self, message: String, traceback: String) {
        self.shared.send(to_agent::Message::StartFailed(StartFailed { message, traceback }), &[]);
    }

    /// Tells the agent what the application declares, instead of [`Self::ready`]; the process should end now.
    pub fn declare(&self, pools: Vec<DeclaredPool>) {
        let protocol_version = anyserve_proto::WORKER_PROTOCOL_VERSION;
        self.shared.send(to_agent::Message::Declared(Declared { protocol_version, pools }), &[]);
    }

    /// Waits for the next request; none once the agent wants the worker to stop.
    ///
    /// Requests of a capability with `max_batch_size` come one by one too. An order, which is only given to a worker
    /// that [said so](Self::ready), is taken for carried out: there is nothing to do.
    pub fn next(&self) -> Option<Request> {
        let take = |inbox: &mut inbox::State| match inbox.take()? {
            Taken::Order(_) => Some(None),
            Taken::Batch(batch) => {
                let mut batch = batch.into_iter();
                let first = batch.next();
                inbox.put_back(batch.collect());
                Some(first)
            }
        };
        loop {
            if let Some(assigned) = self.shared.wait_for_work(take)? {
                return Some(self.request(assigned));
            }
            self.settled(Ok(()));
        }
    }

    /// Waits for the next batch: one request, or as many as the capability's `max_batch_size` allows; or for an order
    /// of the agent, which exactly one of the threads that wait gets. None once the agent wants the worker to stop.
    pub fn next_batch(&self) -> Option<Next> {
        let taken = self.shared.wait_for_work(inbox::State::take)?;
        Some(match taken {
            Taken::Batch(batch) => Next::Batch(self.requests(batch)),
            Taken::Order(order) => Next::Order(order),
        })
    }

    /// The next batch if one is there already. Leaves orders to [`Self::next_batch`] or [`Self::drain`].
    pub fn try_next_batch(&self) -> Option<Vec<Request>> {
        let batch = self.shared.inbox.lock().take_batch()?;
        Some(self.requests(batch))
    }

    /// Tells the agent that its last order was carried out; or why not, as a message and a traceback, which may be
    /// empty. Until then it sends nothing new.
    pub fn settled(&self, outcome: Result<(), (String, String)>) {
        let settled = outcome.err().map(|(message, traceback)| Settled {
            // The empty message says that nothing failed.
            error: if message.is_empty() { "(no message)".to_owned() } else { failure::cut(message) },
            traceback: failure::cut(traceback),
        });
        self.shared.send(to_agent::Message::Settled(settled.unwrap_or_default()), &[]);
    }

    /// From now on the event loop of the calling thread brings the messages of the agent in, by [`Self::drain`].
    /// Returns two descriptors, of which one becomes readable when there are any.
    pub fn lend_to_loop(&self) -> Result<[RawFd; 2], WorkerError> {
        let nudge = self.shared.lend_to_loop()?;
        Ok([self.shared.socket(), nudge])
    }

    /// Brings in what has arrived, without waiting; returns what changed for requests that handlers have, and the
    /// agent's order. Batches then wait for [`Self::try_next_batch`].
    pub fn drain(&self) -> News {
        self.shared.drain();
        self.shared.inbox.lock().take_news()
    }

    /// The objects of the agent. To be used once the worker is [ready](Self::ready).
    pub fn objects(&self) -> Objects {
        Objects::new(Arc::clone(&self.shared))
    }

    /// What handlers may ask of other workers. To be used once the worker is [ready](Self::ready).
    pub fn calls(&self) -> Calls {
        Calls::new(Arc::clone(&self.shared))
    }

    /// True once the agent wants the worker to stop.
    pub fn is_stopping(&self) -> bool {
        self.shared.inbox.lock().is_stopping()
    }

    /// How long a stream waits for its client to take something.
    pub fn stall_timeout(&self) -> Duration {
        self.shared.inbox.limits().stall_timeout
    }

    fn requests(&self, batch: Vec<inbox::Assigned>) -> Vec<Request> {
        batch.into_iter().map(|assigned| self.request(assigned)).collect()
    }

    fn request(&self, assigned: inbox::Assigned) -> Request {
        Request::new(assigned, Arc::clone(&self.shared))
    }
}

/// Answers the requests of a batch together: one system call for all.
pub fn reply_all(answers: impl IntoIterator<Item = (Request, Answer)>) {
    let mut shared = None;
    for (request, answer) in answers {
        shared = Some(request.queue_answer(answer));
    }
    if let Some(shared) = shared {
        shared.flush();
    }
}
