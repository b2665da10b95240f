//! All that is known of requests and workers, behind the dispatcher's one lock.

use std::collections::HashMap;
use std::time::Duration;

use std::collections::BTreeMap;

use anyserve_core::scaler::Budget;
use anyserve_core::scheduler::{Ask, Assignment, Cancelled, PoolId, Rejection, RequestId, Time, WorkerId};
use anyserve_core::{Catalog, Scaler, Scheduler};

use super::calls::OpenCalls;
use super::link::Link;
use super::member::Member;
use super::pending::{Pending, UnreadBytes};
use super::pools::PoolRecord;
use super::{Launch, Wanted, Wish};
use crate::config::AgentConfig;
use crate::failure::Failure;
use crate::telemetry::Stats;
use crate::worker::WorkerExit;

/// What the agent is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Not every pool is known yet.
    Booting,
    Serving,
    /// It takes no new requests.
    Draining,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) scheduler: Scheduler,
    pub(super) scaler: Scaler,
    pub(super) catalog: Catalog,
    pub(super) stats: Stats,
    pub(super) life: Life,
    /// When the ticker looks next by itself.
    pub(super) wakes: Option<Time>,
    pub(super) pools: BTreeMap<PoolId, PoolRecord>,
    pub(super) requests: HashMap<RequestId, Pending>,
    /// The size of the tensors in `requests`, and of the responses that nobody has taken; and how large both may be.
    pub(super) held_bytes: u64,
    pub(super) unread_bytes: UnreadBytes,
    pub(super) max_held_bytes: u64,
    pub(super) members: HashMap<WorkerId, Member>,
    /// What handlers have called and wait for.
    pub(super) calls: OpenCalls,
    /// Those that are to stop or to sleep once they have nothing to do.
    pub(super) settling: Vec<WorkerId>,
    /// Workers that are to be started.
    pub(super) launches: Vec<Launch>,
    /// Something has happened that a decision may follow from.
    pub(super) undecided: bool,
    /// Decisions are looked for from time to time, because something waits.
    pub(super) watched: bool,
}

impl State {
    pub(super) fn new(config: &AgentConfig) -> Self {
        Self {
            scheduler: Scheduler::new(config.max_queue_size),
            scaler: Scaler::new(Budget::new(config.fleet.gpus.iter().copied(), config.fleet.amounts.clone())),
            catalog: Catalog::default(),
            stats: Stats::default(),
            life: Life::Booting,
            wakes: None,
            pools: BTreeMap::new(),
            requests: HashMap::new(),
            held_bytes: 0,
            unread_bytes: UnreadBytes::default(),
            max_held_bytes: config.max_queue_bytes,
            members: HashMap::new(),
            calls: OpenCalls::default(),
            settling: Vec::new(),
            launches: Vec::new(),
            undecided: false,
            watched: false,
        }
    }

    pub(super) fn submit(
        &mut self,
        wish: &Wish,
        deadline: Option<Time>,
        mut pending: Pending,
        now: Time,
    ) -> Result<RequestId, Failure> {
        if self.is_draining() {
            return Err(Failure::Draining);
        }
        let named;
        let query = match &wish.wanted {
            Wanted::Pairs(query) => query,
            Wanted::Model { name, .. } if name.is_empty() => return Err(Failure::NoCapability),
            Wanted::Model { name, version } => {
                named = self.catalog.query_for_model(name, version)?;
                &named
            }
        };
        pending.check_frame()?;
        let held_bytes = self.held_bytes + pending.bytes();
        let unread = self.unread_bytes.get();
        if held_bytes + unread > self.max_held_bytes {
            return Err(Failure::MemoryFull { held: self.held_bytes + unread, limit: self.max_held_bytes });
        }
        let takes_stream = pending.client.takes_stream();
        let ask = Ask { query, takes_stream, priority: wish.priority, deadline };
        let id = self.scheduler.submit(&ask, now).map_err(|rejection| match rejection {
            // What is not known yet may be what is wanted.
            Rejection::NoMatch if self.life == Life::Booting => Failure::Starting,
            rejection => Failure::rejected(rejection, query, &self.catalog),
        })?;
        if let Some(failure) = self.drained(id) {
            self.scheduler.cancel(id);
            return Err(failure);
        }
        if let Some(pools) = self.scheduler.stranded(id) {
            if let Some(failure) = self.hopeless(&pools, now) {
                self.scheduler.cancel(id);
                return Err(failure);
            }
            self.undecided = true;
        }
        pending.times.offer = self.scheduler.offer_for(id);
        self.requests.insert(id, pending);
        self.held_bytes = held_bytes;
        Ok(id)
    }

    /// True if a request is a matter of this agent.
    pub(super) fn serves(&mut self, wanted: &Wanted) -> bool {
        if self.life != Life::Serving {
            return true;
        }
        let named;
        let query = match wanted {
            Wanted::Pairs(query) => query,
            Wanted::Model { name, version } => {
                let Ok(query) = self.catalog.query_for_model(name, version) else { return true };
                named = query;
                &named
            }
        };
        if self.pools.values().any(|record| record.drains) {
            let mut offers = self.scheduler.lookup(query);
            return offers.any(|(offer, _)| self.pools.get(&offer.pool).is_some_and(|record| !record.drains));
        }
        self.scheduler.serves(query)
    }

