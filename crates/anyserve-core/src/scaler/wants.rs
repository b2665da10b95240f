//! Which pools want a worker, and which of them goes first.

use std::cmp::Ordering;
use std::time::Duration;

use super::decide::{Look, Tick};
use super::pool::{Order, Pool};
use super::shrink::Census;
use super::types::Reason;
use crate::scheduler::{PoolId, Time};

/// A pool's workers have too much to do if what waits would take them longer than this, unless starting another takes
/// even longer.
const SHORTEST_BACKLOG: Duration = Duration::from_secs(1);

/// The same as a part of an SLO: before half of it the scheduler refuses requests.
const BACKLOG_OF_SLO: u32 = 4;

/// How long a pool waits for others to become idle, at most, before it is given a turn: its start-up time, or half of its
/// SLO, within these bounds.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
const MOST_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_OF_SLO: u32 = 2;

/// What a request is worth that is late in any case.
const WORTH_OF_LATE: f64 = 0.1;

/// A pool that wants one worker more.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) pool: PoolId,
    pub(super) reason: Reason,
    pub(super) rank: Rank,
    /// For how long.
    pub(super) waited: Duration,
    /// It has waited too long.
    pub(super) overdue: bool,
    /// How many of the requests that wait a worker would help.
    pub(super) worth: f64,
    /// The same with those to come while it amortises its start.
    pub(super) gain: f64,
    /// What it has waited, in terms of its patience.
    pub(super) urgency: f64,
}

/// The first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Others have made room for it.
    Promised,
    /// It has waited too long, and it is its turn.
    Turn,
    /// The operator wants it.
    Due,
    /// Requests wait and nobody serves them.
    Cold,
    /// Those who serve them have too much to do.
    Backlog,
    /// For a worker that is still there.
    Replacement,
}

impl Want {
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let by_rank = self.rank.cmp(&other.rank);
        let by_worth = match self.rank {
            Rank::Cold => other.gain.total_cmp(&self.gain),
            _ => Ordering::Equal,
        };
        let by_wait = other.waited.cmp(&self.waited);
        by_rank.then(by_worth).then(by_wait).then(self.pool.cmp(&other.pool))
    }
}

