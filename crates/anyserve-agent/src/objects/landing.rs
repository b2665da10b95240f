//! Where the large contents of requests land, and how a request waits until there is room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyserve_channel::INLINE_LIMIT;
use anyserve_shm::{AllocateError, Charge, Exhausted, QUANTUM, Segment, SlotMut};
use tokio::sync::Semaphore;

use super::store::Store;
use crate::failure::Failure;

/// How long a request waits for room, at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The part of the object store that only the agent writes to.
pub(crate) struct Landing {
    segment: Segment,
    store: Arc<Store>,
    /// Who waits with nothing in hand does so one after the other: the first that came is the first to get room.
    turn: Semaphore,
    copied: AtomicU64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// How many bytes.
    pub(crate) length: usize,
    /// How many bytes of the same message are still to come behind them.
    pub(crate) rest: usize,
}

/// What a message has of the store, beside its slots.
#[derive(Debug, Default)]
pub(crate) struct Stake {
    /// Kept for what is still to come of it: two messages that each had a part of the room they need would wait for one
    /// another.
    kept: Option<Charge>,
    /// How many bytes of it have landed.
    landed: u64,
}

impl Landing {
    /// In that segment; objects of the store make room.
    pub(crate) fn new(segment: Segment, store: Arc<Store>) -> Self {
        Self { segment, store, turn: Semaphore::new(1), copied: AtomicU64::new(0) }
    }

    /// A slot, if there is room at once and nobody waits for it.
    pub(crate) fn try_land(&self, stake: &mut Stake, ask: Ask) -> Option<SlotMut> {
        if stake.is_empty() && self.turn.available_permits() == 0 {
            return None;
        }
        self.attempt(stake, ask).ok()
    }

    /// A slot as soon as there is room, which is waited for, but not longer than until then. Dropping the future ends
    /// the wait.
    pub(crate) async fn land(
        &self,
        stake: &mut Stake,
        ask: Ask,
        until: Option<Instant>,
    ) -> Result<SlotMut, Failure> {
        let longest = tokio::time::Instant::now() + LONGEST_WAIT;
        let until = until.map_or(longest, |until| longest.min(until.into()));
        match tokio::time::timeout_at(until, self.wait(stake, ask)).await {
            Ok(landed) => landed,
            Err(_) => self.attempt(stake, ask).map_err(|error| self.full(stake, ask, &error)),
        }
    }

    /// Whose room it is that is made for what lands.
    #[cfg(test)]
    pub(super) fn account(&self) -> u64 {
        self.segment.account().id()
    }

    /// So many bytes of a message were copied into a slot.
    pub(crate) fn count_copied(&self, bytes: usize) {
        self.copied.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The memory that they land in.
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// How many bytes were copied into slots so far.
    pub(crate) fn copied(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    async fn wait(&self, stake: &mut Stake, ask: Ask) -> Result<SlotMut, Failure> {
        // A message of which a part has landed does not wait behind those that may be waiting for that part.
        let _turn = if stake.is_empty() { self.turn.acquire().await.ok() } else { None };
        loop {
            // From here on nothing is missed that gets free.
            let freed = self.store.freed().notified();
            match self.attempt(stake, ask) {
                Ok(slot) => return Ok(slot),
                // Not even if all else goes.
                Err(error) if stake.landed + rounded(ask.length) > self.segment.account().limit() => {
                    return Err(self.full(stake, ask, &error));
                }
                Err(error) => tracing::debug!(%error, "a request waits for room in the object store"),
            }
            freed.await;
        }
    }

    /// Tries for as long as room can be made.
    fn attempt(&self, stake: &mut Stake, ask: Ask) -> Result<SlotMut, AllocateError> {
        loop {
            match self.allocate(stake, ask) {
                Ok(slot) => {
                    stake.landed += rounded(ask.length);
                    return Ok(slot);
                }
                // No object need go for what would not fit even then.
                Err(error) if rounded(ask.length) > self.segment.account().limit() => return Err(error),
                Err(_) if self.store.make_room(self.segment.account().id(), rounded(ask.length)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn allocate(&self, stake: &mut Stake, ask: Ask) -> Result<SlotMut, AllocateError> {
        if let Some(kept) = &mut stake.kept {
            return self.segment.allocate_within(kept, ask.length);
        }
        if ask.rest <= INLINE_LIMIT {
            return self.segment.allocate(ask.length);
        }
        let whole = (rounded(ask.length) + rounded(ask.rest)).min(self.segment.account().limit());
        let mut kept = self.segment.account().charge(whole)?;
        let slot = self.segment.allocate_within(&mut kept, ask.length)?;
        stake.kept = Some(kept);
        Ok(slot)
    }

    fn full(&self, stake: &Stake, ask: Ask, error: &AllocateError) -> Failure {
        let budget = self.segment.account().budget();
        let free = match error {
            AllocateError::Exhausted(Exhausted { free, .. }) => *free,
            AllocateError::Fragmented { .. } | AllocateError::System { .. } => budget.limit() - budget.used(),
        };
        Failure::ArenaFull { asked: stake.landed + ask.length as u64, free, limit: budget.limit() }
    }
}

impl Stake {
    fn is_empty(&self) -> bool {
        self.landed == 0
    }
}

/// How many bytes a slot of that length takes of the budget.
fn rounded(length: usize) -> u64 {
    (length as u64).max(1).next_multiple_of(QUANTUM)
}

impl fmt::Debug for Landing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Landing").field("segment", &self.segment).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "landing_tests.rs"]
mod tests;
