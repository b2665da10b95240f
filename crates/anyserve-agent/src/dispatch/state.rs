//! All that is known of requests and workers, behind the dispatcher's one lock.

use std::collections::HashMap;
use std::time::Duration;

use anyserve_core::scheduler::{
    Ask, Assignment, Cancelled, OfferId, Orphan, PoolId, RequestId, Time, WorkerId,
};
use anyserve_core::{Catalog, Scheduler};

use super::hello::{Declaration, Described, HelloError};
use super::link::Link;
use super::pending::{Pending, UnreadBytes};
use super::{Wanted, Wish};
use crate::config::AgentConfig;
use crate::failure::Failure;
use crate::telemetry::{OfferStats, QueueState, Snapshot, Stats};
use crate::worker::WorkerExit;

#[derive(Debug)]
pub(super) struct State {
    pub(super) scheduler: Scheduler,
    pub(super) catalog: Catalog,
    pub(super) stats: Stats,
    pub(super) draining: bool,
    /// When the ticker looks next by itself.
    pub(super) wakes: Option<Time>,
    /// The one pool and what its workers serve, once the first of them has said so.
    pool: Option<(PoolId, Vec<Described>)>,
    pub(super) requests: HashMap<RequestId, Pending>,
    /// The size of the tensors in `requests`, and of the responses that nobody has taken; and how large both may be.
    pub(super) held_bytes: u64,
    pub(super) unread_bytes: UnreadBytes,
    pub(super) max_held_bytes: u64,
    workers: HashMap<WorkerId, Link>,
}

impl State {
    pub(super) fn new(config: &AgentConfig) -> Self {
        Self {
            scheduler: Scheduler::new(config.max_queue_size),
            catalog: Catalog::default(),
            stats: Stats::default(),
            draining: false,
            wakes: None,
            pool: None,
            requests: HashMap::new(),
            held_bytes: 0,
            unread_bytes: UnreadBytes::default(),
            max_held_bytes: config.max_queue_bytes,
            workers: HashMap::new(),
        }
    }