impl Tick<'_> {
    /// What the pools want.
    pub(super) fn wants(&mut self) -> Vec<Want> {
        let mut wants = Vec::new();
        for index in 0..self.looks.len() {
            let look = self.looks[index];
            let reason = self.reason(&look);
            let Some(pool) = self.scaler.pools.get_mut(&look.pool) else {
                continue;
            };
            match reason {
                None => pool.content(),
                Some((rank, reason)) => {
                    let has_none = rank <= Rank::Cold;
                    pool.wants_since = has_none.then(|| pool.wants_since.unwrap_or(self.now));
                    let waited = pool.wants_since.map(|since| self.now.since(since)).unwrap_or_default();
                    wants.push(want(pool, &look, (rank, reason), waited, self.now));
                }
            }
        }
        wants
    }

    /// Why a pool wants one worker more, if it does.
    fn reason(&self, look: &Look) -> Option<(Rank, Reason)> {
        let pool = &self.scaler.pools[&look.pool];
        if pool.held || self.now < pool.backs_off_until {
            return None;
        }
        let (census, waiting) = (self.census(look.pool), look.demand.waiting);
        // What is asleep in a moment wakes sooner than another starts.
        if census.falling_at_once > 0 || pool.spec.max == 0 {
            return None;
        }
        let (awake, sleeps) = (census.awake(), matches!(pool.ordered, Some(Order::Sleep | Order::Slept)));
        let needed = awake + census.worn == 0 && waiting > 0;
        let rank = if needed { Rank::Cold } else { Rank::Due };
        if awake < pool.min() && !sleeps {
            return Some((Rank::Due, Reason::BelowMin(pool.min())));
        }
        if needed {
            return Some((rank, Reason::Cold { waiting }));
        }
        let asleep = census.asleep > 0 && awake < pool.spec.max;
        if pool.ordered == Some(Order::Wake) && (asleep || census.staying() == 0) {
            return Some((Rank::Due, Reason::Ordered));
        }
        if census.worn > census.coming && (waiting > 0 || self.is_busy(look.pool)) {
            return Some((Rank::Replacement, Reason::Recycled));
        }
        let wait = self.backlog(pool, look, census)?;
        (awake < pool.spec.max && wait > acceptable(pool, look))
            .then_some((Rank::Backlog, Reason::Backlog { waiting, wait }))
    }

    /// What waits for a pool would take its workers too long.
    pub(super) fn is_pressed(&self, id: PoolId) -> bool {
        let look = Look { pool: id, demand: self.demand(id) };
        let Some(pool) = self.scaler.pools.get(&id) else {
            return false;
        };
        self.backlog(pool, &look, self.census(id)).is_some_and(|wait| wait > acceptable(pool, &look))
    }

    /// How long what waits would take the workers that are there or about to be.
    fn backlog(&self, pool: &Pool, look: &Look, census: Census) -> Option<Duration> {
        let demand = &look.demand;
        if demand.waiting == 0 || census.awake() == 0 {
            return None;
        }
        if demand.service.is_none() {
            // Nothing has been measured: it takes at least as long again as it has taken already.
            let since = self.scaler.workers_of(look.pool).map(|worker| worker.since).max()?;
            let waited = self.now.since(demand.oldest?.max(since));
            return (census.coming == 0).then_some(waited);
        }
        let slots = demand.slots.max(census.ready) + pool.slots * census.coming;
        Some(demand.work / u32::try_from(slots.max(1)).unwrap_or(u32::MAX))
    }

    fn is_busy(&self, id: PoolId) -> bool {
        self.scaler.workers_of(id).any(|worker| self.scheduler.load(worker.id) > 0)
    }
}

fn want(pool: &Pool, look: &Look, (rank, reason): (Rank, Reason), waited: Duration, now: Time) -> Want {
    let urgency = waited.as_secs_f64() / patience(pool, look).as_secs_f64();
    let overdue = rank <= Rank::Cold && urgency >= 1.0;
    let rank = if pool.promise.is_some() { Rank::Promised } else { rank };
    let worth = match reason {
        Reason::Cold { .. } | Reason::Backlog { .. } => worth(pool, look, now),
        _ => f64::INFINITY,
    };
    let gain = worth + pool.rate(now) * pool.amortised_after().as_secs_f64();
    Want { pool: look.pool, reason, rank, waited, overdue, worth, gain, urgency }
}

/// How many of the requests that wait a worker would help: those that are late whatever happens count for little.
#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn worth(pool: &Pool, look: &Look, now: Time) -> f64 {
    let waiting = look.demand.waiting as f64;
    let (Some(slo), Some(oldest)) = (look.demand.slo, look.demand.oldest) else {
        return waiting;
    };
    // As if they had come evenly.
    let in_time = slo.saturating_sub(pool.start_time()).as_secs_f64() / now.since(oldest).as_secs_f64();
    let in_time = if in_time < 1.0 { in_time } else { 1.0 };
    waiting * (in_time + (1.0 - in_time) * WORTH_OF_LATE)
}

/// How long the requests of a pool may wait for its workers before another worker is worth while.
fn acceptable(pool: &Pool, look: &Look) -> Duration {
    look.demand.slo.map_or_else(|| pool.start_time().max(SHORTEST_BACKLOG), |slo| slo / BACKLOG_OF_SLO)
}

/// How long a pool waits for others to become idle.
pub(super) fn patience(pool: &Pool, look: &Look) -> Duration {
    let usual = look.demand.slo.map_or(pool.start_time(), |slo| slo / PATIENCE_OF_SLO);
    usual.clamp(LEAST_PATIENCE, MOST_PATIENCE)
}
