//! The calls of handlers: what they inherit from the requests that make them, and that each of them can run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use anyserve_core::calls::{CallId, Calls, Here, Slots};
use anyserve_core::scheduler::{Cancelled, OfferId, Priority, RequestId, Time, WorkerId};
use tokio::sync::oneshot;

use super::Dispatcher;
use super::pending::Pending;
use super::state::State;
use crate::failure::Failure;
use crate::trace::Trace;

tokio::task_local! {
    /// The call that a task is about. What is between it and the queue serves requests of any origin alike.
    static CURRENT: CallId;
}

/// What holds for a call because it holds for the requests that make it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inherited {
    pub(crate) deadline: Option<Instant>,
    pub(crate) priority: Option<Priority>,
    pub(crate) trace: Option<Arc<Trace>>,
}

/// A call that is under way; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenCall {
    dispatcher: Arc<Dispatcher>,
    id: CallId,
    /// Says why, if nobody waits any longer for the requests that make it.
    orphaned: oneshot::Receiver<Failure>,
}

/// All calls that are under way and were made for a request.
#[derive(Debug, Default)]
pub(super) struct OpenCalls {
    pub(super) calls: Calls,
    /// How their tasks hear that nobody waits for them any longer.
    orphans: HashMap<CallId, oneshot::Sender<Failure>>,
    /// Requests whose streams are closed, but whose handlers go on: nobody has given them up.
    closed: HashSet<(WorkerId, RequestId)>,
}

impl Dispatcher {
    /// The handler of these requests makes a call. Returns what it inherits; and, if any of them has not been answered,
    /// what it is to be [run](OpenCall::run) by. Fails if all of them were given up.
    pub(crate) fn begin_call(
        self: &Arc<Self>,
        worker: WorkerId,
        callers: &[u64],
    ) -> Result<(Inherited, Option<OpenCall>), Failure> {
        if callers.is_empty() {
            return Ok((Inherited::default(), None));
        }
        let mut state = self.lock();
        let callers: Vec<_> = callers.iter().map(|&caller| RequestId(caller)).collect();
        let held: Vec<_> =
            callers.into_iter().filter(|&caller| state.scheduler.holder(caller) == Some(worker)).collect();
        let alive: Vec<_> =
            held.iter().copied().filter(|caller| state.requests.contains_key(caller)).collect();
        if alive.is_empty() {
            let given_up = held.iter().any(|&caller| !state.calls.closed.contains(&(worker, caller)));
            return if given_up { Err(Failure::CallerGone) } else { Ok((Inherited::default(), None)) };
        }
        let inherited = Inherited::of(alive.iter().filter_map(|caller| state.requests.get(caller)));
        let State { calls, scheduler, .. } = &mut *state;
        let id =
            calls.calls.begin(alive.iter().filter_map(|&caller| Some((caller, scheduler.seat(caller)?))));
        let (orphan, orphaned) = oneshot::channel();
        calls.orphans.insert(id, orphan);
        drop(state);
        Ok((inherited, Some(OpenCall { dispatcher: Arc::clone(self), id, orphaned })))
    }

    fn call_ended(&self, call: CallId) {
        let mut state = self.lock();
        state.calls.orphans.remove(&call);
        if state.calls.calls.ended(call) {
            // Those that still wait may now wait for each other alone.
            state.break_circles(self.now());
            self.pump(&mut state);
        }
    }
}

impl Inherited {
    /// A batch has as long as the last of its requests, and is as urgent as the most urgent.
    fn of<'a>(callers: impl Iterator<Item = &'a Pending>) -> Self {
        let mut callers = callers.peekable();
        let mut inherited = callers.peek().map_or_else(Self::default, |first| Self {
            deadline: first.deadline,
            priority: None,
            trace: first.trace.clone(),
        });
        for caller in callers {
            inherited.deadline = inherited.deadline.zip(caller.deadline).map(|(one, other)| one.max(other));
            inherited.priority = inherited.priority.into_iter().chain(caller.priority).min();
        }
        inherited
    }
}

impl OpenCall {
    /// Does what the call asks for, as long as anybody waits.
    pub(crate) async fn run<T>(
        mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            // What is both late and there is there.
            biased;
            done = CURRENT.scope(self.id, work) => done,
            orphaned = &mut self.orphaned => Err(orphaned.unwrap_or(Failure::CallerGone)),
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.dispatcher.call_ended(self.id);
    }
}

/// The call that the running task is about.
pub(super) fn current() -> Option<CallId> {
    CURRENT.try_with(|call| *call).ok()
}

impl State {
    /// A call is in a queue, unless it runs already. If it can never run, it ends.
    pub(super) fn call_queued(&mut self, call: CallId, now: Time) {
        if !self.calls.calls.has_room(call, &self.here()) {
            self.break_circles(now);
        }
    }

    /// Fails calls that can never run because those who have the slots wait for them.
    pub(super) fn break_circles(&mut self, now: Time) {
        while let Some(call) = self.calls.calls.circle(&self.here()) {
            if let Some(request) = self.calls.calls.request(call) {
                let failure = self.explain_circle(request);
                self.end(request, Err(failure), now);
                if let Cancelled::Assigned(worker) = self.scheduler.cancel(request) {
                    self.tell_cancelled(worker, request);
                }
            }
            self.calls.calls.ended(call);
        }
    }

    /// A request has been answered, or was given up: then its calls are too.
    pub(super) fn caller_ended(&mut self, request: RequestId, given_up: Option<&Failure>) {
        if self.calls.calls.is_empty() {
            return;
        }
        let orphans = self.calls.calls.caller_ended(request);
        if let Some(failure) = given_up {
            for call in orphans {
                if let Some(orphan) = self.calls.orphans.remove(&call) {
                    let _ = orphan.send(Failure::of_caller(failure));
                }
            }
        }
    }

    /// A stream is closed, but its handler goes on.
    pub(super) fn caller_closed(&mut self, worker: WorkerId, request: RequestId) {
        self.calls.closed.insert((worker, request));
    }

    /// The handler of a request is done.
    pub(super) fn caller_done(&mut self, worker: WorkerId, request: RequestId) {
        if !self.calls.closed.is_empty() {
            self.calls.closed.remove(&(worker, request));
        }
    }

    /// A worker is gone.
    pub(super) fn callers_gone(&mut self, worker: WorkerId) {
        self.calls.closed.retain(|&(other, _)| other != worker);
    }

    fn here(&self) -> Here<'_> {
        Here { scheduler: &self.scheduler, scaler: &self.scaler }
    }

    fn explain_circle(&self, request: RequestId) -> Failure {
        let here = self.here();
        let offers = here.waits_for(request).unwrap_or_default();
        let capability = offers.first().map(|&offer| self.scheduler.offer(offer).capability.to_string());
        let mut pools: Vec<_> = offers.iter().map(|offer| self.describe_slots(*offer)).collect();
        pools.dedup();
        Failure::Circle { capability: capability.unwrap_or_default(), pools: pools.join(", ") }
    }

    fn describe_slots(&self, offer: OfferId) -> String {
        let name = self.pools.get(&offer.pool).map_or("", |record| record.name.as_str());
        let slots = self.scheduler.slots(offer.pool);
        let limit =
            self.scheduler.offer(offer).concurrency.map(|limit| limit * self.scheduler.takers(offer.pool));
        match limit.map_or(slots, |limit| limit.min(slots)) {
            0 => format!("pool '{name}', for whose workers there is no room"),
            1 => format!("pool '{name}', which runs 1 at once"),
            slots => format!("pool '{name}', which runs {slots} at once"),
        }
    }
}