    pub(super) fn submit(
        &mut self,
        wish: &Wish,
        deadline: Option<Time>,
        mut pending: Pending,
        now: Time,
    ) -> Result<RequestId, Failure> {
        if self.draining {
            return Err(Failure::Draining);
        }
        if self.pool.is_none() {
            return Err(Failure::Starting);
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
        let id = self
            .scheduler
            .submit(&ask, now)
            .map_err(|rejection| Failure::rejected(rejection, query, &self.catalog))?;
        pending.times.offer = self.scheduler.offer_for(id);
        self.requests.insert(id, pending);
        self.held_bytes = held_bytes;
        Ok(id)
    }

    /// Carries out every assignment that is due.
    pub(super) fn assign_all(&mut self, now: Time) {
        while let Some(assignment) = self.scheduler.next(now) {
            self.assign(&assignment, now);
        }
    }

    fn assign(&mut self, assignment: &Assignment, now: Time) {
        let Some(link) = self.workers.get(&assignment.worker) else {
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
        self.stats.offer(assignment.offer.index).in_flight += count as u64;
    }

    /// Ends requests that were about to be sent. They have not run, so nothing is to be learnt of their handler.
    fn refuse(&mut self, assignment: &Assignment, held: u64, now: Time) {
        for &id in &assignment.requests {
            self.end(id, Err(Failure::MemoryFull { held, limit: self.max_held_bytes }), now);
            self.scheduler.cancel(id);
        }
        self.scheduler.returned(assignment.worker, &assignment.requests, now);
    }

    pub(super) fn worker_ready(
        &mut self,
        worker: WorkerId,
        declaration: Declaration,
        link: Link,
    ) -> Result<(), HelloError> {
        let Declaration { capabilities, concurrency } = declaration;
        let pool = match &self.pool {
            Some((pool, known)) if *known == capabilities => *pool,
            Some(_) => return Err(HelloError::Changed),
            None => {
                let offers: Vec<_> = capabilities.iter().map(|described| described.offer.clone()).collect();
                for (index, offer) in offers.iter().enumerate() {
                    self.catalog.insert(offer.capability.clone());
                    self.stats.offer(index);
                }
                let pool = self.scheduler.add_pool(offers);
                self.pool = Some((pool, capabilities));
                pool
            }
        };
        self.workers.insert(worker, link);
        self.scheduler.worker_ready(worker, pool, concurrency);
        Ok(())
    }

    pub(super) fn worker_gone(&mut self, worker: WorkerId, claimed: u64, exit: &WorkerExit, now: Time) {
        self.workers.remove(&worker);
        for orphan in self.scheduler.worker_gone(worker, claimed) {
            match orphan {
                Orphan::Requeued(request) => self.unassign(request),
                Orphan::Lost(request) => self.end(request, Err(Failure::WorkerLost(exit.to_string())), now),
            }
        }
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
        if let Some(link) = self.scheduler.holder(id).and_then(|worker| self.workers.get(&worker)) {
            link.consumed(id, responses, bytes);
        }
    }

    pub(super) fn recall(&mut self, worker: WorkerId) {
        if let Some(link) = self.workers.get(&worker) {
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
        if let Some(link) = self.workers.get_mut(&worker) {
            link.kill(WorkerExit::Hung(timeout));
        }
    }

    pub(super) fn abandon(&mut self) -> Vec<String> {
        self.held_bytes = 0;
        let left = std::mem::take(&mut self.requests);
        let end = |(id, pending): (RequestId, Pending)| {
            self.scheduler.cancel(id);
            let what = pending.describe(id);
            pending.end(id, Err(Failure::Draining), &self.unread_bytes);
            what
        };
        left.into_iter().map(end).collect()
    }

    /// What is known of the capabilities behind a model name, each with its index and whether a worker is ready for it.
    pub(super) fn describe(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Vec<(Described, usize, bool)>, Failure> {
        if name.is_empty() {
            return Err(Failure::NoCapability);
        }
        let query = self.catalog.query_for_model(name, version)?;
        let known = self.pool.as_ref().map_or(&[][..], |(_, known)| known);
        let found: Vec<_> = self
            .scheduler
            .lookup(&query)
            .filter_map(|(id, ready)| Some((known.get(id.index)?.clone(), id.index, ready && !self.draining)))
            .collect();
        if found.is_empty() {
            return Err(Failure::NoMatch(self.catalog.explain_no_match(&query)));
        }
        Ok(found)
    }

    /// The counts of every capability, in the order of their declaration.
    pub(super) fn offer_stats(&self) -> impl Iterator<Item = (&Described, &OfferStats)> {
        self.pool.iter().flat_map(|(_, known)| known).zip(&self.stats.offers)
    }

    /// All counts at this moment.
    pub(super) fn snapshot(&mut self, now: Time) -> Snapshot {
        let mut queues = Vec::new();
        if let Some((pool, known)) = &self.pool {
            for (index, described) in known.iter().enumerate() {
                let (waiting, since) = self.scheduler.waiting_for(OfferId { pool: *pool, index });
                let capability = described.offer.capability.clone();
                queues.push(QueueState::new(capability, waiting, since, now));
            }
        }
        Snapshot {
            stats: self.stats.clone(),
            queues,
            ready_workers: if self.draining { 0 } else { self.scheduler.ready_workers() },
            worker_processes: self.workers.values().filter_map(Link::process).collect(),
        }
    }

    /// A request waits again.
    pub(super) fn unassign(&mut self, id: RequestId) {
        if let Some(pending) = self.requests.get_mut(&id)
            && let Some((offer, _)) = pending.times.assigned.take()
        {
            self.stats.offer(offer.index).returned();
        }
    }

    pub(super) fn tell_cancelled(&self, worker: WorkerId, request: RequestId) {
        if let Some(link) = self.workers.get(&worker) {
            link.cancel(request);
        }
    }

    fn timeout(&self, id: RequestId) -> Duration {
        let offer = self.scheduler.offer_for(id).map(|offer| self.scheduler.offer(offer));
        offer.and_then(|offer| offer.timeout).unwrap_or_default()
    }
}
