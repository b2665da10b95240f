//! Pools, workers and requests, as plain as can be.

use std::collections::{BTreeMap, BTreeSet};

use crate::Scheduler;
use crate::calls::{CallId, Calls, Seat, Slots};
use crate::scheduler::{OfferId, PoolId, RequestId, WorkerId};

#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) concurrency: usize,
    pub(super) max: usize,
    /// How many batches of its one offer each worker runs at once.
    pub(super) limit: Option<usize>,
}

/// A pool whose workers take one unit each, of as many as the world has.
pub(super) fn pool(concurrency: usize, max: usize) -> Pool {
    Pool { concurrency, max, limit: None }
}

#[derive(Debug)]
pub(super) struct World {
    ids: Vec<PoolId>,
    pub(super) pools: Vec<Pool>,
    /// Of each worker, its pool.
    pub(super) workers: BTreeMap<WorkerId, usize>,
    /// How many workers there may be in all; 0 is any number.
    pub(super) units: usize,
    pub(super) running: BTreeMap<RequestId, Seat>,
    pub(super) waiting: BTreeMap<RequestId, Vec<OfferId>>,
    pub(super) calls: Calls,
    next: u64,
}

impl World {
    pub(super) fn new(pools: Vec<Pool>, units: usize) -> Self {
        let mut scheduler = Scheduler::new(1);
        let ids = pools.iter().map(|_| scheduler.add_pool(Vec::new())).collect();
        let (workers, running, waiting) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { ids, pools, workers, units, running, waiting, calls: Calls::default(), next: 0 }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn offer(&self, pool: usize) -> OfferId {
        OfferId { pool: self.ids[pool], index: 0 }
    }

    pub(super) fn add_worker(&mut self, pool: usize) -> WorkerId {
        let worker = WorkerId(self.number());
        self.workers.insert(worker, pool);
        worker
    }

    pub(super) fn run(&mut self, worker: WorkerId) -> RequestId {
        self.run_batch(worker, 1)[0]
    }

    pub(super) fn run_batch(&mut self, worker: WorkerId, size: usize) -> Vec<RequestId> {
        let seat = Seat { worker, sequence: self.number(), offer: self.offer(self.workers[&worker]) };
        let requests: Vec<_> = (0..size).map(|_| RequestId(self.number())).collect();
        self.running.extend(requests.iter().map(|&request| (request, seat)));
        requests
    }

    fn begin(&mut self, callers: &[RequestId]) -> CallId {
        let seats = callers.iter().map(|&caller| (caller, self.running[&caller]));
        self.calls.begin(seats.collect::<Vec<_>>())
    }

    /// They call what one of these pools serves, and wait for a slot.
    pub(super) fn call(&mut self, callers: &[RequestId], pools: &[usize]) -> CallId {
        let call = self.begin(callers);
        let request = RequestId(self.number());
        self.waiting.insert(request, pools.iter().map(|&pool| self.offer(pool)).collect());
        self.calls.queued(call, request);
        call
    }

    /// They call something that runs at once.
    pub(super) fn call_that_runs(&mut self, callers: &[RequestId], worker: WorkerId) -> (CallId, RequestId) {
        let call = self.begin(callers);
        let request = self.run(worker);
        self.calls.queued(call, request);
        (call, request)
    }

    pub(super) fn call_elsewhere(&mut self, callers: &[RequestId]) -> CallId {
        self.begin(callers)
    }

    fn index(&self, pool: PoolId) -> usize {
        self.ids.iter().position(|&id| id == pool).unwrap()
    }

    /// How many batches run on each worker.
    pub(super) fn load(&self, worker: WorkerId) -> usize {
        let seats = self.running.values().filter(|seat| seat.worker == worker);
        seats.map(|seat| seat.sequence).collect::<BTreeSet<_>>().len()
    }
}

impl Slots for World {
    fn waits_for(&self, request: RequestId) -> Option<&[OfferId]> {
        self.waiting.get(&request).map(Vec::as_slice)
    }

    fn workers(&self, pool: PoolId) -> usize {
        let index = self.index(pool);
        self.workers.values().filter(|&&pool| pool == index).count()
    }

    fn slots(&self, pool: PoolId) -> usize {
        self.workers(pool) * self.pools[self.index(pool)].concurrency
    }

    fn concurrency(&self, worker: WorkerId) -> Option<usize> {
        Some(self.pools[self.workers[&worker]].concurrency)
    }

    fn limit(&self, offer: OfferId) -> Option<usize> {
        self.pools[self.index(offer.pool)].limit
    }

    fn may_grow(&self, pool: PoolId, stuck: &BTreeSet<WorkerId>) -> bool {
        let room = self.units == 0 || stuck.len() < self.units;
        room && self.workers(pool) < self.pools[self.index(pool)].max
    }
}
