//! One worker as the scheduler sees it: what it holds, and how much more it may hold.

use std::collections::VecDeque;
use std::time::Duration;

use super::{PoolId, RequestId, Time};

/// A parked request that has waited so long without the worker finishing anything is taken back when another worker is
/// free.
pub const RECALL_AFTER: Duration = Duration::from_millis(2);

/// The most requests parked at a worker.
const MAX_PARKED: usize = 16;

/// Work that may be parked at a worker, by its usual service time.
const PARKED_WORK: Duration = Duration::from_millis(1);

/// How far one service time moves the estimate: 1/8.
const SMOOTHING: u32 = 8;

#[derive(Debug)]
pub(super) struct Worker {
    pool: PoolId,
    concurrency: usize,
    /// What it holds, oldest first; it starts them in this order.
    held: VecDeque<Held>,
    sequence: u64,
    /// When it last became idle-to-busy or finished something.
    progress: Time,
    /// The usual time a handler takes, once one has been seen.
    service: Option<Duration>,
    recalling: bool,
}

/// A request with a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) request: RequestId,
    pub(super) pool: PoolId,
    pub(super) offer: usize,
    pub(super) sequence: u64,
    timeout: Option<Duration>,
    /// Since when it runs, as far as can be told from here; none while it is parked.
    running_since: Option<Time>,
}

impl Worker {
    pub(super) fn new(pool: PoolId, concurrency: usize) -> Self {
        Self {
            pool,
            concurrency,
            held: VecDeque::new(),
            sequence: 0,
            progress: Time::default(),
            service: None,
            recalling: false,
        }
    }

    pub(super) fn pool(&self) -> PoolId {
        self.pool
    }

    /// Requests held beyond what runs at once: negative while a request would start at once.
    pub(super) fn load(&self) -> i64 {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        signed(self.held.len()) - signed(self.concurrency)
    }

    pub(super) fn holds(&self, request: RequestId) -> bool {
        self.held.iter().any(|held| held.request == request)
    }

    /// True if it may be given one more request.
    pub(super) fn has_credit(&self, now: Time) -> bool {
        if self.held.len() < self.concurrency {
            return true;
        }
        let may_park = !self.recalling && !self.without_progress(now);
        may_park && self.held.len() < self.concurrency + self.parking_places()
    }

    pub(super) fn assign(
        &mut self,
        request: RequestId,
        offer: usize,
        timeout: Option<Duration>,
        now: Time,
    ) -> u64 {
        self.sequence += 1;
        if self.held.is_empty() {
            self.progress = now;
        }
        self.held.push_back(Held {
            request,
            pool: self.pool,
            offer,
            sequence: self.sequence,
            timeout,
            running_since: (self.held.len() < self.concurrency).then_some(now),
        });
        self.sequence
    }

    pub(super) fn complete(&mut self, request: RequestId, now: Time) -> Option<()> {
        let held = self.take(request, now)?;
        self.progress = now;
        if let Some(since) = held.running_since {
            let took = now.0.saturating_sub(since.0);
            self.service =
                Some(self.service.map_or(took, |usual| (usual * (SMOOTHING - 1) + took) / SMOOTHING));
        }
        Some(())
    }

    /// Takes back a request that it did not start; false if it holds no such request.
    pub(super) fn give_back(&mut self, request: RequestId, now: Time) -> bool {
        self.take(request, now).is_some()
    }

    pub(super) fn recall(&mut self) {
        self.recalling = true;
    }

    pub(super) fn recalled(&mut self) {
        self.recalling = false;
    }

    pub(super) fn parked(&self) -> impl Iterator<Item = RequestId> {
        self.held.iter().skip(self.concurrency).map(|held| held.request)
    }

    /// True if requests are parked behind something slow and nobody has asked for them yet.
    pub(super) fn is_stalled(&self, now: Time) -> bool {
        self.load() > 0 && !self.recalling && self.without_progress(now)
    }

    /// The requests that have run longer than they may.
    pub(super) fn hung(&self, now: Time) -> impl Iterator<Item = RequestId> {
        self.held
            .iter()
            .filter(move |held| held.runs_out().is_some_and(|end| end <= now))
            .map(|held| held.request)
    }

    /// How long a request that it holds may run.
    pub(super) fn timeout(&self, request: RequestId) -> Option<Duration> {
        self.held.iter().find(|held| held.request == request)?.timeout
    }

    /// When time alone could next make it hung, or, if another worker could help out, stalled.
    pub(super) fn next_check(&self, now: Time, could_recall: bool) -> Option<Time> {
        let stalls = (could_recall && self.load() > 0 && !self.recalling)
            .then(|| Time(self.progress.0.max(now.0) + RECALL_AFTER));
        self.held.iter().filter_map(Held::runs_out).chain(stalls).min()
    }

    pub(super) fn into_held(self) -> impl Iterator<Item = Held> {
        self.held.into_iter()
    }

    fn without_progress(&self, now: Time) -> bool {
        now.0.saturating_sub(self.progress.0) >= RECALL_AFTER
    }

    /// How many requests may be parked: none behind slow handlers.
    pub(super) fn parking_places(&self) -> usize {
        let Some(service) = self.service else {
            return 0;
        };
        let places = PARKED_WORK.as_nanos() / service.as_nanos().max(1);
        usize::try_from(places).unwrap_or(MAX_PARKED).min(MAX_PARKED)
    }

    fn take(&mut self, request: RequestId, now: Time) -> Option<Held> {
        let index = self.held.iter().position(|held| held.request == request)?;
        let held = self.held.remove(index)?;
        // The oldest parked request takes the place that came free.
        for held in self.held.iter_mut().take(self.concurrency) {
            held.running_since.get_or_insert(now);
        }
        Some(held)
    }
}

impl Held {
    fn runs_out(&self) -> Option<Time> {
        Some(Time(self.running_since?.0 + self.timeout?))
    }
}
