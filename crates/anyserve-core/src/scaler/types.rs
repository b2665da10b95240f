//! What goes into the scaler and what comes out of it.

use std::time::Duration;

use super::amount::{Brief, Waiting};
use super::budget::{Amounts, Grant, Resources};
use crate::scheduler::{PoolId, WorkerId};

/// What a pool was promised, and what its workers take.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSpec {
    /// Its name, for messages.
    pub name: String,
    /// How many workers it has whatever comes.
    pub min: usize,
    /// How many it has at most.
    pub max: usize,
    /// What each of them takes.
    pub resources: Resources,
    /// What each of them keeps while it sleeps; none if they cannot sleep.
    pub asleep: Option<Amounts>,
    /// How long a worker may be idle before it sleeps, if it can, or stops; none is for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a worker is kept once it is ready, whoever wants its place.
    pub min_residence: Duration,
    /// How much worse it is to evict a worker of this pool than one of another; above zero.
    pub eviction_cost: f64,
    /// Its workers are neither evicted nor stopped for being idle.
    pub pinned: bool,
}

/// One step of one worker. The scaler takes it for under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The worker's pool.
    pub pool: PoolId,
    /// The worker; a new one for [`Step::Start`].
    pub worker: WorkerId,
    /// What is to be done.
    pub step: Step,
    /// Why, for those who look at the pool.
    pub reason: Reason,
}

/// What is to be done with a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start it with these resources; then report `ready`, or `gone`.
    Start(Grant),
    /// Give it nothing more, let it finish what it has, stop it; then report `gone`.
    Stop,
    /// Give it nothing more, let it finish what it has, put it to sleep; then report `asleep`.
    Sleep {
        /// As the worker's hook gets it.
        level: u32,
    },
    /// Wake it; then report `awake`.
    Wake,
}

/// Why something was decided; its text completes "… because".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The pool has fewer workers than it must have.
    #[error("it has fewer than {0}, its min")]
    BelowMin(usize),
    /// Requests wait, and no worker is there.
    #[error("{} and it has no worker", Waiting(*waiting))]
    Cold {
        /// How many.
        waiting: usize,
    },
    /// Requests would wait too long for the workers there are.
    #[error("{}, which would take its workers {}", Waiting(*waiting), Brief(*wait))]
    Backlog {
        /// How many.
        waiting: usize,
        /// How long the last of them would wait.
        wait: Duration,
    },
    /// Nothing came for it.
    #[error("it was idle for {}", Brief(*.0))]
    Idle(Duration),
    /// Another pool needs what it holds.
    #[error("pool '{0}' needs its resources")]
    Evicted(String),
    /// Another pool has waited too long while this one was busy.
    #[error("pool '{pool}' has waited its turn for {}", Brief(*waited))]
    Turn {
        /// The other pool.
        pool: String,
        /// How long its oldest request has waited.
        waited: Duration,
    },
    /// There are more workers than there may be.
    #[error("it has more than {0}, its max")]
    AboveMax(usize),
    /// It has served as many requests as it may.
    #[error("one of its workers has served as many requests as it may")]
    Recycled,
    /// The operator said so.
    #[error("the operator said so")]
    Ordered,
    /// The operator has drained the pool.
    #[error("the operator drained the pool")]
    Held,
    /// The configuration has no place for it any more.
    #[error("the configuration has changed")]
    Retired,
}

/// What a pool is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Workers start when they are needed.
    Active,
    /// The operator has drained it: no worker starts.
    Held,
    /// Its starts failed too often; another is tried after that time, if something waits for it.
    Failed {
        /// How long until then.
        again_in: Duration,
    },
    /// It goes when nothing needs it.
    Retiring,
}
