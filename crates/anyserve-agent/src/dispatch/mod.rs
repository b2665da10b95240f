//! Brings requests to workers and their answers back.
//!
//! One lock holds all that is known of requests and workers. The scheduler in `anyserve-core` decides; here its
//! decisions are carried out: an assignment is written to the worker's channel, an answer to whoever waits for it.

mod answers;
mod hello;
mod link;
mod pending;
mod state;
mod ticker;
mod ticket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyserve_channel::ChannelError;
use anyserve_core::scheduler::{Priority, RequestId, Time, WorkerId};
use anyserve_core::{Capability, Query};
use anyserve_proto::inference::{ModelInferRequest, ModelStatistics};
use anyserve_proto::worker::{ToAgent, to_agent};
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::config::AgentConfig;
use crate::failure::Failure;
use crate::telemetry::{self, Snapshot};
use crate::worker::WorkerExit;
pub(crate) use hello::{Declaration, Described, HelloError};
pub(crate) use link::Link;
use pending::Pending;
pub(crate) use pending::{Client, Event, WINDOW_BYTES, WINDOW_RESPONSES, What};
use state::State;
pub(crate) use ticket::{Hold, Ticket};

/// The version of a capability that has no `version` of its own.
pub(crate) const DEFAULT_VERSION: &str = "1";

/// What a request asks for, before the catalog was consulted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Pairs that the client gave.
    Pairs(Query),
    /// A model name and version.
    Model { name: String, version: String },
}

/// What a client wishes of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) wanted: Wanted,
    /// Instead of the capability's own.
    pub(crate) priority: Option<Priority>,
    /// When the client stops waiting.
    pub(crate) deadline: Option<Instant>,
}

/// A message that no honest worker sends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("it answered request {0}, which it does not hold")]
    NotHeld(u64),
    #[error("it sent a second hello, an empty message, or many responses where one is expected")]
    OutOfTurn,
    #[error("it sent more than the {0} responses that a stream may be ahead of its client")]
    Window(u32),
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
    stopping: CancellationToken,
    max_message_size: usize,
    debug: bool,
}

impl Dispatcher {
    pub(crate) fn new(config: &AgentConfig) -> Self {
        Self {
            state: Mutex::new(State::new(config)),
            epoch: Instant::now(),
            tick: Notify::new(),
            quiet: Notify::new(),
            ready_workers: watch::Sender::new(0),
            stopping: CancellationToken::new(),
            max_message_size: config.max_message_size,
            debug: config.debug,
        }
    }

    /// Queues a request whose tensors were normalized; its answer comes through the ticket.
    pub(crate) fn submit(self: &Arc<Self>, wish: &Wish, infer: ModelInferRequest) -> Result<Ticket, Failure> {
        let (answer, receiver) = oneshot::channel();
        let id = self.queue(wish, infer, Client::Unary(answer))?.0;
        Ok(Ticket::new(Hold::new(Arc::clone(self), id), receiver))
    }

