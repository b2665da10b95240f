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

use std::sync::Arc;

use anyserve_proto::worker::{Capability, Hello, StartFailed, to_agent};

pub use anyserve_proto::worker::failure::Kind as FailureKind;
pub use failure::Failure;
use lead::Shared;
pub use request::Request;

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
    pub fn ready(&self, capabilities: Vec<Capability>, concurrency: u32) -> Result<(), WorkerError> {
        let protocol_version = anyserve_proto::WORKER_PROTOCOL_VERSION;
        self.shared
            .send(to_agent::Message::Hello(Hello { protocol_version, capabilities, concurrency }), &[]);
        let welcomed = |inbox: &mut inbox::State| inbox.is_welcome().then_some(());
        self.shared.wait_for(welcomed).ok_or(WorkerError::Stopped)
    }

    /// Tells the agent that the application could not be loaded; the process should end now.
    pub fn start_failed(&self, message: String, traceback: String) {
        self.shared.send(to_agent::Message::StartFailed(StartFailed { message, traceback }), &[]);
    }

    /// Waits for the next request; none once the agent wants the worker to stop.
    pub fn next(&self) -> Option<Request> {
        let assigned = self.shared.wait_for(inbox::State::take)?;
        Some(Request::new(assigned, Arc::clone(&self.shared)))
    }

    /// The next request if one is there already.
    pub fn try_next(&self) -> Option<Request> {
        let assigned = self.shared.inbox.lock().take()?;
        Some(Request::new(assigned, Arc::clone(&self.shared)))
    }
}
