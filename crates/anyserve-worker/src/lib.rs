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
//! worker.ready(vec![Capability { pairs, ..Default::default() }], 1)?;
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
//! heard. If the agent dies, the worker's process ends at once.

mod claims;
mod connect;
mod failure;
mod inbox;
mod lead;
mod request;
mod stream;
mod window;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use anyserve_proto::worker::{Capability, Hello, StartFailed, to_agent};

pub use anyserve_proto::worker::failure::Kind as FailureKind;
pub use failure::Failure;
pub use inbox::News;
use lead::Shared;
pub use request::{Answer, Request};
pub use stream::SendError;

/// A worker process, connected to its agent.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
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
    /// `concurrency` is how many batches the process runs at once.
    pub fn ready(&self, capabilities: Vec<Capability>, concurrency: u32) -> Result<(), WorkerError> {
        let protocol_version = anyserve_proto::WORKER_PROTOCOL_VERSION;
        self.shared
            .send(to_agent::Message::Hello(Hello { protocol_version, capabilities, concurrency }), &[]);
        let welcomed = |inbox: &mut inbox::State| inbox.is_welcome().then_some(());
        self.shared.wait_for_work(welcomed).ok_or(WorkerError::Stopped)
    }

    /// Tells the agent that the application could not be loaded; the process should end now.
    pub fn start_failed(&self, message: String, traceback: String) {
        self.shared.send(to_agent::Message::StartFailed(StartFailed { message, traceback }), &[]);
    }

    /// Waits for the next request; none once the agent wants the worker to stop.
    ///
    /// Requests of a capability with `max_batch_size` come one by one too.
    pub fn next(&self) -> Option<Request> {
        let take = |inbox: &mut inbox::State| {
            let mut batch = inbox.take()?.into_iter();
            let first = batch.next();
            inbox.put_back(batch.collect());
            first
        };
        self.shared.wait_for_work(take).map(|assigned| self.request(assigned))
    }

    /// Waits for the next batch: one request, or as many as the capability's `max_batch_size` allows; none once the
    /// agent wants the worker to stop.
    pub fn next_batch(&self) -> Option<Vec<Request>> {
        self.shared.wait_for_work(inbox::State::take).map(|batch| self.requests(batch))
    }

    /// The next batch if one is there already.
    pub fn try_next_batch(&self) -> Option<Vec<Request>> {
        let batch = self.shared.inbox.lock().take()?;
        Some(self.requests(batch))
    }

    /// From now on an event loop brings the messages of the agent in, by [`Self::drain`]. Returns the socket that
    /// becomes readable when there are any.
    pub fn lend_to_loop(&self) -> RawFd {
        self.shared.lend_to_loop();
        self.shared.socket()
    }

    /// Brings in what has arrived, without waiting; returns what changed for requests that handlers have. Batches then
    /// wait for [`Self::try_next_batch`].
    pub fn drain(&self) -> News {
        self.shared.drain();
        self.shared.inbox.lock().take_news()
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
