//! Brings requests to workers and their answers back.
//!
//! One lock holds all that is known of requests and workers. The scheduler in `anyserve-core` decides; here its
//! decisions are carried out: an assignment is written to the worker's channel, an answer to whoever waits for it.

mod answers;
mod calls;
mod hello;
mod link;
mod member;
mod offered;
mod operate;
mod pending;
mod pools;
mod rate;
mod state;
mod steer;
mod ticker;
mod ticket;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_channel::ChannelError;
use anyserve_core::Query;
use anyserve_core::scaler::Misfit;
use anyserve_core::scheduler::{PoolId, Priority, RequestId, Time, WorkerId};
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::worker::{Call, HungUp, Taken, ToAgent, to_agent};
use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::config::AgentConfig;
use crate::delegate::{Delegate, Route};
use crate::failure::Failure;
use crate::objects::{Objects, PlacementError};
use crate::replicas::Replicas;
use crate::trace::Trace;
use crate::worker::WorkerExit;
pub(crate) use calls::{Inherited, OpenCall};
pub(crate) use hello::{Declaration, Described, HelloError, check_version};
pub(crate) use link::Link;
pub(crate) use operate::OperationError;
use pending::Pending;
pub(crate) use pending::{Client, Event, WINDOW_BYTES, WINDOW_RESPONSES, What};
pub(crate) use pools::NewPool;
use state::{Life, State};
pub(crate) use steer::Launch;
pub(crate) use ticket::{Hold, Ticket};
pub(crate) use view::ModelState;

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
    /// What it is a part of, for what is called on its behalf.
    pub(crate) trace: Option<Arc<Trace>>,
}

/// Something that a worker says of its calls.
#[derive(Debug)]
pub(crate) enum CallMessage {
    /// It makes one, with this payload.
    Begin(Box<Call>, Bytes),
    /// It has taken so much of the answers to one.
    Taken(Taken),
    /// Nobody waits for some any longer.
    HungUp(HungUp),
}

impl CallMessage {
    /// What a message says of calls, if it does.
    pub(crate) fn of(message: to_agent::Message, payload: Bytes) -> Option<Self> {
        match message {
            to_agent::Message::Call(call) => Some(Self::Begin(Box::new(call), payload)),
            to_agent::Message::Taken(taken) => Some(Self::Taken(taken)),
            to_agent::Message::HungUp(hung_up) => Some(Self::HungUp(hung_up)),
            _ => None,
        }
    }
}

/// A message that no honest worker sends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("it answered request {0}, which it does not hold")]
    NotHeld(u64),
    #[error("it gave two calls the number {0}")]
    CallTwice(u64),
    #[error("it sent a second hello, an empty message, or many responses where one is expected")]
    OutOfTurn,
    #[error("it sent more than the {0} responses that a stream may be ahead of its client")]
    Window(u32),
    #[error(transparent)]
    Placement(#[from] PlacementError),
    #[error("it sent a response with {outputs} outputs, but contents for {contents}")]
    OutputCount { outputs: usize, contents: usize },
}

/// What follows from the end of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    /// How many starts of its pool have failed in a row, this one included; none if it had been ready.
    pub(crate) failures: Option<u32>,
    /// How long until another is started; none if none is needed.
    pub(crate) next_start: Option<Duration>,
}

/// The meeting point of requests and workers.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    state: Mutex<State>,
    objects: Arc<Objects>,
    replicas: Option<Arc<Replicas>>,
    /// Time zero of the scheduler.
    epoch: Instant,
    /// Wakes the ticker.
    tick: Notify,
    /// Wakes those who decide about workers.
    decide: Notify,
    /// Wakes who waits for the last request to end.
    quiet: Notify,
    /// How many pools take requests, by a worker that is ready or by one that is started for them.
    serving: watch::Sender<usize>,
    /// Moves when workers or pools have changed.
    changes: watch::Sender<u64>,
    stopping: CancellationToken,
    max_message_size: usize,
    model_control: bool,
    debug: bool,
}

impl Dispatcher {
    pub(crate) fn new(config: &AgentConfig, objects: Arc<Objects>, replicas: Option<Arc<Replicas>>) -> Self {
        Self {
            state: Mutex::new(State::new(config)),
            objects,
            replicas,
            epoch: Instant::now(),
            tick: Notify::new(),
            decide: Notify::new(),
            quiet: Notify::new(),
            serving: watch::Sender::new(0),
            changes: watch::Sender::new(0),
            stopping: CancellationToken::new(),
            max_message_size: config.max_message_size,
            model_control: config.model_control,
            debug: config.debug,
        }
    }

