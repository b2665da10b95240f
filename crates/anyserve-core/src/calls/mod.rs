//! The calls that handlers make of other workers, and which of them can never run.
//!
//! A handler that waits for its calls keeps its worker's slot meanwhile. If every slot that could ever serve such a call
//! is kept by handlers that wait like this themselves, nothing is ever going to happen: a circle, which [`Calls::circle`]
//! finds. Only calls are kept track of here, and what makes them; a request without calls costs nothing.
//!
//! A handler that has several calls under way may go on when one of them is answered, so it counts as stuck only if none
//! of them can be. What this module calls stuck is stuck for certain, as long as handlers wait for what they call.

mod circle;
mod here;

use std::collections::{BTreeMap, BTreeSet};

use crate::scheduler::{OfferId, PoolId, RequestId, WorkerId};
pub use here::Here;

/// A call, by the number that [`Calls::begin`] gave it: later calls have higher ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Where a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The worker whose slot it has.
    pub worker: WorkerId,
    /// The assignment it came with: the requests of a batch share a slot.
    pub sequence: u64,
    /// The offer under which it runs.
    pub offer: OfferId,
}

/// What is known of requests and workers, for those who ask whether a call can ever run.
pub trait Slots {
    /// The offers under which a request may run once it has a slot; none if it has one, or has ended.
    fn waits_for(&self, request: RequestId) -> Option<&[OfferId]>;
    /// How many workers of a pool take requests.
    fn workers(&self, pool: PoolId) -> usize;
    /// How many batches these workers run at once, all together.
    fn slots(&self, pool: PoolId) -> usize;
    /// How many batches a worker runs at once; none if it takes no requests.
    fn concurrency(&self, worker: WorkerId) -> Option<usize>;
    /// How many of them may be of one offer, if that is fewer.
    fn limit(&self, offer: OfferId) -> Option<usize>;
    /// Whether a pool may have one worker more, once all but these have finished what they do.
    fn may_grow(&self, pool: PoolId, stuck: &BTreeSet<WorkerId>) -> bool;
}

/// The calls that are under way.
#[derive(Debug, Default)]
pub struct Calls {
    last: u64,
    open: BTreeMap<CallId, Call>,
    callers: BTreeMap<RequestId, Caller>,
    /// How many callers have a slot of each pool.
    of_pool: BTreeMap<PoolId, usize>,
}

#[derive(Debug)]
struct Call {
    /// The requests whose handler made it: several, if they are a batch.
    callers: Vec<RequestId>,
    /// The request that it is here; none while it is on its way, or with another agent.
    request: Option<RequestId>,
}

/// A request whose handler has calls under way.
#[derive(Debug)]
struct Caller {
    seat: Seat,
    calls: BTreeSet<CallId>,
}

impl Calls {
    /// The handler of these requests, which run where it says, makes a call.
    pub fn begin(&mut self, callers: impl IntoIterator<Item = (RequestId, Seat)>) -> CallId {
        self.last += 1;
        let id = CallId(self.last);
        let mut ids = Vec::new();
        for (request, seat) in callers {
            let caller = self.callers.entry(request).or_insert_with(|| {
                *self.of_pool.entry(seat.offer.pool).or_default() += 1;
                Caller { seat, calls: BTreeSet::new() }
            });
            caller.calls.insert(id);
            ids.push(request);
        }
        self.open.insert(id, Call { callers: ids, request: None });
        id
    }

    /// A call has become a request of this agent.
    pub fn queued(&mut self, call: CallId, request: RequestId) {
        if let Some(call) = self.open.get_mut(&call) {
            call.request = Some(request);
        }
    }

    /// A call has been answered, or nobody waits for it any longer. Returns whether a handler that made it has others
    /// under way, which may be a [circle](Self::circle) now.
    pub fn ended(&mut self, call: CallId) -> bool {
        let Some(Call { callers, .. }) = self.open.remove(&call) else {
            return false;
        };
        let mut others = false;
        for request in callers {
            if let Some(caller) = self.callers.get_mut(&request) {
                caller.calls.remove(&call);
                if caller.calls.is_empty() {
                    self.forget_caller(request);
                } else {
                    others = true;
                }
            }
        }
        others
    }

    /// A request has ended, or its handler was told to give up. Returns the calls that nobody is left to wait for: those
    /// that were made for it alone.
    pub fn caller_ended(&mut self, request: RequestId) -> Vec<CallId> {
        let calls = self.forget_caller(request).map(|caller| caller.calls).unwrap_or_default();
        let mut orphans = Vec::new();
        for id in calls {
            if let Some(call) = self.open.get_mut(&id) {
                call.callers.retain(|&caller| caller != request);
                if call.callers.is_empty() {
                    orphans.push(id);
                }
            }
        }
        orphans
    }

    /// The request that a call is here.
    pub fn request(&self, call: CallId) -> Option<RequestId> {
        self.open.get(&call)?.request
    }

    /// True if no call is under way.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// True if a slot that could serve a call is certain to be free some time, as far as can be told at a glance.
    pub fn has_room(&self, call: CallId, slots: &impl Slots) -> bool {
        let Some(offers) = self.request(call).and_then(|request| slots.waits_for(request)) else {
            return true;
        };
        offers.iter().any(|&offer| {
            let kept = self.of_pool.get(&offer.pool).copied().unwrap_or_default();
            slots.limit(offer).is_none() && slots.slots(offer.pool) > kept
        })
    }

    fn forget_caller(&mut self, request: RequestId) -> Option<Caller> {
        let caller = self.callers.remove(&request)?;
        if let Some(count) = self.of_pool.get_mut(&caller.seat.offer.pool) {
            *count -= 1;
            if *count == 0 {
                self.of_pool.remove(&caller.seat.offer.pool);
            }
        }
        Some(caller)
    }
}

#[cfg(test)]
mod tests;
