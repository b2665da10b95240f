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
//! One thread of the worker's own does all the reading, so that recalls and cancellations are heard while a handler
//! runs. If the agent dies, the worker's process ends at once.

mod connect;
mod inbox;
mod request;

use std::sync::Arc;

use anyserve_channel::Sender;
use anyserve_proto::worker::{Capability, Hello, StartFailed, ToAgent, to_agent};

pub use anyserve_proto::worker::failure::Kind as FailureKind;
use inbox::Inbox;
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

/// What the threads of a worker share.
#[derive(Debug)]
struct Shared {
    sender: Sender,
    inbox: Inbox,
    claims: connect::ClaimFile,
    /// The runtime of the thread that reads the channel.
    runtime: tokio::runtime::Handle,
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
        self.shared.inbox.wait_for_welcome().ok_or(WorkerError::Stopped)
    }

    /// Tells the agent that the application could not be loaded; the process should end now.
    pub fn start_failed(&self, message: String, traceback: String) {
        self.shared.send(to_agent::Message::StartFailed(StartFailed { message, traceback }), &[]);
        self.shared.flush();
    }

    /// Waits for the next request; none once the agent wants the worker to stop.
    pub fn next(&self) -> Option<Request> {
        let Some(assigned) = self.shared.inbox.next() else {
            self.shared.flush();
            return None;
        };
        Some(Request::new(assigned, Arc::clone(&self.shared)))
    }

    /// The next request if one is there already.
    pub fn try_next(&self) -> Option<Request> {
        self.shared.inbox.try_next().map(|assigned| Request::new(assigned, Arc::clone(&self.shared)))
    }
}

impl Shared {
    fn send(&self, message: to_agent::Message, payload: &[bytes::Bytes]) {
        let message = ToAgent { message: Some(message) };
        // What no frame can hold is caught where a response is checked against the agent's limit.
        let _ = self.sender.send(&message, payload);
    }

    /// Waits until everything that was sent is with the kernel: the process may end then.
    fn flush(&self) {
        self.runtime.block_on(self.sender.flush());
    }
}
