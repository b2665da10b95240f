//! One worker as the scaler sees it.

use super::budget::Grant;
use crate::scheduler::{PoolId, Time, WorkerId};

/// A worker whose process has not ended.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Which one.
    pub id: WorkerId,
    /// Its pool.
    pub pool: PoolId,
    /// Where it is on its way.
    pub stage: Stage,
    /// Since when it is there.
    pub since: Time,
    /// What it holds.
    pub grant: Grant,
    /// Since when it was last made ready, by a start or by waking.
    pub(super) resident_since: Time,
    /// It is to be replaced.
    pub(super) worn: bool,
    /// A busy worker was drained for it.
    pub(super) by_turn: bool,
}

/// Where a worker is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its process loads the application.
    Starting,
    /// It takes requests.
    Ready,
    /// It finishes what it has, and stops.
    Draining,
    /// It finishes what it has, and goes to sleep.
    FallingAsleep,
    /// It holds little, and serves nothing.
    Asleep,
    /// It takes back what it needs to serve.
    Waking,
}

impl Worker {
    pub(super) fn new(id: WorkerId, pool: PoolId, grant: Grant, now: Time) -> Self {
        Self {
            id,
            pool,
            stage: Stage::Starting,
            since: now,
            grant,
            resident_since: now,
            worn: false,
            by_turn: false,
        }
    }

    pub(super) fn enter(&mut self, stage: Stage, now: Time) {
        self.stage = stage;
        self.since = now;
    }
}