    /// Carries out every assignment that is due.
    pub(super) fn assign_all(&mut self, now: Time) {
        while let Some(assignment) = self.scheduler.next(now) {
            self.assign(&assignment, now);
        }
    }

    fn assign(&mut self, assignment: &Assignment, now: Time) {
        let Some(link) = self.members.get(&assignment.worker).and_then(Member::link) else {
            return;
        };
        // Responses that nobody takes may have filled the memory since these were accepted.
        let held = self.held_bytes + self.unread_bytes.get();
        if held > self.max_held_bytes {
            return self.refuse(assignment, held, now);
        }
        let count = assignment.requests.len();
        for (index, id) in assignment.requests.iter().enumerate() {
            if let Some(pending) = self.requests.get_mut(id) {
                pending.times.assigned = Some((assignment.offer, now));
                pending.times.batch_size = count as u64;
                pending.times.leads = index == 0;
                link.assign(assignment, *id, pending, index + 1 < count);
            }
        }
        link.write();
        self.stats.offer(assignment.offer).in_flight += count as u64;
    }

    /// Ends requests that were about to be sent. They have not run, so nothing is to be learnt of their handler.
    fn refuse(&mut self, assignment: &Assignment, held: u64, now: Time) {
        for &id in &assignment.requests {
            self.end(id, Err(Failure::MemoryFull { held, limit: self.max_held_bytes }), now);
            self.scheduler.cancel(id);
        }
        self.scheduler.returned(assignment.worker, &assignment.requests, now);
    }

    /// The client of a request is gone.
    pub(super) fn cancel(&mut self, request: RequestId, now: Time) {
        self.end(request, Err(Failure::ClientGone), now);
        if let Cancelled::Assigned(worker) = self.scheduler.cancel(request) {
            self.tell_cancelled(worker, request);
        }
    }

    /// The client took so much of a stream.
    pub(super) fn consumed(&mut self, id: RequestId, responses: u32, bytes: u64) {
        if let Some(pending) = self.requests.get_mut(&id) {
            pending.outstanding = pending.outstanding.saturating_sub(responses);
        }
        if let Some(link) = self.scheduler.holder(id).and_then(|worker| self.link(worker)) {
            link.consumed(id, responses, bytes);
        }
    }

    pub(super) fn recall(&mut self, worker: WorkerId) {
        if let Some(link) = self.link(worker) {
            link.recall();
        }
    }

    /// The deadline of a request has passed.
    pub(super) fn expired(&mut self, id: RequestId, holder: Option<WorkerId>, now: Time) {
        let arrived = self.requests.get(&id).map_or(now, |pending| pending.times.arrived);
        self.end(id, Err(Failure::Deadline(now.since(arrived))), now);
        if let Some(worker) = holder {
            self.tell_cancelled(worker, id);
        }
    }

    /// A handler runs too long beside others, which need not suffer.
    pub(super) fn overrun(&mut self, worker: WorkerId, id: RequestId, now: Time) {
        let timeout = self.timeout(id);
        self.end(id, Err(Failure::Overrun(timeout)), now);
        self.tell_cancelled(worker, id);
    }

    /// Ends a worker whose handler ran too long, and the request it ran.
    pub(super) fn hung(&mut self, worker: WorkerId, id: RequestId, now: Time) {
        let timeout = self.timeout(id);
        self.end(id, Err(Failure::Hung(timeout)), now);
        self.scheduler.cancel(id);
        if let Some(member) = self.members.get_mut(&worker) {
            member.kill(WorkerExit::Hung(timeout));
        }
    }

    pub(super) fn abandon(&mut self) -> Vec<String> {
        self.held_bytes = 0;
        let left = std::mem::take(&mut self.requests);
        let end = |(id, pending): (RequestId, Pending)| {
            self.scheduler.cancel(id);
            let what = pending.describe(id);
            pending.end(id, Err(Failure::CutOff), &self.unread_bytes);
            what
        };
        left.into_iter().map(end).collect()
    }

    /// A request waits again.
    pub(super) fn unassign(&mut self, id: RequestId) {
        if let Some(pending) = self.requests.get_mut(&id)
            && let Some((offer, _)) = pending.times.assigned.take()
        {
            self.stats.offer(offer).returned();
        }
        // What its handler has called was lost with it.
        self.caller_ended(id, Some(&Failure::CallerGone));
    }

    pub(super) fn tell_cancelled(&self, worker: WorkerId, request: RequestId) {
        if let Some(link) = self.link(worker) {
            link.cancel(request);
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.life == Life::Draining
    }

    /// The way to a worker, once it is ready.
    pub(super) fn link(&self, worker: WorkerId) -> Option<&Link> {
        self.members.get(&worker).and_then(Member::link)
    }

    fn timeout(&self, id: RequestId) -> Duration {
        let offer = self.scheduler.offer_for(id).map(|offer| self.scheduler.offer(offer));
        offer.and_then(|offer| offer.timeout).unwrap_or_default()
    }
}
