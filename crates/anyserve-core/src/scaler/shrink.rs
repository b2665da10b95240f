//! What goes of itself: nobody else has to want its place.

use std::time::Duration;

use super::decide::Tick;
use super::pool::Order;
use super::types::Reason;
use super::worker::{Stage, Worker};
use super::{MOST_FAILED_STARTS, Scaler};
use crate::Scheduler;
use crate::scheduler::{PoolId, WorkerId};

/// The workers of a pool, counted by what they do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Census {
    /// Those that start or wake.
    pub(super) coming: usize,
    pub(super) ready: usize,
    /// Those that serve, but are to be replaced.
    pub(super) worn: usize,
    pub(super) asleep: usize,
    /// Those that fall asleep, and of these those that have nothing left to finish.
    pub(super) falling: usize,
    pub(super) falling_at_once: usize,
}

impl Census {
    /// Those that serve, or are about to.
    pub(super) fn awake(&self) -> usize {
        self.ready + self.coming
    }

    /// All that do not stop.
    pub(super) fn staying(&self) -> usize {
        self.awake() + self.worn + self.asleep + self.falling
    }
}

impl Scaler {
    pub(super) fn census(&self, id: PoolId, scheduler: &Scheduler) -> Census {
        let mut census = Census::default();
        for worker in self.workers_of(id) {
            match worker.stage {
                Stage::Starting | Stage::Waking => census.coming += 1,
                Stage::Ready if worker.worn => census.worn += 1,
                Stage::Ready => census.ready += 1,
                Stage::Asleep => census.asleep += 1,
                Stage::FallingAsleep => {
                    census.falling += 1;
                    census.falling_at_once += usize::from(scheduler.load(worker.id) == 0);
                }
                Stage::Draining => {}
            }
        }
        census
    }
}

