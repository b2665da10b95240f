//! What to do next.

use super::Scaler;
use super::room::{Need, Room};
use super::shrink::Census;
use super::types::Decision;
use super::worker::Stage;
use crate::Scheduler;
use crate::scheduler::{Demand, PoolId, Time, WorkerId};

/// One decision under way: what is known at this moment, and what has been decided.
pub(super) struct Tick<'a> {
    pub(super) scaler: &'a mut Scaler,
    pub(super) scheduler: &'a Scheduler,
    pub(super) now: Time,
    /// The pools that matter now, by id.
    pub(super) looks: Vec<Look>,
    pub(super) plan: Plan,
    /// The workers that may make room though it is nobody's turn.
    pub(super) evictable: Vec<WorkerId>,
    /// What those need whose turn it is and who have to wait for it: what would be of use to them, nobody else gets.
    pub(super) kept_for: Vec<Need>,
    pub(super) decisions: Vec<Decision>,
}

/// What is asked of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) pool: PoolId,
    /// Without the requests that count for another pool.
    pub(super) demand: Demand,
}

/// The room that has not been promised to anyone.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) free: Room,
    /// What workers free that stop or fall asleep.
    pub(super) coming: Room,
}

impl Scaler {
    /// What to do now.
    pub fn decide(&mut self, scheduler: &Scheduler, now: Time) -> Vec<Decision> {
        let looks = self.look(scheduler, now);
        let (plan, evictable, kept_for, decisions) = (Plan::default(), Vec::new(), Vec::new(), Vec::new());
        let mut tick = Tick { scaler: self, scheduler, now, looks, plan, evictable, kept_for, decisions };
        tick.share_out();
        tick.shrink();
        tick.plan = tick.scaler.plan();
        tick.grow();
        tick.recycle();
        tick.decisions
    }

    /// What is asked of the pools that have workers or want some.
    fn look(&mut self, scheduler: &Scheduler, now: Time) -> Vec<Look> {
        let looks = self.pools.iter_mut().filter_map(|(&id, pool)| {
            let demand = scheduler.demand(id);
            pool.count(demand.arrivals, now);
            if demand.slots > 0 {
                let ready =
                    |id: &&WorkerId| self.workers.get(id).is_some_and(|worker| worker.stage == Stage::Ready);
                pool.slots = demand.slots.div_ceil(pool.workers.iter().filter(ready).count().max(1));
            }
            let matters = demand.waiting > 0
                || !pool.workers.is_empty()
                || pool.min() > 0
                || pool.ordered.is_some()
                || pool.wants_since.is_some()
                || pool.promise.is_some();
            matters.then_some(Look { pool: id, demand })
        });
        looks.collect()
    }

    fn plan(&self) -> Plan {
        let mut coming = Room::default();
        let leaving = |stage| matches!(stage, Stage::Draining | Stage::FallingAsleep);
        for worker in self.workers.values().filter(|worker| leaving(worker.stage)) {
            coming.add(&self.frees(worker, worker.stage == Stage::FallingAsleep));
        }
        Plan { free: self.budget.free().clone(), coming }
    }
}

impl Tick<'_> {
    /// What is asked of a pool; nothing if it does not matter now.
    pub(super) fn demand(&self, id: PoolId) -> Demand {
        let found = self.looks.binary_search_by_key(&id, |look| look.pool);
        found.map_or(Demand::default(), |index| self.looks[index].demand)
    }

    pub(super) fn census(&self, id: PoolId) -> Census {
        self.scaler.census(id, self.scheduler)
    }

    /// Lets each request that several pools could serve count for one of them: one that has workers, unless these are
    /// as many as may be and have too much to do, otherwise one that can start some.
    fn share_out(&mut self) {
        let mut chosen = Vec::new();
        for (count, pools) in self.scheduler.shared_queues() {
            let pools: Vec<PoolId> = pools.collect();
            let serves = |id: &&PoolId| chosen.contains(*id) || self.serves(**id);
            let sleeps = |id: &&PoolId| self.census(**id).asleep > 0 && self.can_start(**id);
            let starts = |id: &&PoolId| self.can_start(**id);
            let found = pools.iter().find(serves).or_else(|| pools.iter().find(sleeps));
            let found = found.or_else(|| pools.iter().find(starts)).copied();
            // With nobody to start, it is left to those whose workers have too much to do.
            let has_workers = |id: &&PoolId| self.census(**id).awake() > 0;
            let Some(found) = found.or_else(|| pools.iter().find(has_workers).copied()) else {
                continue;
            };
            if !chosen.contains(&found) {
                chosen.push(found);
            }
            for other in pools.into_iter().filter(|&other| other != found) {
                if let Ok(index) = self.looks.binary_search_by_key(&other, |look| look.pool) {
                    let waiting = &mut self.looks[index].demand.waiting;
                    *waiting = waiting.saturating_sub(count);
                }
            }
        }
    }

    /// It has workers that have time for more, or may have more of them.
    fn serves(&self, id: PoolId) -> bool {
        let Some(pool) = self.scaler.pools.get(&id).filter(|pool| !pool.held) else {
            return false;
        };
        let awake = self.census(id).awake();
        awake > 0 && (awake < pool.spec.max || !self.is_pressed(id))
    }

    fn can_start(&self, id: PoolId) -> bool {
        let Some(pool) = self.scaler.pools.get(&id).filter(|pool| !pool.held && !pool.retiring) else {
            return false;
        };
        pool.backs_off_until <= self.now && self.census(id).awake() < pool.spec.max
    }
}
