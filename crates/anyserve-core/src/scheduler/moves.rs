//! A request's way through the queues, to its end.

use super::clock::Timer;
use super::request::Request;
use super::types::{Orphan, RequestId};
use super::{AGEING, Scheduler};

impl Scheduler {
    /// The request waits from now on.
    pub(super) fn enter_queue(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(id) else {
            return;
        };
        request.holder = None;
        let (slot, place, share, arrived) = (request.queue, request.place, request.share, request.arrived);
        self.queues.push(slot, place, id, &mut self.pools);
        let queue = self.queues.get(slot);
        for pool in queue.pools() {
            let pool = &mut self.pools[pool.0];
            pool.backlog.add(&share, arrived);
            pool.aged_from = pool.aged_from.min(arrived.plus(AGEING));
        }
        for offer in &queue.offers {
            self.pools[offer.pool.0].lanes[offer.index].arrived(place.number(), id);
        }
    }

    /// The request waits no longer.
    pub(super) fn leave_queue(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(id) else {
            return;
        };
        if !self.queues.remove(request.queue, request.place, &mut self.pools) {
            return;
        }
        let queue = self.queues.get(request.queue);
        for pool in queue.pools() {
            self.pools[pool.0].backlog.remove(&request.share, request.arrived);
        }
        for offer in &queue.offers {
            self.pools[offer.pool.0].lanes[offer.index].left(request.place.number());
        }
    }

    /// A request that is late goes behind those that can still be in time.
    pub(super) fn make_way(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get_mut(id) {
            let (slot, place) = (request.queue, request.place);
            request.place = place.without_due();
            let later = request.place;
            self.queues.remove(slot, place, &mut self.pools);
            self.queues.push(slot, later, id, &mut self.pools);
        }
    }

    /// Puts a request back in its old place, or forgets it if nobody waits for it.
    pub(super) fn requeue(&mut self, id: RequestId) {
        if self.requests.get(id).is_some_and(|request| request.cancelled) {
            self.forget(id);
        } else {
            self.enter_queue(id);
        }
    }

    /// What becomes of a request whose worker is gone; nothing if nobody waits for it.
    pub(super) fn orphan(&mut self, id: RequestId, started: bool, idempotent: bool) -> Option<Orphan> {
        let request = self.requests.get_mut(id)?;
        let again = !started || (idempotent && !request.retried && !request.responded);
        if request.cancelled || !again {
            let waited_for = !request.cancelled;
            self.forget(id);
            return waited_for.then_some(Orphan::Lost(id));
        }
        request.retried |= started;
        self.requeue(id);
        Some(Orphan::Requeued(id))
    }

    /// A request has ended.
    pub(super) fn forget(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(id)?;
        self.queues.release(request.queue);
        if let Some(deadline) = request.deadline {
            self.timers.remove(&(deadline, Timer::Deadline(id)));
        }
        Some(request)
    }
}
