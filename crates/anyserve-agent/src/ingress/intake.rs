//! What the requests of one connection are read with.

use std::sync::Arc;
use std::time::Instant;

use anyserve_shm::SlotMut;
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::objects::{Ask, Landing, Stake};

/// Where the requests of a connection land, and what they may be at most. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    landing: Arc<Landing>,
    /// The largest message, in bytes.
    pub(super) max_message_size: usize,
    /// How many requests of the connection may wait for room.
    may_wait: usize,
    waiting: Arc<Semaphore>,
}

impl Intake {
    /// On each connection so many requests may wait for room.
    pub(crate) fn new(landing: Arc<Landing>, max_message_size: usize, may_wait: usize) -> Self {
        Self { landing, max_message_size, may_wait, waiting: Arc::new(Semaphore::new(may_wait)) }
    }

    /// The same for another connection.
    pub(super) fn for_connection(&self) -> Self {
        Self::new(Arc::clone(&self.landing), self.max_message_size, self.may_wait)
    }

    /// A slot, if there is room at once.
    pub(super) fn try_land(&self, stake: &mut Stake, ask: Ask) -> Option<SlotMut> {
        let slot = self.landing.try_land(stake, ask)?;
        self.landing.count_copied(ask.length);
        Some(slot)
    }

    /// A slot as soon as there is room, or why there is none.
    pub(super) async fn land(
        self,
        mut stake: Stake,
        ask: Ask,
        until: Option<Instant>,
    ) -> Result<(SlotMut, Stake), Failure> {
        // What a request that waits has been sent is not read, and keeps a part of the connection's window: with all of
        // it kept, those that landed could not go on. So who comes then is told at once that there is no room.
        let permit = self.waiting.try_acquire();
        let until = if permit.is_ok() { until } else { Some(Instant::now()) };
        let slot = self.landing.land(&mut stake, ask, until).await?;
        self.landing.count_copied(ask.length);
        Ok((slot, stake))
    }
}
