//! How many workers each pool has, and which of them hold the machine's resources.
//!
//! The caller reports what happens to workers (`ready`, `asleep`, `gone`, …) and asks [`Scaler::decide`] what to do: from
//! what waits (the [`Scheduler`](crate::Scheduler)), what the machine has (the [`Budget`]) and what each pool was promised
//! ([`PoolSpec`]). What it decides it takes for under way: resources are taken when a start is decided and given back when
//! the worker is reported gone, so that nothing is handed out twice.
//!
//! A decision has two halves. First what goes of itself: workers of drained pools, above `max`, idle for too long, worn
//! (`shrink`). Then what each pool wants (`wants`), the most pressing first: a worker is woken or started if there is room,
//! otherwise room is made for it (`grow`, `victims`). What a want is about to get is kept for it, all of it or nothing is
//! taken, and a want that has waited too long is served before others: so no two wait for each other, and none waits for
//! ever.

mod amount;
mod budget;
mod decide;
mod grow;
mod hope;
mod misfit;
mod next;
mod pool;
mod report;
mod room;
mod shrink;
mod steps;
mod turns;
mod types;
mod victims;
mod wants;
mod worker;

use std::collections::BTreeMap;
use std::time::Duration;

pub use budget::{Amounts, Budget, Grant, Resources};
pub use misfit::Misfit;
use pool::{Order, Pool};
pub use types::{Decision, Phase, PoolSpec, Reason, Step};
pub use worker::{Stage, Worker};

use crate::scheduler::{PoolId, Time, WorkerId};

/// After so many failed starts in a row, what waits for the pool fails.
pub const MOST_FAILED_STARTS: u32 = 3;

/// How long a pool waits after its first failed start; twice as long after each further one.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The longest that it waits.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// The pools, their workers and the budget.
#[derive(Debug)]
pub struct Scaler {
    budget: Budget,
    pools: BTreeMap<PoolId, Pool>,
    workers: BTreeMap<WorkerId, Worker>,
    last_worker: u64,
}

impl Scaler {
    /// A scaler of no pools.
    pub fn new(budget: Budget) -> Self {
        Self { budget, pools: BTreeMap::new(), workers: BTreeMap::new(), last_worker: 0 }
    }

    /// What the machine has.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Adds a pool. Fails if one of its workers, or all it must have beside those that other pools must have, can never
    /// fit.
    pub fn add_pool(&mut self, id: PoolId, spec: PoolSpec) -> Result<(), Misfit> {
        self.check_fits(id, &spec)?;
        self.pools.insert(id, Pool::new(spec));
        Ok(())
    }

    /// Changes what a pool was promised; its workers go on.
    pub fn change_pool(&mut self, id: PoolId, spec: PoolSpec) -> Result<(), Misfit> {
        self.check_fits(id, &spec)?;
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.spec = spec;
        }
        Ok(())
    }

    /// The pool is to go: it keeps its workers only for what waits for it and nobody else can serve.
    pub fn retire_pool(&mut self, id: PoolId) {
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.retiring = true;
        }
    }

    /// Forgets a pool that has no workers.
    pub fn remove_pool(&mut self, id: PoolId) {
        debug_assert!(self.workers_of(id).next().is_none(), "its workers go first");
        self.pools.remove(&id);
    }

    /// What a pool was promised.
    pub fn spec(&self, id: PoolId) -> Option<&PoolSpec> {
        self.pools.get(&id).map(|pool| &pool.spec)
    }

    /// What a pool is up to.
    pub fn phase(&self, id: PoolId, now: Time) -> Phase {
        let Some(pool) = self.pools.get(&id) else {
            return Phase::Retiring;
        };
        if pool.retiring {
            Phase::Retiring
        } else if pool.held {
            Phase::Held
        } else if pool.failed_starts >= MOST_FAILED_STARTS {
            Phase::Failed { again_in: pool.backs_off_until.since(now) }
        } else {
            Phase::Active
        }
    }

    /// A successor takes the place of the pool, or does so no more: it needs no room beside the others.
    pub fn set_superseded(&mut self, id: PoolId, superseded: bool) {
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.superseded = superseded;
        }
    }

    /// Whether no worker of a pool may start, because it was drained.
    pub fn is_held(&self, id: PoolId) -> bool {
        self.pools.get(&id).is_some_and(|pool| pool.held)
    }

    /// How many starts of a pool have failed in a row.
    pub fn failed_starts(&self, id: PoolId) -> u32 {
        self.pools.get(&id).map_or(0, |pool| pool.failed_starts)
    }

    /// How long until a pool tries another start after one that failed.
    pub fn backoff(&self, id: PoolId, now: Time) -> Duration {
        self.pools.get(&id).map_or(Duration::ZERO, |pool| pool.backs_off_until.since(now))
    }

    /// The workers of a pool, in the order of their start.
    pub fn workers_of(&self, id: PoolId) -> impl Iterator<Item = &Worker> {
        let ids = self.pools.get(&id).map_or(&[][..], |pool| &pool.workers);
        ids.iter().filter_map(|id| self.workers.get(id))
    }

    /// A worker that has not gone.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// The operator drains a pool: its workers stop, and no others start until this is taken back.
    pub fn hold(&mut self, id: PoolId, held: bool) {
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.held = held;
            pool.ordered = None;
            pool.failed_starts = 0;
            pool.backs_off_until = Time::default();
        }
    }

    /// The operator wants the workers of a pool to sleep, as soon as nothing waits for it and until something does.
    pub fn order_sleep(&mut self, id: PoolId) {
        self.order(id, Order::Sleep);
    }

    /// The operator wants the workers of a pool awake; one is started if there is none.
    pub fn order_wake(&mut self, id: PoolId) {
        self.order(id, Order::Wake);
    }

    fn order(&mut self, id: PoolId, order: Order) {
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.ordered = Some(order);
        }
    }

    fn check_fits(&self, id: PoolId, spec: &PoolSpec) -> Result<(), Misfit> {
        let others =
            self.pools.iter().filter(|&(&other, pool)| other != id && !pool.retiring && !pool.superseded);
        let others: Vec<_> = others.map(|(_, pool)| &pool.spec).collect();
        self.budget.check_fits(spec, &others)
    }
}

#[cfg(test)]
mod tests;