    /// What requests refer to.
    pub(crate) fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// The fleet, of an agent that is one of many.
    pub(crate) fn replicas(&self) -> Option<&Arc<Replicas>> {
        self.replicas.as_ref()
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

    /// Where a request goes that is not served here; none if it is. Why nowhere, if no other replica serves it either.
    pub(crate) fn route(&self, wanted: &Wanted, headers: &HeaderMap) -> Result<Option<Route>, Failure> {
        match self.delegate() {
            Some(delegate) if !self.lock().serves(wanted) => {
                delegate.route(wanted, headers).map(Some).map_err(|failure| self.reject(failure))
            }
            _ => Ok(None),
        }
    }

    /// Who passes on what is not served here, if the agent knows of other replicas.
    pub(crate) fn delegate(&self) -> Option<&Arc<Delegate>> {
        self.replicas.as_ref().map(|replicas| replicas.delegate())
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

    /// Adds a pool without workers.
    pub(crate) fn add_pool(&self, pool: NewPool) -> Result<PoolId, Misfit> {
        let mut state = self.lock();
        let added = state.add_pool(pool);
        self.changed(&mut state);
        added
    }

    /// The pool goes once nothing needs it; nothing new is for it.
    pub(crate) fn retire_pool(&self, pool: PoolId) {
        let mut state = self.lock();
        state.retire_pool(pool);
        self.changed(&mut state);
    }

    /// The process of a worker has started.
    pub(crate) fn worker_started(
        &self,
        worker: WorkerId,
        process: Option<u32>,
        kill: oneshot::Sender<WorkerExit>,
    ) {
        if let Some(member) = self.lock().members.get_mut(&worker) {
            member.started(process, kill);
        }
    }

    /// A worker has loaded its application.
    pub(crate) fn worker_ready(
        &self,
        worker: WorkerId,
        declaration: Declaration,
        link: Link,
    ) -> Result<(), HelloError> {
        let mut state = self.lock();
        state.worker_ready(worker, declaration, link, self.now())?;
        self.changed(&mut state);
        Ok(())
    }

    /// A worker sent messages, each with its payload. Returns whether there are responses of a stream among them, and
    /// what it says of its calls.
    pub(crate) fn receive(
        &self,
        worker: WorkerId,
        frames: impl IntoIterator<Item = (ToAgent, Bytes)>,
    ) -> Result<(bool, Vec<CallMessage>), Violation> {
        let now = self.now();
        let (mut streams, mut calls) = (false, Vec::new());
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
                Some(to_agent::Message::Settled(settled)) => {
                    state.settled(worker, settled, now)?;
                    self.publish(&state);
                }
                Some(to_agent::Message::Released(released)) => {
                    if let Some(link) = state.link(worker) {
                        link.memory.release(&released.leases)?;
                    }
                }
                // That it came is all that it says.
                Some(to_agent::Message::Heartbeat(_)) => {}
                Some(other) => calls.push(CallMessage::of(other, payload).ok_or(Violation::OutOfTurn)?),
                None => return Err(Violation::OutOfTurn),
            }
        }
        self.pump(&mut state);
        Ok((streams, calls))
    }

    /// A worker is gone; `claimed` is the sequence number of the last assignment it started, `words` what it wrote to
    /// stderr last.
    pub(crate) fn worker_gone(&self, worker: WorkerId, claimed: u64, exit: &WorkerExit, words: &str) -> Gone {
        let now = self.now();
        let mut state = self.lock();
        let pool = state.members.get(&worker).map(|member| member.pool);
        let failures = state.worker_gone(worker, claimed, exit, words, now);
        let next_start = pool.and_then(|pool| state.next_start(pool, now));
        if !matches!(exit, WorkerExit::Stopped | WorkerExit::Declared(_)) {
            state.stats.restarted(exit.reason());
        }
        self.changed(&mut state);
        Gone { failures, next_start }
    }

    /// Comes true when the agent takes no new requests.
    pub(crate) fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.stopping.clone().cancelled_owned()
    }

    /// Takes no new requests from now on.
    pub(crate) fn drain(&self) {
        self.stopping.cancel();
        let mut state = self.lock();
        state.life = Life::Draining;
        state.scheduler.close();
        self.changed(&mut state);
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

    /// Keeps [`Self::readiness`] true to what other replicas serve, for as long as it is polled.
    pub(crate) async fn follow_fleet(&self) {
        let Some(delegate) = self.delegate() else {
            return std::future::pending().await;
        };
        let mut status = delegate.directory().watch();
        while status.changed().await.is_ok() {
            self.publish(&self.lock());
        }
    }

    /// How many pools take requests, or, of a gateway, whether other replicas do; changes as workers and replicas come and
    /// go.
    pub(crate) fn readiness(&self) -> watch::Receiver<usize> {
        self.serving.subscribe()
    }

    /// Changes whenever workers or pools have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
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
        let pending = Pending::new(infer, wish, client, now);
        let call = calls::current();
        let mut state = self.lock();
        let submitted = state.submit(wish, deadline, pending, now);
        let id = submitted.inspect_err(|failure| state.stats.rejected(failure.reason()))?;
        let may_stream = state.scheduler.may_stream(id);
        if let Some(call) = call {
            state.calls.calls.queued(call, id);
        }
        self.pump(&mut state);
        if let Some(call) = call {
            state.call_queued(call, now);
        }
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
        if !state.settling.is_empty() {
            state.settle(now);
        }
        if state.undecided || (!state.watched && state.scheduler.waiting() > 0) {
            state.watched = true;
            self.decide.notify_one();
        }
        let next = state.scheduler.next_check(now);
        if next.is_some_and(|next| state.wakes.is_none_or(|wakes| next < wakes)) {
            state.wakes = next;
            self.tick.notify_one();
        }
        self.announce_quiet(state);
    }

    /// Lets those know who wait for the last request to end.
    fn announce_quiet(&self, state: &State) {
        if state.is_draining() && state.scheduler.unfinished() == 0 {
            self.quiet.notify_waiters();
        }
    }

    /// Workers or pools have changed: what follows from that.
    fn changed(&self, state: &mut State) {
        self.pump(state);
        self.publish(state);
    }

    fn publish(&self, state: &State) {
        // A gateway serves by what others do. Of an agent with workers, health is a matter of its own: else an update that
        // waits for each in turn would stop them all.
        let is_gateway = state.pools.is_empty() && state.life == Life::Serving;
        let others = is_gateway && self.delegate().is_some_and(|delegate| delegate.has_others());
        let serving = state.serving(self.now()) + usize::from(others);
        self.serving.send_if_modified(|current| std::mem::replace(current, serving) != serving);
        self.changes.send_modify(|count| *count += 1);
    }

    fn now(&self) -> Time {
        Time(self.epoch.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
