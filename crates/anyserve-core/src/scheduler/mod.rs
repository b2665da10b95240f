//! Which request goes to which worker next.
//!
//! There is one queue for each distinct query, and each pool of workers knows the queues it can serve. A request is
//! bound to a worker as late as possible: when the worker has a credit for it. The caller reports what happens
//! (`submit`, `complete`, `worker_gone`, …) and then takes assignments by [`Scheduler::next`] until there are none.
//!
//! The best request goes first: by priority, then by the time when it is due (its arrival and the offer's SLO, or its
//! own deadline if that is sooner), then by arrival. One that cannot be in time any more makes way for those that can.
//! So that nothing starves, every eighth assignment goes to the request that has waited longest, if that is longer than
//! [`AGEING`].
//!
//! A worker has one credit for each batch of requests it runs at once, and, while its handlers are so fast that the way
//! between agent and worker would dominate, a few more, so that the next request is there when one ends. Such a *parked*
//! request is taken back ([`Action::Recall`]) as soon as it waits behind a handler that turned out slow while another
//! worker is free.

mod admission;
mod backlog;
mod clock;
mod demand;
mod line;
mod moves;
mod pick;
mod place;
mod pool;
mod pools;
mod queue;
mod ranking;
mod request;
mod slots;
mod tournament;
mod types;
mod usage;
mod worker;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::capability::Query;
use backlog::Share;
use clock::Timer;
pub use demand::Demand;
use pick::Candidate;
use place::Place;
pub use place::Priority;
use pool::Pool;
use queue::Queues;
use request::{Request, Requests};
pub use types::{
    Action, Ask, Assignment, Cancelled, Offer, OfferId, Orphan, PoolId, Rejection, RequestId, Time, WorkerId,
};
pub use worker::RECALL_AFTER;
use worker::{Batch, Worker};

/// A request that has waited this long has its turn after at most [`AGED_TURN`] assignments for each that is older.
pub const AGEING: Duration = Duration::from_secs(5);

/// Every so many assignments of a pool, the request that has waited longest goes first.
pub const AGED_TURN: u64 = 8;

/// The queues, the pools and their workers.
#[derive(Debug)]
pub struct Scheduler {
    max_waiting: usize,
    pools: Vec<Pool>,
    /// The pools with workers that take requests: few of many, and looked at for every request.
    active: Vec<usize>,
    queues: Queues,
    workers: HashMap<WorkerId, Worker, FixedState>,
    requests: Requests,
    timers: BTreeSet<(Time, Timer)>,
    /// The offers whose batches may wait for more requests.
    delayed: Vec<OfferId>,
    arrivals: u64,
    /// No more requests come: batches need not wait for them.
    closing: bool,
}

impl Scheduler {
    /// A scheduler that lets at most `max_waiting` requests wait.
    pub fn new(max_waiting: usize) -> Self {
        Self {
            max_waiting,
            pools: Vec::new(),
            active: Vec::new(),
            queues: Queues::default(),
            workers: HashMap::default(),
            requests: Requests::default(),
            timers: BTreeSet::new(),
            delayed: Vec::new(),
            arrivals: 0,
            closing: false,
        }
    }

    /// No more requests come, so that batches which wait for more go as they are.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Queues a request, or says why not.
    pub fn submit(&mut self, ask: &Ask<'_>, now: Time) -> Result<RequestId, Rejection> {
        let Some(slot) = self.queues.find(ask.query, ask.takes_stream, &mut self.pools) else {
            return Err(self.explain_no_match(ask.query));
        };
        let offers = &self.queues.get(slot).offers;
        let first = &self.pools[offers[0].pool.0].lanes[offers[0].index];
        let slo = offers.iter().filter_map(|&id| self.offer(id).slo).min();
        let due = slo.map(|slo| now.plus(slo)).into_iter().chain(ask.deadline).min();
        let priority = ask.priority.unwrap_or(first.offer.priority);
        let share = Share::new(priority, now, due, first.work());
        self.admit(ask, offers, &share, now)?;
        self.arrivals += 1;
        let request = Request {
            queue: slot,
            place: Place::new(priority, due, self.arrivals),
            arrived: now,
            due,
            deadline: ask.deadline,
            share,
            holder: None,
            retried: false,
            responded: false,
            cancelled: false,
        };
        let id = self.requests.insert(request);
        self.timers.extend(ask.deadline.map(|deadline| (deadline, Timer::Deadline(id))));
        self.queues.hold(slot);
        for pool in self.queues.get(slot).pools() {
            self.pools[pool.0].arrivals += 1;
        }
        self.enter_queue(id);
        Ok(id)
    }

