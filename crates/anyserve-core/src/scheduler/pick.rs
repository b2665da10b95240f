//! Which request a pool would give to which of its workers.

use std::time::Duration;

use super::place::Place;
use super::queue::Queue;
use super::types::{OfferId, PoolId, RequestId, Time, WorkerId};
use super::worker::Room;
use super::{AGED_TURN, AGEING, Scheduler};

/// What a pool would assign next; the smallest of several goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) room: Room,
    pub(super) place: Place,
    pub(super) offer: OfferId,
    pub(super) worker: WorkerId,
    pub(super) request: RequestId,
    /// It goes before what is more urgent, because it has waited too long.
    pub(super) aged: bool,
}

impl Scheduler {
    /// What a pool would assign next.
    pub(super) fn candidate(&mut self, pool: usize, now: Time) -> Option<Candidate> {
        let (_, freest) = self.pools[pool].workers.first()?;
        self.workers[&freest].room(now)?;
        if self.pools[pool].turns % AGED_TURN == AGED_TURN - 1
            && let Some(aged) = self.aged(PoolId(pool), now)
        {
            return Some(aged);
        }
        loop {
            let best = self.best(PoolId(pool), now)?;
            if !best.place.is_late(now) {
                return Some(best);
            }
            self.make_way(best.request);
        }
    }

    /// The first request in a pool's order that a worker can take.
    fn best(&self, id: PoolId, now: Time) -> Option<Candidate> {
        let (place, index) = self.pools[id.0].first_lane()?;
        let first = self.first_of_lane(id, place, index, now);
        if first.is_some() {
            return first;
        }
        let mut best: Option<Candidate> = None;
        for (place, index) in self.pools[id.0].lanes_with_requests() {
            if best.as_ref().is_none_or(|best| place < best.place) {
                best = self.first_of_lane(id, place, index, now).or(best);
            }
        }
        best
    }

    /// The first request of a lane, if a worker can take it.
    fn first_of_lane(&self, pool: PoolId, place: Place, index: usize, now: Time) -> Option<Candidate> {
        let offer = OfferId { pool, index };
        let (room, worker) = self.takes_batch(offer, now)?;
        let queue = self.pools[pool.0].lanes[index].first_queue()?;
        let request = self.queues.get(queue).first()?;
        Some(Candidate { room, place, offer, worker, request, aged: false })
    }

    /// The first request that waits for an offer; one that is late makes way.
    pub(super) fn first_of(&mut self, id: OfferId, now: Time) -> Option<RequestId> {
        loop {
            let queue = self.pools[id.pool.0].lanes[id.index].first_queue()?;
            let first = self.queues.get(queue).first()?;
            if !self.requests.get(first)?.place.is_late(now) {
                return Some(first);
            }
            self.make_way(first);
        }
    }

    /// The request of a pool that has waited longest, if that is too long.
    fn aged(&mut self, id: PoolId, now: Time) -> Option<Candidate> {
        if now < self.pools[id.0].aged_from {
            return None;
        }
        let mut aged = Vec::new();
        let mut aged_from = Time(Duration::MAX);
        for (index, lane) in self.pools[id.0].lanes.iter().enumerate() {
            let oldest = lane.oldest();
            if let Some((id, request)) = oldest.and_then(|id| Some((id, self.requests.get(id)?))) {
                aged_from = aged_from.min(request.arrived.plus(AGEING));
                if now.since(request.arrived) >= AGEING {
                    aged.push((request.place.number(), index, request.place, id));
                }
            }
        }
        self.pools[id.0].aged_from = aged_from;
        aged.sort_unstable();
        aged.into_iter().find_map(|(_, index, place, request)| {
            let offer = OfferId { pool: id, index };
            let (room, worker) = self.takes_batch(offer, now)?;
            Some(Candidate { room, place, offer, worker, request, aged: true })
        })
    }

    /// The worker that would take a batch of an offer now, unless the batch is to wait for more requests.
    fn takes_batch(&self, id: OfferId, now: Time) -> Option<(Room, WorkerId)> {
        let lane = &self.pools[id.pool.0].lanes[id.index];
        if !self.closing && lane.ripens(&self.requests).is_some_and(|ripens| ripens > now) {
            return None;
        }
        let full = lane.waiting >= lane.offer.max_batch_size;
        // A batch that is not full had better wait for others than for the worker.
        self.worker_for(id, now).filter(|&(room, _)| full || room == Room::Free)
    }

    /// The freest worker that has room for an offer.
    pub(super) fn worker_for(&self, id: OfferId, now: Time) -> Option<(Room, WorkerId)> {
        let pool = &self.pools[id.pool.0];
        let limit = pool.lanes[id.index].offer.concurrency;
        let room = |(_, worker): (i64, WorkerId)| {
            Some((self.workers[&worker].room_for(id.index, limit, now)?, worker))
        };
        match limit {
            // The freest has room if any of them has.
            None => pool.workers.first().and_then(room),
            Some(_) => pool.workers.iter().find_map(room),
        }
    }

    pub(super) fn has_free_worker(&self, queue: &Queue) -> bool {
        queue.pools().any(|pool| {
            let freest = self.pools[pool.0].workers.first();
            freest.is_some_and(|(load, _)| load < 0)
        })
    }
}