impl Tick<'_> {
    /// Stops or puts to sleep what its own pool has no use for.
    pub(super) fn shrink(&mut self) {
        for index in 0..self.looks.len() {
            let (id, waiting) = (self.looks[index].pool, self.looks[index].demand.waiting);
            let pool = &self.scaler.pools[&id];
            if pool.held {
                self.stop_all(id, &Reason::Held);
            } else if pool.retiring && waiting == 0 {
                self.stop_all(id, &Reason::Retired);
            } else if !pool.workers.is_empty() || pool.ordered.is_some() {
                self.stop_excess(id);
                self.obey(id, waiting);
                self.stop_idle(id, waiting);
            }
        }
    }

    /// Stops the workers whose replacements are ready, or for whose replacements there is no room.
    pub(super) fn recycle(&mut self) {
        for index in 0..self.looks.len() {
            let id = self.looks[index].pool;
            let census = self.census(id);
            // While starts fail, a worn worker is better than none.
            if census.worn == 0 || self.scaler.pools[&id].failed_starts > 0 {
                continue;
            }
            let worn: Vec<_> =
                self.ready_of(id).filter(|worker| worker.worn).map(|worker| worker.id).collect();
            for &worker in &worn[..census.worn.saturating_sub(census.coming)] {
                self.stop(worker, Reason::Recycled);
            }
        }
    }

    fn stop_all(&mut self, id: PoolId, reason: &Reason) {
        let stoppable =
            |worker: &&Worker| matches!(worker.stage, Stage::Starting | Stage::Ready | Stage::Asleep);
        let all: Vec<_> = self.scaler.workers_of(id).filter(stoppable).map(|worker| worker.id).collect();
        for worker in all {
            self.stop(worker, reason.clone());
        }
    }

    /// Stops what is above max: what sleeps, then the idle, then what starts, then the busy; of these the newest first.
    fn stop_excess(&mut self, id: PoolId) {
        let (max, census) = (self.scaler.pools[&id].spec.max, self.census(id));
        let excess = (census.staying() - census.worn).saturating_sub(max);
        if excess == 0 {
            return;
        }
        let rank = |worker: &Worker| match worker.stage {
            Stage::Asleep => Some(0),
            Stage::Ready if self.scheduler.load(worker.id) == 0 => Some(1),
            Stage::Starting => Some(2),
            Stage::Ready => Some(3),
            Stage::Draining | Stage::FallingAsleep | Stage::Waking => None,
        };
        let fresh = self.scaler.workers_of(id).filter(|worker| !worker.worn);
        let mut ranked: Vec<_> = fresh.filter_map(|worker| Some((rank(worker)?, worker.id))).collect();
        ranked.sort_by_key(|&(rank, worker)| (rank, std::cmp::Reverse(worker)));
        for (_, worker) in ranked.into_iter().take(excess) {
            self.stop(worker, Reason::AboveMax(max));
        }
    }

    /// Puts the workers to sleep if the operator wants that and nothing waits. Forgets orders that are carried out.
    fn obey(&mut self, id: PoolId, waiting: usize) {
        let pool = &self.scaler.pools[&id];
        let order = match pool.ordered {
            Some(Order::Sleep | Order::Slept) if pool.spec.asleep.is_none() => None,
            Some(Order::Slept) if waiting > 0 => None,
            Some(Order::Sleep) if waiting == 0 => {
                let ready: Vec<_> = self.ready_of(id).map(|worker| worker.id).collect();
                for worker in ready {
                    self.sleep(worker, Reason::Ordered);
                }
                // What starts or wakes follows when it is ready.
                let all = self.census(id).awake() == 0;
                Some(if all { Order::Slept } else { Order::Sleep })
            }
            Some(Order::Wake) if pool.failed_starts >= MOST_FAILED_STARTS || self.is_awake(id) => None,
            order => order,
        };
        if let Some(pool) = self.scaler.pools.get_mut(&id) {
            pool.ordered = order;
        }
    }

    /// It has workers, and none of them sleeps that could be awake.
    fn is_awake(&self, id: PoolId) -> bool {
        let census = self.census(id);
        let sleeping = census.asleep + census.falling > 0 && census.awake() < self.scaler.pools[&id].spec.max;
        census.ready > 0 && !sleeping
    }

    /// Puts to sleep or stops what has been idle for too long.
    fn stop_idle(&mut self, id: PoolId, waiting: usize) {
        let spec = &self.scaler.pools[&id].spec;
        let Some(timeout) = spec.idle_timeout.filter(|_| waiting == 0 && !spec.pinned) else {
            return;
        };
        let (can_sleep, kept_for) = (spec.asleep.is_some(), timeout.max(spec.min_residence));
        let spare = self.census(id).awake().saturating_sub(self.scaler.pools[&id].min());
        let idle = self.ready_of(id).filter(|worker| !worker.worn && self.idle(worker) >= Some(kept_for));
        let idle: Vec<_> = idle.map(|worker| worker.id).take(spare).collect();
        for worker in idle {
            if can_sleep {
                self.sleep(worker, Reason::Idle(timeout));
            } else {
                self.stop(worker, Reason::Idle(timeout));
            }
        }
    }

    /// For how long a worker has had nothing to do; none while it has.
    pub(super) fn idle(&self, worker: &Worker) -> Option<Duration> {
        let since = self.scheduler.idle_since(worker.id)?;
        Some(self.now.since(since.max(worker.resident_since)))
    }

    fn ready_of(&self, id: PoolId) -> impl Iterator<Item = &Worker> {
        self.scaler.workers_of(id).filter(|worker| worker.stage == Stage::Ready)
    }

    pub(super) fn stop(&mut self, worker: WorkerId, reason: Reason) {
        self.decisions.extend(self.scaler.stop(worker, reason, self.now));
    }

    pub(super) fn sleep(&mut self, worker: WorkerId, reason: Reason) {
        self.decisions.extend(self.scaler.sleep(worker, reason, self.now));
    }
}
