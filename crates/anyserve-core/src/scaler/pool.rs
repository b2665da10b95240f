//! One pool as the scaler sees it.

use std::time::Duration;

use super::types::PoolSpec;
use crate::scheduler::{Time, WorkerId};

/// Popularity is remembered for so many times what a start takes: what came so long ago counts for a third of what comes
/// now. The longer a start takes, the longer has a worker to be worth its place.
const MEMORY_IN_STARTS: u32 = 12;
const SHORTEST_MEMORY: Duration = Duration::from_secs(10);
const LONGEST_MEMORY: Duration = Duration::from_secs(600);

/// What a start, and what a wake, is taken to last before one has been seen.
const UNKNOWN_START: Duration = Duration::from_secs(5);
const UNKNOWN_WAKE: Duration = Duration::from_millis(500);

/// A busy worker is drained for another pool only after so many times what its start takes: so that most of the time is
/// for serving.
const STARTS_TO_AMORTISE: u32 = 4;

/// However fast it starts, it is kept this long.
const SHORTEST_TURN: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) spec: PoolSpec,
    /// Its workers, in the order of their start.
    pub(super) workers: Vec<WorkerId>,
    /// The operator has drained it.
    pub(super) held: bool,
    /// It goes when nothing needs it: a changed configuration has no place for it, or another pool has its place.
    pub(super) retiring: bool,
    /// It has a successor.
    pub(super) superseded: bool,
    /// Its workers are to sleep, or to be awake, because the operator said so.
    pub(super) ordered: Option<Order>,
    pub(super) failed_starts: u32,
    /// No start before this time.
    pub(super) backs_off_until: Time,
    /// How long its workers take to be ready, and to wake.
    pub(super) start: Usual,
    pub(super) wake: Usual,
    /// How often requests come for it.
    rate: Rate,
    /// How many batches one of its workers runs at once, as far as is known.
    pub(super) slots: usize,
    /// Since when it has wanted a worker that it does not get.
    pub(super) wants_since: Option<Time>,
    /// Others make room for it.
    pub(super) promise: Option<Promise>,
}

/// Others make room for a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) since: Time,
    /// Busy ones do, because it is its turn.
    pub(super) turn: bool,
}

/// What an operator wants of the workers of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To sleep as soon as nothing waits.
    Sleep,
    /// They sleep until something waits.
    Slept,
    /// To be awake.
    Wake,
}

/// The usual length of something: a moving average.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usual(Option<Duration>);

/// How many requests come per second: what came long ago counts for little.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    per_second: f64,
    /// When the last one came.
    at: Time,
    counted: u64,
}

impl Pool {
    pub(super) fn new(spec: PoolSpec) -> Self {
        Self {
            spec,
            workers: Vec::new(),
            held: false,
            retiring: false,
            superseded: false,
            ordered: None,
            failed_starts: 0,
            backs_off_until: Time::default(),
            start: Usual::default(),
            wake: Usual::default(),
            rate: Rate::default(),
            slots: 1,
            wants_since: None,
            promise: None,
        }
    }

    /// How many workers it must have.
    pub(super) fn min(&self) -> usize {
        if self.retiring { 0 } else { self.spec.min }
    }

    pub(super) fn start_time(&self) -> Duration {
        self.start.0.unwrap_or(UNKNOWN_START)
    }

    pub(super) fn wake_time(&self) -> Duration {
        self.wake.0.unwrap_or(UNKNOWN_WAKE).min(self.start_time())
    }

    /// How long a busy worker is kept, whoever waits.
    pub(super) fn amortised_after(&self) -> Duration {
        (self.start_time() * STARTS_TO_AMORTISE).max(SHORTEST_TURN)
    }

    /// So many requests have come until now.
    pub(super) fn count(&mut self, arrivals: u64, now: Time) {
        let memory = self.memory();
        self.rate.count(arrivals, now, memory);
    }

    /// How many requests are going to come per second: as many as lately, and at least one after as long again as none has
    /// come. So of two that are hardly asked for, the one that was asked for last is worth more, but not infinitely more.
    pub(super) fn rate(&self, now: Time) -> f64 {
        let memory = self.memory();
        let since_last = now.since(self.rate.at) + memory;
        self.rate.at(now, memory).max(since_last.as_secs_f64().recip())
    }

    fn memory(&self) -> Duration {
        (self.start_time() * MEMORY_IN_STARTS).clamp(SHORTEST_MEMORY, LONGEST_MEMORY)
    }

    /// It has no worker more to wait for: one is on its way, or it wants none.
    pub(super) fn content(&mut self) {
        self.wants_since = None;
        self.promise = None;
    }
}

impl Usual {
    pub(super) fn measured(&mut self, took: Duration) {
        self.0 = Some(self.0.map_or(took, |usual| (usual * 3 + took) / 4));
    }
}

impl Rate {
    fn count(&mut self, arrivals: u64, now: Time, memory: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
        let new = arrivals.saturating_sub(self.counted) as f64;
        if new > 0.0 {
            let per_second = self.at(now, memory) + new / memory.as_secs_f64();
            *self = Self { per_second, at: now, counted: arrivals };
        }
    }

    fn at(&self, now: Time, memory: Duration) -> f64 {
        self.per_second * (-now.since(self.at).as_secs_f64() / memory.as_secs_f64()).exp()
    }
}
