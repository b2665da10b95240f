//! Calls that can never run: what is left once everything that can end has ended.

use std::collections::{BTreeMap, BTreeSet};

use super::{CallId, Calls, Slots};
use crate::scheduler::{OfferId, RequestId, WorkerId};

/// What is not known to end.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) calls: BTreeSet<CallId>,
    pub(super) callers: BTreeSet<RequestId>,
}

/// The slots that are kept for as long as nothing of [`Stuck`] ends.
#[derive(Debug, Default)]
struct Kept {
    /// The batches of each worker, by their assignment.
    batches: BTreeMap<WorkerId, BTreeMap<u64, OfferId>>,
    workers: BTreeSet<WorkerId>,
}

impl Calls {
    /// The calls that can never run, each of which waits for the other: of these the last one made that waits for a slot.
    /// With that one failed, the handler that made it goes on, and what waits for its slot does too.
    pub fn circle(&self, slots: &impl Slots) -> Option<CallId> {
        let stuck = self.stuck(slots);
        let kept = self.kept(&stuck);
        let mut path = vec![*stuck.calls.last()?];
        loop {
            let call = *path.last()?;
            // What a stuck call waits for is a handler that is stuck, and that has nothing but stuck calls.
            let caller = self.blocked_by(call, &stuck, &kept, slots)?;
            let next = *self.callers.get(&caller)?.calls.last()?;
            if let Some(start) = path.iter().position(|&passed| passed == next) {
                let waits = |&&call: &&CallId| {
                    self.request(call).is_some_and(|request| slots.waits_for(request).is_some())
                };
                return path[start..].iter().filter(waits).max().copied();
            }
            path.push(next);
        }
    }

    /// All calls that can never run or never end, and the requests that wait for them.
    pub(super) fn stuck(&self, slots: &impl Slots) -> Stuck {
        let mut stuck = Stuck {
            calls: self.open.keys().copied().collect(),
            callers: self.callers.keys().copied().collect(),
        };
        loop {
            let kept = self.kept(&stuck);
            let before = (stuck.calls.len(), stuck.callers.len());
            let ends = |call: &CallId| self.may_end(*call, &stuck, &kept, slots);
            let ending: Vec<_> = stuck.calls.iter().copied().filter(ends).collect();
            for call in ending {
                stuck.calls.remove(&call);
            }
            let calls = &stuck.calls;
            stuck.callers.retain(|caller| {
                let caller = self.callers.get(caller);
                caller.is_some_and(|caller| caller.calls.iter().all(|call| calls.contains(call)))
            });
            if before == (stuck.calls.len(), stuck.callers.len()) {
                return stuck;
            }
        }
    }

    /// Whether a call may end, if all may that is not stuck.
    fn may_end(&self, call: CallId, stuck: &Stuck, kept: &Kept, slots: &impl Slots) -> bool {
        // With another agent, whoever it waits for there.
        let Some(request) = self.request(call) else {
            return true;
        };
        match slots.waits_for(request) {
            None => !stuck.callers.contains(&request),
            Some(offers) => offers.iter().any(|&offer| kept.leaves_slot(offer, slots)),
        }
    }

    fn kept(&self, stuck: &Stuck) -> Kept {
        let mut kept = Kept::default();
        for seat in
            stuck.callers.iter().filter_map(|caller| self.callers.get(caller)).map(|caller| caller.seat)
        {
            kept.workers.insert(seat.worker);
            kept.batches.entry(seat.worker).or_default().insert(seat.sequence, seat.offer);
        }
        kept
    }

    /// A stuck request without whose end a stuck call does not end; none if nothing but more workers would help.
    fn blocked_by(&self, call: CallId, stuck: &Stuck, kept: &Kept, slots: &impl Slots) -> Option<RequestId> {
        let request = self.request(call)?;
        let Some(offers) = slots.waits_for(request) else {
            return stuck.callers.get(&request).copied();
        };
        let serves = |worker: &WorkerId| {
            kept.batches[worker].values().any(|kept| offers.iter().any(|offer| offer.pool == kept.pool))
        };
        // Those in its own pools; else whoever holds what another worker would need.
        let mut callers = stuck.callers.iter().filter_map(|id| Some((id, self.callers.get(id)?.seat.worker)));
        let found = callers.clone().find(|(_, worker)| serves(worker)).or_else(|| callers.next());
        found.map(|(&caller, _)| caller)
    }
}

impl Kept {
    /// Whether an offer may have a slot beside what is kept.
    fn leaves_slot(&self, offer: OfferId, slots: &impl Slots) -> bool {
        let of_pool = |worker: &&WorkerId| {
            self.batches[worker].values().next().is_some_and(|kept| kept.pool == offer.pool)
        };
        let taking = self.workers.iter().filter(of_pool).filter_map(|worker| {
            let concurrency = slots.concurrency(*worker)?;
            Some((concurrency, &self.batches[worker]))
        });
        let mut with_stuck = 0;
        for (concurrency, batches) in taking {
            with_stuck += 1;
            let same = batches.values().filter(|&&other| other == offer).count();
            if batches.len() < concurrency && slots.limit(offer).is_none_or(|limit| same < limit) {
                return true;
            }
        }
        slots.workers(offer.pool) > with_stuck || slots.may_grow(offer.pool, &self.workers)
    }
}
