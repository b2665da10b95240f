//! What goes into the scheduler and what comes out of it.

use std::time::Duration;

use super::place::Priority;
use crate::capability::{Capability, Query};

/// A point in time: how long after a moment of the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Duration);

impl Time {
    /// The time so much later.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A request, by the number that the scheduler gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A worker process, by the number that the caller gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// A set of identical workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub(super) usize);

impl PoolId {
    /// Its number: pools are counted from 0 as they are added.
    pub fn index(self) -> usize {
        self.0
    }
}

/// One capability of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferId {
    /// The pool.
    pub pool: PoolId,
    /// Index into what [`super::Scheduler::add_pool`] was given.
    pub index: usize,
}

/// One capability of a pool, and what holds for its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it serves.
    pub capability: Capability,
    /// A request may run again after the worker died with it.
    pub idempotent: bool,
    /// How long the handler may run before it counts as hung.
    pub timeout: Option<Duration>,
    /// How many of its batches one worker runs at once; none is as many as the worker does.
    pub concurrency: Option<usize>,
    /// The most requests that one call of the handler takes; 1 is no batching.
    pub max_batch_size: usize,
    /// How long the oldest request of a batch may wait for others.
    pub max_batch_delay: Duration,
    /// Its requests have any number of responses.
    pub stream: bool,
    /// The target time from arrival to the first response.
    pub slo: Option<Duration>,
    /// What a request has that does not say.
    pub priority: Priority,
    /// How many of its requests may wait.
    pub max_queue_size: Option<usize>,
}

impl Offer {
    /// An offer without any options.
    pub fn new(capability: Capability) -> Self {
        Self {
            capability,
            idempotent: false,
            timeout: None,
            concurrency: None,
            max_batch_size: 1,
            max_batch_delay: Duration::ZERO,
            stream: false,
            slo: None,
            priority: Priority::default(),
            max_queue_size: None,
        }
    }
}

/// A request that wants to be queued.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What it wants.
    pub query: &'a Query,
    /// The client takes any number of responses; without it, streaming offers are not for this request.
    pub takes_stream: bool,
    /// Instead of the offer's own.
    pub priority: Option<Priority>,
    /// When the client stops waiting.
    pub deadline: Option<Time>,
}

impl<'a> Ask<'a> {
    /// One response, whenever.
    pub fn new(query: &'a Query) -> Self {
        Self { query, takes_stream: false, priority: None, deadline: None }
    }
}

/// Send these requests to that worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The requests: one, or the batch that the offer allows.
    pub requests: Vec<RequestId>,
    /// The worker, which has a credit for them.
    pub worker: WorkerId,
    /// The offer under which they run.
    pub offer: OfferId,
    /// Counts the worker's assignments from 1.
    pub sequence: u64,
}

/// Why a request was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No pool has a capability that the query matches.
    #[error("no capability matches")]
    NoMatch,
    /// What matches has any number of responses, and the client takes one.
    #[error("{0} streams its responses")]
    StreamOnly(Capability),
    /// As many requests wait as may.
    #[error("{limit} requests are waiting already, as many as may")]
    QueueFull {
        /// How many may wait.
        limit: usize,
        /// The capability whose limit it is; none if it is the limit for all together.
        capability: Option<Capability>,
        /// When there may be room.
        retry_after: Duration,
    },
    /// It would wait longer than its SLO or its deadline allows.
    #[error("the predicted wait of {wait:?} is over the {budget:?} that there is")]
    PredictedMiss {
        /// How long it would wait.
        wait: Duration,
        /// How long it may wait.
        budget: Duration,
        /// When the wait may be short enough.
        retry_after: Duration,
    },
    /// Its deadline had passed when it came.
    #[error("the deadline had passed")]
    DeadlinePassed,
}

/// Where a cancelled request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// In a queue; it is forgotten.
    Queued,
    /// With this worker, which keeps the credit until it reports back.
    Assigned(WorkerId),
    /// Nowhere: it had ended.
    Unknown,
}

/// What becomes of a request whose worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphan {
    /// It waits again, in its old place.
    Requeued(RequestId),
    /// It may have run, and must not run twice.
    Lost(RequestId),
}

/// What the passing of time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the worker for what it has not started: another one is free.
    Recall(WorkerId),
    /// The request's deadline has passed. If a worker has it, tell that worker; else it is forgotten already.
    Expired(RequestId, Option<WorkerId>),
    /// The handler has run longer than its offer's timeout, beside others: tell the worker to give the request up.
    Overrun(WorkerId, RequestId),
    /// The handler has run longer than its offer's timeout, and nothing but the worker's end will end it.
    Hung(WorkerId, RequestId),
}
