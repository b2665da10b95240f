//! Who has a slot, and who waits for one: for those who look for calls that can never run.

use super::Scheduler;
use super::types::{OfferId, PoolId, RequestId, WorkerId};
use crate::calls::Seat;

impl Scheduler {
    /// The offers under which a request may run that has no slot yet, because it is queued or parked; none for others.
    pub fn waits_for(&self, request: RequestId) -> Option<&[OfferId]> {
        let found = self.requests.get(request).filter(|request| !request.cancelled)?;
        let runs = found.holder.is_some_and(|(worker, sequence)| {
            let batch = self.workers.get(&worker).and_then(|worker| worker.batch(sequence));
            batch.is_some_and(|batch| batch.running_since.is_some())
        });
        (!runs).then(|| self.queues.get(found.queue).offers.as_slice())
    }

    /// Where a request is, if a worker has it.
    pub fn seat(&self, request: RequestId) -> Option<Seat> {
        let (worker, sequence) = self.requests.get(request)?.holder?;
        let found = self.workers.get(&worker)?;
        let offer = OfferId { pool: found.pool(), index: found.batch(sequence)?.offer };
        Some(Seat { worker, sequence, offer })
    }

    /// How many workers of a pool take requests.
    pub fn takers(&self, pool: PoolId) -> usize {
        self.pools[pool.0].workers.len()
    }

    /// How many batches these run at once.
    pub fn slots(&self, pool: PoolId) -> usize {
        self.pools[pool.0].slots
    }

    /// How many batches a worker runs at once; none if it takes no requests.
    pub fn concurrency(&self, worker: WorkerId) -> Option<usize> {
        self.workers.get(&worker).filter(|worker| !worker.is_paused()).map(super::worker::Worker::concurrency)
    }
}
