//! What the caller reports of workers.

use super::budget::Amounts;
use super::{FIRST_BACKOFF, LONGEST_BACKOFF, Scaler, Stage};
use crate::scheduler::{Time, WorkerId};

impl Scaler {
    /// A worker is ready for requests.
    pub fn ready(&mut self, id: WorkerId, now: Time) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.stage == Stage::Starting) else {
            return;
        };
        if let Some(pool) = self.pools.get_mut(&worker.pool) {
            pool.start.measured(now.since(worker.since));
            pool.failed_starts = 0;
        }
        worker.enter(Stage::Ready, now);
        worker.resident_since = now;
    }

    /// A worker is asleep; what it does not keep is free.
    pub fn asleep(&mut self, id: WorkerId, now: Time) {
        let falling = |worker: &&mut super::Worker| worker.stage == Stage::FallingAsleep;
        let Some(worker) = self.workers.get_mut(&id).filter(falling) else {
            return;
        };
        let nothing = Amounts::new();
        let pool = self.pools.get(&worker.pool);
        let kept = pool.and_then(|pool| pool.spec.asleep.as_ref()).unwrap_or(&nothing);
        self.budget.give_back(&mut worker.grant, kept);
        worker.enter(Stage::Asleep, now);
    }

    /// A worker is awake again.
    pub fn awake(&mut self, id: WorkerId, now: Time) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.stage == Stage::Waking) else {
            return;
        };
        if let Some(pool) = self.pools.get_mut(&worker.pool) {
            pool.wake.measured(now.since(worker.since));
        }
        worker.enter(Stage::Ready, now);
        worker.resident_since = now;
    }

    /// A worker is to be replaced once it has finished what it has.
    pub fn recycle(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.worn = true;
        }
    }

    /// A worker's process has ended; what it held is free. Returns how many starts of its pool have failed in a row,
    /// this one included; none if it had been ready.
    pub fn gone(&mut self, id: WorkerId, now: Time) -> Option<u32> {
        let mut worker = self.workers.remove(&id)?;
        self.budget.give_back(&mut worker.grant, &Amounts::new());
        let pool = self.pools.get_mut(&worker.pool)?;
        pool.workers.retain(|&other| other != id);
        if worker.stage != Stage::Starting {
            return None;
        }
        pool.failed_starts += 1;
        let doublings = (pool.failed_starts - 1).min(16);
        pool.backs_off_until = now.plus((FIRST_BACKOFF * 2_u32.pow(doublings)).min(LONGEST_BACKOFF));
        Some(pool.failed_starts)
    }
}
