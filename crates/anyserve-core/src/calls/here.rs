//! What the scheduler and the scaler know of slots.

use std::collections::BTreeSet;

use super::Slots;
use crate::scheduler::{OfferId, PoolId, RequestId, WorkerId};
use crate::{Scaler, Scheduler};

/// The slots of this agent.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// Which requests wait, and who takes them.
    pub scheduler: &'a Scheduler,
    /// Which pools may have more workers.
    pub scaler: &'a Scaler,
}

impl Slots for Here<'_> {
    fn waits_for(&self, request: RequestId) -> Option<&[OfferId]> {
        self.scheduler.waits_for(request)
    }

    fn workers(&self, pool: PoolId) -> usize {
        self.scheduler.takers(pool)
    }

    fn slots(&self, pool: PoolId) -> usize {
        self.scheduler.slots(pool)
    }

    fn concurrency(&self, worker: WorkerId) -> Option<usize> {
        self.scheduler.concurrency(worker)
    }

    fn limit(&self, offer: OfferId) -> Option<usize> {
        self.scheduler.offer(offer).concurrency
    }

    fn may_grow(&self, pool: PoolId, stuck: &BTreeSet<WorkerId>) -> bool {
        self.scaler.may_grow(pool, stuck)
    }
}
