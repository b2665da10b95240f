//! Whether a pool may ever have another worker.

use std::collections::BTreeSet;

use super::room::{Need, Room};
use super::{Scaler, Stage, Worker};
use crate::scheduler::{PoolId, WorkerId};

impl Scaler {
    /// Whether a pool may have one worker more that takes requests, once all workers but these have finished what they
    /// do and gone if their place is needed.
    pub fn may_grow(&self, id: PoolId, stuck: &BTreeSet<WorkerId>) -> bool {
        let Some(pool) = self.pools.get(&id).filter(|pool| !pool.held) else {
            return false;
        };
        let (mut staying, mut asleep) = (0, Vec::new());
        for worker in self.workers_of(id) {
            match worker.stage {
                Stage::Starting | Stage::Waking => return true,
                Stage::Asleep => asleep.push(worker),
                Stage::FallingAsleep if !stuck.contains(&worker.id) => asleep.push(worker),
                Stage::Ready | Stage::FallingAsleep => {}
                Stage::Draining => continue,
            }
            // One that is worn is replaced though there are as many as may be.
            staying += usize::from(!worker.worn);
        }
        let room = self.room_beside(stuck);
        let resources = &pool.spec.resources;
        let wakes = |worker: &&Worker| room.fits(&Need::wake(&worker.grant, resources));
        asleep.iter().any(wakes) || (staying < pool.spec.max && room.fits(&Need::start(resources)))
    }

    /// What is left of the machine when only these workers are there, and those that never go.
    fn room_beside(&self, stuck: &BTreeSet<WorkerId>) -> Room {
        let mut room = self.budget.all();
        for (&id, pool) in &self.pools {
            let pinned = pool.spec.pinned && !pool.held && !pool.retiring;
            let mut kept = if pinned { usize::MAX } else { pool.min() };
            let (stays, goes): (Vec<_>, Vec<_>) =
                self.workers_of(id).partition(|worker| stuck.contains(&worker.id));
            for worker in stays {
                room.without(&worker.grant);
                kept = kept.saturating_sub(usize::from(worker.stage != Stage::Draining));
            }
            let goes = goes.into_iter().filter(|worker| worker.stage != Stage::Draining);
            goes.take(kept).for_each(|worker| room.without(&worker.grant));
        }
        room
    }
}
