//! Pools and workers that come and go.

use std::collections::BTreeSet;

use super::Scheduler;
use super::pool::{Lane, Pool};
use super::queue::Queue;
use super::types::{Offer, OfferId, Orphan, PoolId, RequestId, Time, WorkerId};
use super::worker::Worker;

impl Scheduler {
    /// Adds a pool without workers; requests for its offers may wait from now on.
    pub fn add_pool(&mut self, offers: Vec<Offer>) -> PoolId {
        let id = PoolId(self.pools.len());
        self.pools.push(Pool::new());
        self.attach(id, offers);
        id
    }

    /// Says what a pool offers. Returns the requests that wait and that nothing can serve any more; they are forgotten.
    ///
    /// A pool with workers can only change the options of its capabilities: returns none, and changes nothing, if the
    /// capabilities or which of them stream are not the same.
    pub fn set_offers(&mut self, id: PoolId, offers: Vec<Offer>) -> Option<Vec<RequestId>> {
        let pool = &mut self.pools[id.0];
        let same = |(lane, offer): (&Lane, &Offer)| {
            lane.offer.capability == offer.capability && lane.offer.stream == offer.stream
        };
        if pool.lanes.len() == offers.len() && pool.lanes.iter().zip(&offers).all(same) {
            for (lane, offer) in pool.lanes.iter_mut().zip(offers) {
                lane.offer = offer;
            }
            self.note_delayed(id);
            return Some(Vec::new());
        }
        if pool.members > 0 {
            return None;
        }
        for slot in self.queues.served_by(id) {
            self.detach(slot, id);
        }
        self.attach(id, offers);
        Some(self.take_unserved())
    }

    /// Forgets the requests that wait and that nothing can serve any more, and says which they were: there may be some
    /// when a pool changes, and when a worker is gone whose pool has been closed.
    pub fn take_unserved(&mut self) -> Vec<RequestId> {
        let unserved = self.queues.unserved();
        for &(slot, place, request) in &unserved {
            self.queues.remove(slot, place, &mut self.pools);
            self.forget(request);
        }
        unserved.into_iter().map(|(.., request)| request).collect()
    }

    /// From now on the pool serves only what waits for it already, and that only if no other pool can.
    pub fn close_pool(&mut self, id: PoolId) {
        self.pools[id.0].closed = true;
        for slot in self.queues.served_by(id) {
            if self.queues.get(slot).is_shared() {
                self.detach(slot, id);
            }
        }
    }

    /// Whether nothing new is for the pool.
    pub fn is_closed(&self, id: PoolId) -> bool {
        self.pools[id.0].closed
    }

    /// Whether a closed pool has no worker, and no request needs it.
    pub fn is_spent(&self, id: PoolId) -> bool {
        let pool = &self.pools[id.0];
        pool.closed && pool.members == 0 && self.queues.of_pool(id).all(Queue::is_finished)
    }

    /// Forgets what a spent pool offered; its id is not used again.
    pub fn remove_pool(&mut self, id: PoolId) {
        debug_assert!(self.is_spent(id), "a pool that is needed is not removed");
        self.queues.drop_pool(id, &mut self.pools);
        self.pools[id.0] = Pool::new();
        self.pools[id.0].closed = true;
        self.delayed.retain(|offer| offer.pool != id);
    }

    /// Adds a worker that runs up to `concurrency` batches at once.
    pub fn worker_ready(&mut self, id: WorkerId, pool: PoolId, concurrency: usize, now: Time) {
        let found = &mut self.pools[pool.0];
        found.members += 1;
        let worker = Worker::new(pool, concurrency.max(1), found.lanes.len(), now);
        self.workers.insert(id, worker);
        self.resume(id);
    }

    /// The worker is given no more requests until [`Self::resume`]. Returns whether it has to be asked for requests that it
    /// has not started.
    pub fn pause(&mut self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.is_paused()) else {
            return false;
        };
        worker.set_paused(true);
        let pool = &mut self.pools[worker.pool().0];
        pool.workers.remove(worker.load(), id);
        pool.slots -= worker.concurrency();
        if pool.workers.len() == 0 {
            let pool = worker.pool().0;
            self.active.retain(|&active| active != pool);
        }
        worker.recall()
    }

    /// The worker takes requests again.
    pub fn resume(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_paused()) else {
            return;
        };
        worker.set_paused(false);
        let index = worker.pool().0;
        let pool = &mut self.pools[index];
        pool.workers.insert(worker.load(), id);
        pool.slots += worker.concurrency();
        if !self.active.contains(&index) {
            self.active.push(index);
        }
    }

    /// A worker is gone. `claimed` is the sequence number of the last assignment that it started.
    pub fn worker_gone(&mut self, id: WorkerId, claimed: u64) -> Vec<Orphan> {
        self.pause(id);
        let Some(worker) = self.workers.remove(&id) else {
            return Vec::new();
        };
        let pool_id = worker.pool();
        self.pools[pool_id.0].members -= 1;
        let mut orphans = Vec::new();
        for (sequence, batch) in worker.into_held() {
            self.stop_timer(id, sequence, &batch);
            let idempotent = self.pools[pool_id.0].lanes[batch.offer].offer.idempotent;
            let started = sequence <= claimed;
            orphans.extend(batch.requests.into_iter().filter_map(|id| self.orphan(id, started, idempotent)));
        }
        orphans
    }

    /// How many workers take requests.
    pub fn ready_workers(&self) -> usize {
        self.active.iter().map(|&pool| self.pools[pool].workers.len()).sum()
    }

    /// Lets a pool without offers serve the queues that these match.
    fn attach(&mut self, id: PoolId, offers: Vec<Offer>) {
        self.pools[id.0].set_lanes(offers);
        self.queues.add_pool(id, &mut self.pools);
        let pool = &mut self.pools[id.0];
        for request in self.queues.of_pool(id).flat_map(Queue::requests) {
            if let Some(request) = self.requests.get(request) {
                pool.backlog.add(&request.share, request.arrived);
            }
        }
        for (index, lane) in pool.lanes.iter_mut().enumerate() {
            let offer = OfferId { pool: id, index };
            let waiting = self.queues.of_offer(offer).flat_map(Queue::requests);
            let numbered =
                waiting.filter_map(|request| Some((self.requests.get(request)?.place.number(), request)));
            let in_order: BTreeSet<(u64, RequestId)> = numbered.collect();
            for (number, request) in in_order {
                lane.arrived(number, request);
            }
        }
        self.note_delayed(id);
        for slot in self.queues.served_by(id) {
            let closed = self.queues.get(slot).pools().find(|&pool| pool != id && self.pools[pool.0].closed);
            if let Some(closed) = closed {
                self.detach(slot, closed);
            }
        }
    }

    /// From now on the pool does not serve the queue; another one does.
    fn detach(&mut self, slot: usize, id: PoolId) {
        self.queues.detach(slot, id, &mut self.pools);
        let pool = &mut self.pools[id.0];
        for request in self.queues.get(slot).requests().filter_map(|request| self.requests.get(request)) {
            pool.backlog.remove(&request.share, request.arrived);
        }
    }

    /// Notes which offers of a pool may wait for fuller batches.
    fn note_delayed(&mut self, id: PoolId) {
        self.delayed.retain(|offer| offer.pool != id);
        let lanes = self.pools[id.0].lanes.iter().enumerate();
        let delayed = lanes.filter(|(_, lane)| !lane.offer.max_batch_delay.is_zero());
        self.delayed.extend(delayed.map(|(index, _)| OfferId { pool: id, index }));
    }
}
