//! Brings requests to workers and their answers back.
//!
//! One lock holds all that is known of requests and workers. The scheduler in `anyserve-core` decides; here its
//! decisions are carried out: an assignment is written to the worker's channel, an answer to whoever waits for it.

mod hello;
mod state;
mod ticker;
mod ticket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_channel::ChannelError;
use anyserve_core::scheduler::{RequestId, Time, WorkerId};
use anyserve_core::{Capability, Query};
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::worker::{ToAgent, to_agent};
use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use crate::failure::Failure;
use crate::worker::WorkerExit;
pub(crate) use hello::{Declaration, HelloError};
pub(crate) use state::Link;
use state::{Pending, State};
pub(crate) use ticket::Ticket;

/// What a request asks for, before the catalog was consulted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Pairs that the client gave.
    Pairs(Query),
    /// A model name and version.
    Model { name: String, version: String },
}

/// A message that no honest worker sends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("it answered request {0}, which it does not hold")]
    NotHeld(u64),
    #[error("it sent a second hello, or an empty message")]
    OutOfTurn,
    #[error("it sent a response with {outputs} outputs, but contents for {contents}")]
    OutputCount { outputs: usize, contents: usize },
}

/// The meeting point of requests and workers.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    state: Mutex<State>,
    /// Time zero of the scheduler.
    epoch: Instant,
    /// Wakes the ticker.
    tick: Notify,
    /// Wakes who waits for the last request to end.
    quiet: Notify,
    ready_workers: watch::Sender<usize>,
    max_message_size: usize,
    debug: bool,
}

impl Dispatcher {
    pub(crate) fn new(max_queue_size: usize, max_message_size: usize, debug: bool) -> Self {
        Self {
            state: Mutex::new(State::new(max_queue_size)),
            epoch: Instant::now(),
            tick: Notify::new(),
            quiet: Notify::new(),
            ready_workers: watch::Sender::new(0),
            max_message_size,
            debug,
        }
    }

    /// Queues a request whose tensors were normalized; its answer comes through the ticket.
    pub(crate) fn submit(
        self: &Arc<Self>,
        wanted: Wanted,
        infer: ModelInferRequest,
        deadline: Option<Instant>,
    ) -> Result<Ticket, Failure> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.lock();
        let id = state.submit(wanted, Pending::new(infer, deadline, answer))?;
        self.pump(&mut state);
        drop(state);
        Ok(Ticket::new(Arc::clone(self), id, receiver, deadline))
    }

    /// A worker has loaded its application.
    pub(crate) fn worker_ready(
        &self,
        worker: WorkerId,
        declaration: Declaration,
        link: Link,
    ) -> Result<(), HelloError> {
        let mut state = self.lock();
        state.worker_ready(worker, declaration, link)?;
        self.pump(&mut state);
        self.publish_readiness(&state);
        Ok(())
    }

    /// A worker sent a message.
    pub(crate) fn receive(
        &self,
        worker: WorkerId,
        message: ToAgent,
        payload: Bytes,
    ) -> Result<(), Violation> {
        let now = self.now();
        let mut state = self.lock();
        match message.message {
            Some(to_agent::Message::Reply(reply)) => state.reply(worker, reply, payload, now)?,
            Some(to_agent::Message::Failure(failure)) => state.failure(worker, failure, self.debug, now)?,
            Some(to_agent::Message::Returned(returned)) => state.returned(worker, &returned.requests, now)?,
            _ => return Err(Violation::OutOfTurn),
        }
        self.pump(&mut state);
        Ok(())
    }

    /// A worker is gone; `claimed` is the sequence number of the last assignment it started.
    pub(crate) fn worker_gone(&self, worker: WorkerId, claimed: u64, exit: &WorkerExit) {
        let mut state = self.lock();
        state.worker_gone(worker, claimed, exit);
        self.pump(&mut state);
        self.publish_readiness(&state);
    }

    /// Takes no new requests from now on.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        self.publish_readiness(&state);
    }

    /// Returns once no request is unfinished.
    pub(crate) async fn drained(&self) {
        loop {
            let quiet = self.quiet.notified();
            if self.lock().scheduler.unfinished() == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// Ends every request that is left, and says what they were.
    pub(crate) fn abandon(&self) -> Vec<String> {
        self.lock().abandon()
    }

    /// How many workers are ready for new requests; changes as they come and go.
    pub(crate) fn readiness(&self) -> watch::Receiver<usize> {
        self.ready_workers.subscribe()
    }

    /// The capabilities that are known.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        self.lock().catalog.iter().cloned().collect()
    }

    /// What is known of the capability behind a model name, and whether a worker is ready for it.
    pub(crate) fn describe(&self, name: &str, version: &str) -> Result<(hello::Described, bool), Failure> {
        self.lock().describe(name, version)
    }

    /// The largest message, in bytes.
    pub(crate) fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    /// Nobody waits for the request any longer.
    fn cancel(&self, request: RequestId) {
        let mut state = self.lock();
        state.cancel(request);
        self.pump(&mut state);
    }

    /// Carries out every assignment that is due.
    fn pump(&self, state: &mut State) {
        let now = self.now();
        state.assign_all(now);
        if !state.ticking && state.scheduler.next_check(now).is_some() {
            state.ticking = true;
            self.tick.notify_one();
        }
        if state.draining && state.scheduler.unfinished() == 0 {
            self.quiet.notify_waiters();
        }
    }

    fn publish_readiness(&self, state: &State) {
        let ready = if state.draining { 0 } else { state.scheduler.ready_workers() };
        self.ready_workers.send_if_modified(|current| std::mem::replace(current, ready) != ready);
    }

    fn now(&self) -> Time {
        Time(self.epoch.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time left until `deadline`.
fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
