//! One worker as the scheduler sees it: what it holds, and how much more it may hold.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::pool::Usual;
use super::types::{PoolId, RequestId, Time};

/// A parked request that has waited so long without the worker finishing anything is taken back when another worker is
/// free.
pub const RECALL_AFTER: Duration = Duration::from_millis(2);

/// The most batches parked at a worker.
const MAX_PARKED: usize = 16;

/// Work that may be parked at a worker, by its usual service time.
const PARKED_WORK: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Worker {
    pool: PoolId,
    concurrency: usize,
    /// What it holds by sequence; it starts them in this order.
    held: BTreeMap<u64, Batch>,
    /// Those of them that wait for a place.
    parked: VecDeque<u64>,
    /// How many it holds of each offer.
    of_offer: Vec<usize>,
    sequence: u64,
    /// When it last became idle-to-busy or finished something.
    progress: Time,
    /// The usual time that a batch takes.
    service: Usual,
    recalling: bool,
    /// It takes no requests for now.
    paused: bool,
    /// Since when it has held nothing.
    idle_since: Time,
}

/// Requests that one call of a handler takes.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Index of the offer in the worker's pool.
    pub(super) offer: usize,
    /// Those that have not ended.
    pub(super) requests: Vec<RequestId>,
    /// Since when it runs, as far as can be told from here; none while it is parked.
    pub(super) running_since: Option<Time>,
    /// When it is looked at because it runs too long.
    pub(super) runs_out: Option<Time>,
    /// It has run longer than it may, and the worker was told.
    pub(super) overran: bool,
}

/// Whether a worker can take one batch more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// It would start it at once.
    Free,
    /// It would start it as soon as something ends.
    Parking,
}

impl Worker {
    /// A worker that is paused at first.
    pub(super) fn new(pool: PoolId, concurrency: usize, offers: usize, now: Time) -> Self {
        Self {
            pool,
            concurrency,
            held: BTreeMap::new(),
            parked: VecDeque::new(),
            of_offer: vec![0; offers],
            sequence: 0,
            progress: Time::default(),
            service: Usual::default(),
            recalling: false,
            paused: true,
            idle_since: now,
        }
    }

    pub(super) fn pool(&self) -> PoolId {
        self.pool
    }

    /// How many batches it runs at once.
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Batches held beyond what runs at once: negative while one would start at once.
    pub(super) fn load(&self) -> i64 {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        signed(self.held.len()) - signed(self.concurrency)
    }

    /// The batch of that sequence number.
    pub(super) fn batch(&self, sequence: u64) -> Option<&Batch> {
        self.held.get(&sequence)
    }

    pub(super) fn batch_mut(&mut self, sequence: u64) -> Option<&mut Batch> {
        self.held.get_mut(&sequence)
    }

    /// Whether it may be given one more batch, of any offer.
    pub(super) fn room(&self, now: Time) -> Option<Room> {
        if self.held.len() < self.concurrency {
            return Some(Room::Free);
        }
        let may_park = !self.recalling && !self.without_progress(now);
        (may_park && self.parked.len() < self.parking_places()).then_some(Room::Parking)
    }

    /// The same for an offer of which it runs at most `limit` batches: of such an offer nothing is parked, because the
    /// worker would start it at once.
    pub(super) fn room_for(&self, offer: usize, limit: Option<usize>, now: Time) -> Option<Room> {
        let room = self.room(now)?;
        match limit.filter(|&limit| limit < self.concurrency) {
            None => Some(room),
            Some(limit) => (room == Room::Free && self.of_offer[offer] < limit).then_some(Room::Free),
        }
    }

    /// Gives it a batch; returns the sequence number, and whether it runs.
    pub(super) fn assign(&mut self, offer: usize, requests: Vec<RequestId>, now: Time) -> (u64, bool) {
        self.sequence += 1;
        if self.held.is_empty() {
            self.progress = now;
        }
        let runs = self.held.len() < self.concurrency;
        if !runs {
            self.parked.push_back(self.sequence);
        }
        self.of_offer[offer] += 1;
        let running_since = runs.then_some(now);
        let batch = Batch { offer, requests, running_since, runs_out: None, overran: false };
        self.held.insert(self.sequence, batch);
        (self.sequence, runs)
    }

    /// A request of that batch has ended. If it was the last, the batch is returned.
    pub(super) fn complete(&mut self, sequence: u64, request: RequestId, now: Time) -> Option<Batch> {
        let batch = self.give_back(sequence, request, now)?;
        self.progress = now;
        if let Some(since) = batch.running_since {
            self.service.measured(now.since(since));
        }
        Some(batch)
    }

    /// Takes back a request that it did not start. If it was the last of its batch, the batch is returned.
    pub(super) fn give_back(&mut self, sequence: u64, request: RequestId, now: Time) -> Option<Batch> {
        let batch = self.held.get_mut(&sequence)?;
        batch.requests.retain(|&held| held != request);
        if !batch.requests.is_empty() {
            return None;
        }
        let batch = self.held.remove(&sequence)?;
        self.of_offer[batch.offer] -= 1;
        if self.held.is_empty() {
            self.idle_since = now;
        }
        if batch.running_since.is_none() {
            self.parked.retain(|&parked| parked != sequence);
        }
        Some(batch)
    }

    /// If there is a place for it, the oldest parked batch runs now.
    pub(super) fn promote(&mut self, now: Time) -> Option<u64> {
        if self.held.len() - self.parked.len() >= self.concurrency {
            return None;
        }
        let sequence = self.parked.pop_front()?;
        self.held.get_mut(&sequence)?.running_since = Some(now);
        Some(sequence)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// How many batches it has.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How many requests it has.
    pub(super) fn requests(&self) -> usize {
        self.held.values().map(|batch| batch.requests.len()).sum()
    }

    /// Since when it has had none.
    pub(super) fn idle_since(&self) -> Option<Time> {
        self.held.is_empty().then_some(self.idle_since)
    }

    /// Takes parked requests back, if there are any and that is not under way.
    pub(super) fn recall(&mut self) -> bool {
        let recall = !self.parked.is_empty() && !self.recalling;
        self.recalling |= recall;
        recall
    }

    pub(super) fn set_recalling(&mut self, recalling: bool) {
        self.recalling = recalling;
    }

    pub(super) fn parked(&self) -> impl Iterator<Item = &Batch> {
        self.parked.iter().filter_map(|sequence| self.held.get(sequence))
    }

    /// True if requests are parked behind something slow and nobody has asked for them yet.
    pub(super) fn is_stalled(&self, now: Time) -> bool {
        !self.parked.is_empty() && !self.recalling && self.without_progress(now)
    }

    /// When time alone could next make it stalled.
    pub(super) fn stalls(&self, now: Time) -> Option<Time> {
        (!self.parked.is_empty() && !self.recalling).then(|| self.progress.max(now).plus(RECALL_AFTER))
    }

    pub(super) fn into_held(self) -> impl Iterator<Item = (u64, Batch)> {
        self.held.into_iter()
    }

    fn without_progress(&self, now: Time) -> bool {
        now.since(self.progress) >= RECALL_AFTER
    }

    /// How many batches may be parked: none behind slow handlers.
    pub(super) fn parking_places(&self) -> usize {
        let Some(service) = self.service.duration() else {
            return 0;
        };
        let places = PARKED_WORK.as_nanos() / service.as_nanos().max(1);
        usize::try_from(places).unwrap_or(MAX_PARKED).min(MAX_PARKED)
    }
}
