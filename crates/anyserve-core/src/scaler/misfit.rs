//! Whether pools can fit on a machine at all, and the arithmetic if they cannot.

use super::amount::{Amount, Bare, GPUS};
use super::budget::{Budget, Resources};
use super::types::PoolSpec;

/// Why a pool can never be served on this machine; the arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// One worker takes more than there is.
    #[error(
        "each worker of pool '{pool}' takes {}; the budget has {}",
        Amount(resource, *takes),
        Amount(resource, *has)
    )]
    Worker {
        /// The pool.
        pool: String,
        /// What is short.
        resource: String,
        /// How much of it one worker takes.
        takes: u64,
        /// How much there is.
        has: u64,
    },
    /// What the pools must have together is more than there is.
    #[error(
        "the min workers of all pools take {} ({sum}); the budget has {}",
        Amount(resource, *takes),
        Amount(resource, *has)
    )]
    Min {
        /// What is short.
        resource: String,
        /// How much of it they take.
        takes: u64,
        /// By pool.
        sum: String,
        /// How much there is.
        has: u64,
    },
    /// One worker takes more than what the pools that must have workers leave.
    #[error(
        "each worker of pool '{pool}' takes {}; the min workers of other pools ({sum}) leave {}",
        Amount(resource, *takes),
        Amount(resource, *left)
    )]
    Beside {
        /// The pool.
        pool: String,
        /// What is short.
        resource: String,
        /// How much of it one worker takes.
        takes: u64,
        /// What the others must have, by pool.
        sum: String,
        /// How much they leave.
        left: u64,
    },
}

impl Budget {
    /// Says what can never fit if this pool is there beside the others: one worker of it, what all pools must have, or
    /// one worker of some pool beside what the others must have.
    pub(super) fn check_fits(&self, own: &PoolSpec, others: &[&PoolSpec]) -> Result<(), Misfit> {
        let all: Vec<&PoolSpec> = others.iter().copied().chain([own]).collect();
        let names = own.resources.amounts.keys().map(String::as_str).chain([GPUS]);
        for name in names {
            self.check_worker(own, name)?;
            self.check_min(&all, name)?;
            // Without min workers of its own it leaves the others what they had.
            let affected = if own.min > 0 { all.as_slice() } else { std::slice::from_ref(&own) };
            for pool in affected {
                self.check_beside(pool, &all, name)?;
            }
        }
        Ok(())
    }

    fn check_worker(&self, own: &PoolSpec, name: &str) -> Result<(), Misfit> {
        let (takes, has) = (amount_of(&own.resources, name), self.total_of(name));
        if takes <= has {
            return Ok(());
        }
        Err(Misfit::Worker { pool: own.name.clone(), resource: name.to_owned(), takes, has })
    }

    fn check_min(&self, all: &[&PoolSpec], name: &str) -> Result<(), Misfit> {
        let (takes, has) = (min_of(all.iter().copied(), name), self.total_of(name));
        if takes <= has {
            return Ok(());
        }
        let sum = sum_of(all.iter().copied(), name);
        Err(Misfit::Min { resource: name.to_owned(), takes, sum, has })
    }

    fn check_beside(&self, pool: &PoolSpec, all: &[&PoolSpec], name: &str) -> Result<(), Misfit> {
        let takes = amount_of(&pool.resources, name);
        if pool.min > 0 || pool.max == 0 || takes == 0 {
            return Ok(());
        }
        // It has no min workers, so it is not among those that have.
        let left = self.total_of(name).saturating_sub(min_of(all.iter().copied(), name));
        if takes <= left {
            return Ok(());
        }
        let (pool, resource) = (pool.name.clone(), name.to_owned());
        Err(Misfit::Beside { pool, resource, takes, sum: sum_of(all.iter().copied(), name), left })
    }
}

/// How much of a resource one worker takes.
fn amount_of(resources: &Resources, name: &str) -> u64 {
    if name == GPUS {
        resources.gpus as u64
    } else {
        resources.amounts.get(name).copied().unwrap_or_default()
    }
}

/// How much of a resource the min workers take.
fn min_of<'a>(pools: impl Iterator<Item = &'a PoolSpec>, name: &str) -> u64 {
    let each = |pool: &PoolSpec| amount_of(&pool.resources, name).saturating_mul(pool.min as u64);
    pools.map(each).fold(0, u64::saturating_add)
}

/// The same, by pool.
fn sum_of<'a>(pools: impl Iterator<Item = &'a PoolSpec>, name: &str) -> String {
    let parts = pools.filter_map(|pool| {
        let each = amount_of(&pool.resources, name);
        let has_part = pool.min > 0 && each > 0;
        has_part.then(|| format!("{}: {} x {}", pool.name, pool.min, Bare(name, each)))
    });
    parts.collect::<Vec<_>>().join(", ")
}
