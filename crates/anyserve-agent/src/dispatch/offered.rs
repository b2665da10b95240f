//! What the agent takes requests for, as others are told of it.

use anyserve_core::Capability;
use anyserve_core::scaler::Phase;
use anyserve_core::scheduler::{PoolId, Time};

use super::Dispatcher;
use super::pools::PoolRecord;
use super::state::State;

impl Dispatcher {
    /// The capabilities that requests are taken for, and those of them that are idempotent.
    pub(crate) fn offered(&self) -> (Vec<Capability>, Vec<Capability>) {
        let now = self.now();
        let state = self.lock();
        let pools = state.pools.iter().filter(|&(&id, record)| state.takes_requests(id, record, now));
        let (mut all, mut unsafe_twice) = (Vec::new(), Vec::new());
        for offer in pools.flat_map(|(_, record)| &record.known).map(|described| &described.offer) {
            all.push(offer.capability.clone());
            if !offer.idempotent {
                unsafe_twice.push(offer.capability.clone());
            }
        }
        // Of pools with the same capability, any may get the request.
        let idempotent =
            all.iter().filter(|capability| !unsafe_twice.contains(capability)).cloned().collect();
        (all, idempotent)
    }
}

impl State {
    /// Whether new requests are for the pool. While its workers come and go they are: they wait for the next one.
    fn takes_requests(&self, id: PoolId, record: &PoolRecord, now: Time) -> bool {
        let starts = match self.scaler.phase(id, now) {
            Phase::Active => true,
            Phase::Failed { again_in } => again_in.is_zero(),
            Phase::Held | Phase::Retiring => false,
        };
        let closed = self.is_draining() || self.scheduler.is_closed(id) || record.drains;
        !closed && (starts || self.has_ready(id))
    }
}