    /// The same for a request whose answers come as events, any number of them. Also returns whether it may have many.
    pub(crate) fn submit_to_stream(
        self: &Arc<Self>,
        wish: &Wish,
        infer: ModelInferRequest,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<(RequestId, Hold, bool), Failure> {
        let (id, many) = self.queue(wish, infer, Client::Stream(events))?;
        Ok((id, Hold::new(Arc::clone(self), id), many))
    }

    /// Counts a request that could not be accepted; returns why.
    pub(crate) fn reject(&self, failure: Failure) -> Failure {
        self.lock().stats.rejected(failure.reason());
        failure
    }

    /// The client took so much of a stream.
    pub(crate) fn consumed(&self, request: RequestId, responses: u32, bytes: u64) {
        self.lock().consumed(request, responses, bytes);
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

    /// A worker sent messages, each with its payload. Returns whether there are responses of a stream among them.
    pub(crate) fn receive(
        &self,
        worker: WorkerId,
        frames: impl IntoIterator<Item = (ToAgent, Bytes)>,
    ) -> Result<bool, Violation> {
        let now = self.now();
        let mut streams = false;
        let mut state = self.lock();
        for (message, payload) in frames {
            match message.message {
                Some(to_agent::Message::Reply(reply)) => {
                    streams |= reply.more;
                    state.reply(worker, reply, payload, now)?;
                }
                Some(to_agent::Message::Failure(failure)) => {
                    state.failure(worker, failure, self.debug, now)?;
                }
                Some(to_agent::Message::Returned(returned)) => {
                    state.returned(worker, &returned.requests, now)?;
                }
                _ => return Err(Violation::OutOfTurn),
            }
        }
        self.pump(&mut state);
        Ok(streams)
    }

    /// A worker is gone; `claimed` is the sequence number of the last assignment it started.
    pub(crate) fn worker_gone(&self, worker: WorkerId, claimed: u64, exit: &WorkerExit) {
        let mut state = self.lock();
        state.worker_gone(worker, claimed, exit, self.now());
        self.pump(&mut state);
        self.publish_readiness(&state);
    }

    /// A worker that was not asked to end is replaced.
    pub(crate) fn worker_restarts(&self, exit: &WorkerExit) {
        self.lock().stats.restarted(exit.reason());
    }

    /// Comes true when the agent takes no new requests.
    pub(crate) fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.stopping.clone().cancelled_owned()
    }

    /// Takes no new requests from now on.
    pub(crate) fn drain(&self) {
        self.stopping.cancel();
        let mut state = self.lock();
        state.draining = true;
        state.scheduler.close();
        self.pump(&mut state);
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
    pub(crate) fn describe(&self, name: &str, version: &str) -> Result<(Described, bool), Failure> {
        let found = self.lock().describe(name, version)?;
        let ready = found.iter().any(|(_, _, ready)| *ready);
        let (described, ..) = found.into_iter().next().ok_or(Failure::NoCapability)?;
        Ok((described, ready))
    }

    /// What the capabilities behind a model name have served so far; of all, if it is empty.
    pub(crate) fn statistics(&self, name: &str, version: &str) -> Result<Vec<ModelStatistics>, Failure> {
        let mut state = self.lock();
        if name.is_empty() {
            let listed = state.offer_stats().map(|(described, stats)| {
                let capability = &described.offer.capability;
                let version = capability.get("version").unwrap_or(DEFAULT_VERSION).to_owned();
                telemetry::statistics(telemetry::listed_name(capability), version, stats)
            });
            return Ok(listed.collect());
        }
        let found = state.describe(name, version)?;
        let of = |(described, index, _): (Described, usize, _)| {
            let version = described.offer.capability.get("version").unwrap_or(DEFAULT_VERSION);
            telemetry::statistics(name.to_owned(), version.to_owned(), state.stats.offer(index))
        };
        Ok(found.into_iter().map(of).collect())
    }

    /// All counts at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.lock().snapshot(self.now())
    }

    /// The largest message, in bytes.
    pub(crate) fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    fn queue(
        &self,
        wish: &Wish,
        infer: ModelInferRequest,
        client: Client,
    ) -> Result<(RequestId, bool), Failure> {
        let now = self.now();
        let deadline = wish.deadline.map(|deadline| Time(deadline.saturating_duration_since(self.epoch)));
        let pending = Pending::new(infer, wish.deadline, client, now);
        let mut state = self.lock();
        let submitted = state.submit(wish, deadline, pending, now);
        let id = submitted.inspect_err(|failure| state.stats.rejected(failure.reason()))?;
        let may_stream = state.scheduler.may_stream(id);
        self.pump(&mut state);
        Ok((id, may_stream))
    }

    /// Nobody waits for the request any longer.
    fn cancel(&self, request: RequestId) {
        let mut state = self.lock();
        state.cancel(request, self.now());
        self.pump(&mut state);
    }

    /// Carries out every assignment that is due, and sees that time is watched.
    fn pump(&self, state: &mut State) {
        let now = self.now();
        state.assign_all(now);
        let next = state.scheduler.next_check(now);
        if next.is_some_and(|next| state.wakes.is_none_or(|wakes| next < wakes)) {
            state.wakes = next;
            self.tick.notify_one();
        }
        self.announce_quiet(state);
    }

    /// Lets those know who wait for the last request to end.
    fn announce_quiet(&self, state: &State) {
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
