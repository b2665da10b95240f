//! Carrying out what was decided, as far as the scaler is concerned.

use super::Scaler;
use super::budget::Grant;
use super::types::{Decision, Reason, Step};
use super::worker::{Stage, Worker};
use crate::scheduler::{PoolId, Time, WorkerId};

/// How deep workers sleep that are told to.
const SLEEP_LEVEL: u32 = 1;

impl Scaler {
    /// A new worker starts with what was granted to it.
    pub(super) fn start(&mut self, id: PoolId, grant: Grant, reason: Reason, now: Time) -> Decision {
        self.last_worker += 1;
        let worker = WorkerId(self.last_worker);
        let mut started = Worker::new(worker, id, grant.clone(), now);
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.workers.push(worker);
            started.by_turn = pool.promise.is_some_and(|promise| promise.turn);
            pool.content();
        }
        self.workers.insert(worker, started);
        Decision { pool: id, worker, step: Step::Start(grant), reason }
    }

    /// A worker that has taken back what it needs wakes.
    pub(super) fn wake(&mut self, id: WorkerId, reason: Reason, now: Time) -> Option<Decision> {
        let decision = self.step(id, Stage::Waking, Step::Wake, reason, now)?;
        if let (Some(pool), Some(worker)) = (self.pools.get_mut(&decision.pool), self.workers.get_mut(&id)) {
            worker.by_turn = pool.promise.is_some_and(|promise| promise.turn);
            pool.content();
        }
        Some(decision)
    }

    /// A worker goes to sleep once it has finished what it has.
    pub(super) fn sleep(&mut self, id: WorkerId, reason: Reason, now: Time) -> Option<Decision> {
        self.step(id, Stage::FallingAsleep, Step::Sleep { level: SLEEP_LEVEL }, reason, now)
    }

    /// A worker stops once it has finished what it has.
    pub(super) fn stop(&mut self, id: WorkerId, reason: Reason, now: Time) -> Option<Decision> {
        self.step(id, Stage::Draining, Step::Stop, reason, now)
    }

    fn step(
        &mut self,
        id: WorkerId,
        stage: Stage,
        step: Step,
        reason: Reason,
        now: Time,
    ) -> Option<Decision> {
        let worker = self.workers.get_mut(&id)?;
        worker.enter(stage, now);
        Some(Decision { pool: worker.pool, worker: id, step, reason })
    }
}