    /// The next assignment to carry out, if a request waits that a worker has a credit for.
    pub fn next(&mut self, now: Time) -> Option<Assignment> {
        let mut candidate: Option<Candidate> = None;
        for index in 0..self.active.len() {
            let found = self.candidate(self.active[index], now);
            candidate = candidate.into_iter().chain(found).min();
        }
        let Candidate { offer, worker, request, aged, .. } = candidate?;
        self.leave_queue(request);
        let mut requests = vec![request];
        let most = self.offer(offer).max_batch_size;
        while requests.len() < most
            && let Some(next) = self.first_of(offer, now)
        {
            self.leave_queue(next);
            requests.push(next);
        }
        let pool = &mut self.pools[offer.pool.0];
        pool.turns += 1;
        for request in requests.iter().filter_map(|&request| self.requests.get(request)) {
            pool.usage.add(&request.share, aged, now);
        }
        let (sequence, runs) =
            self.with_worker(worker, |worker| worker.assign(offer.index, requests.clone(), now))?;
        for &request in &requests {
            if let Some(request) = self.requests.get_mut(request) {
                request.holder = Some((worker, sequence));
            }
        }
        if runs {
            self.start_timer(worker, sequence, now);
        }
        Some(Assignment { requests, worker, offer, sequence })
    }

    /// The client of a request that goes on has its first response.
    pub fn responded(&mut self, id: RequestId, now: Time) {
        let Some(request) = self.requests.get_mut(id) else {
            return;
        };
        if let Some((worker, sequence)) = request.holder
            && !std::mem::replace(&mut request.responded, true)
            && let Some(worker) = self.workers.get(&worker)
            && let Some(batch) = worker.batch(sequence)
            && let Some(since) = batch.running_since
        {
            let lane = &mut self.pools[worker.pool().0].lanes[batch.offer];
            lane.first_response.measured(now.since(since));
        }
    }

    /// A worker is done with a request; returns whether anybody still waits for it.
    ///
    /// None if the worker does not hold that request.
    pub fn complete(&mut self, worker: WorkerId, id: RequestId, now: Time) -> Option<bool> {
        let sequence = self.held_by(worker, id)?;
        self.responded(id, now);
        if let Some(batch) = self.with_worker(worker, |worker| worker.complete(sequence, id, now))? {
            self.batch_ended(worker, sequence, &batch, now);
            if let Some(since) = batch.running_since {
                let pool = self.workers.get(&worker)?.pool();
                self.pools[pool.0].lanes[batch.offer].service.measured(now.since(since));
            }
        }
        self.forget(id).map(|request| !request.cancelled)
    }

