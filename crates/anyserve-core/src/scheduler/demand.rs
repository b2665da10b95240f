//! What is asked of a pool, for those who decide how many workers it has.

use std::time::Duration;

use super::Scheduler;
use super::types::{OfferId, PoolId, Time, WorkerId};

/// What waits for a pool and what its workers do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// How many requests wait that it can serve. Other pools may serve some of them too: see
    /// [`Scheduler::shared_queues`].
    pub waiting: usize,
    /// When the one that has waited longest came.
    pub oldest: Option<Time>,
    /// The time of a slot that they stand for together; zero where nothing is known of it.
    pub work: Duration,
    /// The usual time of a slot that one request stands for, if one has been served.
    pub service: Option<Duration>,
    /// The shortest target time from arrival to first response.
    pub slo: Option<Duration>,
    /// How many batches its ready workers run at once.
    pub slots: usize,
    /// How many requests have come for it so far.
    pub arrivals: u64,
}

impl Scheduler {
    /// What is asked of a pool at this moment.
    pub fn demand(&self, id: PoolId) -> Demand {
        let pool = &self.pools[id.0];
        let mean = pool.lanes.iter().filter_map(super::pool::Lane::work);
        let (sum, count) = mean.fold((Duration::ZERO, 0), |(sum, count), work| (sum + work, count + 1));
        let service = (count > 0).then(|| sum / count.max(1));
        let waiting = pool.backlog.count();
        let oldest = (waiting > 0).then(|| pool.lanes.iter().filter_map(super::pool::Lane::oldest));
        let oldest = oldest.into_iter().flatten().filter_map(|oldest| self.requests.get(oldest));
        Demand {
            waiting,
            oldest: oldest.map(|request| request.arrived).min(),
            work: pool.backlog.work(service.unwrap_or_default()),
            service,
            slo: pool.lanes.iter().filter_map(|lane| lane.offer.slo).min(),
            slots: pool.slots,
            arrivals: pool.arrivals,
        }
    }

    /// The queues with requests that several pools can serve: how many requests, and the pools.
    pub fn shared_queues(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = PoolId>)> {
        self.queues.shared().map(|queue| (queue.len(), queue.pools()))
    }

    /// How many batches a worker has, running or parked.
    pub fn load(&self, worker: WorkerId) -> usize {
        self.workers.get(&worker).map_or(0, super::worker::Worker::held)
    }

    /// How many requests a worker has.
    pub fn requests_of(&self, worker: WorkerId) -> usize {
        self.workers.get(&worker).map_or(0, super::worker::Worker::requests)
    }

    /// Since when a worker has had nothing to do; none while it has.
    pub fn idle_since(&self, worker: WorkerId) -> Option<Time> {
        self.workers.get(&worker).and_then(super::worker::Worker::idle_since)
    }

    /// The capabilities of a pool, in the order of their index.
    pub fn offers_of(&self, pool: PoolId) -> impl Iterator<Item = OfferId> {
        (0..self.pools[pool.0].lanes.len()).map(move |index| OfferId { pool, index })
    }

    /// The pools that can serve a request.
    pub fn pools_for(&self, request: super::types::RequestId) -> impl Iterator<Item = PoolId> {
        let queue = self.requests.get(request).map(|request| self.queues.get(request.queue));
        queue.into_iter().flat_map(super::queue::Queue::pools)
    }

    /// The pools that can serve a request that waits, if none of them has a worker that takes requests.
    pub fn stranded(&self, request: super::types::RequestId) -> Option<Vec<PoolId>> {
        let request = self.requests.get(request).filter(|request| request.holder.is_none())?;
        let queue = self.queues.get(request.queue);
        let stranded = queue.pools().all(|pool| self.pools[pool.0].workers.len() == 0);
        stranded.then(|| queue.pools().collect())
    }

    /// The requests that wait for a pool, and perhaps for others.
    pub fn waiting_in(&self, pool: PoolId) -> Vec<super::types::RequestId> {
        self.queues.of_pool(pool).flat_map(super::queue::Queue::requests).collect()
    }

    /// The requests that wait for a pool and can be served by no other, first come first.
    pub fn waiting_only_for(&self, pool: PoolId) -> Vec<super::types::RequestId> {
        let queues = self.queues.of_pool(pool).filter(|queue| queue.pools().count() == 1);
        queues.flat_map(super::queue::Queue::requests).collect()
    }
}