    /// A worker answered a recall or a cancellation: it will not start these requests.
    ///
    /// Returns false if it did not hold one of them.
    pub fn returned(&mut self, worker: WorkerId, requests: &[RequestId], now: Time) -> bool {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.set_recalling(false);
        }
        for &request in requests {
            let Some(sequence) = self.held_by(worker, request) else {
                return false;
            };
            let ended = self.with_worker(worker, |worker| worker.give_back(sequence, request, now)).flatten();
            if let Some(batch) = ended {
                self.batch_ended(worker, sequence, &batch, now);
            }
            self.requeue(request);
        }
        true
    }

    /// Nobody waits for the request any longer.
    pub fn cancel(&mut self, id: RequestId) -> Cancelled {
        let Some(request) = self.requests.get_mut(id) else {
            return Cancelled::Unknown;
        };
        let Some((worker, _)) = request.holder else {
            self.leave_queue(id);
            self.forget(id);
            return Cancelled::Queued;
        };
        request.cancelled = true;
        Cancelled::Assigned(worker)
    }

    /// How many requests wait in queues.
    pub fn waiting(&self) -> usize {
        self.queues.waiting()
    }

    /// How many requests wait that an offer can serve, and since when the oldest does.
    pub fn waiting_for(&self, id: OfferId) -> (usize, Option<Time>) {
        let lane = &self.pools[id.pool.0].lanes[id.index];
        let oldest = lane.oldest().and_then(|oldest| self.requests.get(oldest));
        (lane.waiting, oldest.map(|request| request.arrived))
    }

    /// How many requests are queued or with a worker.
    pub fn unfinished(&self) -> usize {
        self.requests.len()
    }

    /// True if a pool can serve the query, whatever it answers by.
    pub fn serves(&mut self, query: &Query) -> bool {
        let mut has = |takes_stream| self.queues.has(query, takes_stream, &self.pools);
        // All pools are looked at only for a query that is new.
        has(false) || has(true) || self.lookup(query).next().is_some()
    }

    /// The offers that `query` matches, each with whether a worker is ready for it.
    pub fn lookup(&self, query: &Query) -> impl Iterator<Item = (OfferId, bool)> {
        let open = self.pools.iter().enumerate().filter(|(_, pool)| !pool.closed);
        open.flat_map(move |(index, pool)| {
            let (ready, id) = (pool.workers.len() > 0, PoolId(index));
            let matching = move |(_, lane): &(usize, &pool::Lane)| query.matches(&lane.offer.capability);
            let found = pool.lanes.iter().enumerate().filter(matching);
            found.map(move |(index, _)| (OfferId { pool: id, index }, ready))
        })
    }

    /// An offer by its id.
    pub fn offer(&self, id: OfferId) -> &Offer {
        &self.pools[id.pool.0].lanes[id.index].offer
    }

    /// The offer under which a request runs, or, while it waits, the first one that it might run under.
    pub fn offer_for(&self, id: RequestId) -> Option<OfferId> {
        let request = self.requests.get(id)?;
        let Some((worker, sequence)) = request.holder else {
            return self.queues.get(request.queue).offers.first().copied();
        };
        let worker = self.workers.get(&worker)?;
        Some(OfferId { pool: worker.pool(), index: worker.batch(sequence)?.offer })
    }

    /// The worker that has a request.
    pub fn holder(&self, id: RequestId) -> Option<WorkerId> {
        self.requests.get(id)?.holder.map(|(worker, _)| worker)
    }

    /// True if an offer that the request might run under streams its responses.
    pub fn may_stream(&self, id: RequestId) -> bool {
        let queue = self.requests.get(id).map(|request| self.queues.get(request.queue));
        queue.is_some_and(|queue| queue.offers.iter().any(|&offer| self.offer(offer).stream))
    }

    fn explain_no_match(&self, query: &Query) -> Rejection {
        let found = self.lookup(query).next();
        found.map_or(Rejection::NoMatch, |(id, _)| Rejection::StreamOnly(self.offer(id).capability.clone()))
    }

    /// The assignment with which a worker holds a request.
    fn held_by(&self, worker: WorkerId, request: RequestId) -> Option<u64> {
        let (holder, sequence) = self.requests.get(request)?.holder?;
        (holder == worker).then_some(sequence)
    }

    /// A batch is off its worker: the next parked one runs.
    fn batch_ended(&mut self, worker: WorkerId, sequence: u64, batch: &Batch, now: Time) {
        self.stop_timer(worker, sequence, batch);
        let promoted = self.workers.get_mut(&worker).and_then(|worker| worker.promote(now));
        if let Some(sequence) = promoted {
            self.start_timer(worker, sequence, now);
        }
    }

    fn start_timer(&mut self, id: WorkerId, sequence: u64, now: Time) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let pool = worker.pool();
        let Some(batch) = worker.batch_mut(sequence) else {
            return;
        };
        if let Some(timeout) = self.pools[pool.0].lanes[batch.offer].offer.timeout {
            let runs_out = now.plus(timeout);
            batch.runs_out = Some(runs_out);
            self.timers.insert((runs_out, Timer::RunsOut(id, sequence)));
        }
    }

    fn stop_timer(&mut self, worker: WorkerId, sequence: u64, batch: &Batch) {
        if let Some(runs_out) = batch.runs_out {
            self.timers.remove(&(runs_out, Timer::RunsOut(worker, sequence)));
        }
    }

    /// Changes a worker and keeps its pool's order by load true.
    fn with_worker<T>(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let worker = self.workers.get_mut(&id)?;
        let before = worker.load();
        let out = change(worker);
        let after = worker.load();
        if before != after && !worker.is_paused() {
            self.pools[worker.pool().0].workers.change(id, before, after);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests;
