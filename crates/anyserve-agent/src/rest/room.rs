//! How much the bodies may hold together that are being read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::Refusal;

/// What there is for all of them.
#[derive(Debug)]
pub(super) struct Room {
    held: AtomicU64,
    limit: u64,
}

/// What one of them has; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), limit })
    }

    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { room: Arc::clone(self), bytes: 0 }
    }
}

impl Share {
    /// What it has.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    /// Has so much from now on, and not what it had.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), Refusal> {
        if let Some(more) = bytes.checked_sub(self.bytes()) {
            return self.grow(more);
        }
        let less = self.bytes - bytes as u64;
        self.room.held.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
        Ok(())
    }

    /// Takes so much more, or nothing if there is not so much.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = bytes as u64;
        let limit = self.room.limit;
        let take = |held: u64| held.checked_add(bytes).filter(|&sum| sum <= limit);
        match self.room.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(held) => Err(Refusal::NoRoom { held, limit }),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let room = Room::new(10);
        let mut first = room.share();
        first.grow(6).unwrap();
        let mut second = room.share();
        assert!(matches!(second.grow(5), Err(Refusal::NoRoom { held: 6, limit: 10 })));
        first.set(4).unwrap();
        second.set(5).unwrap();
        drop(first);
        second.grow(5).unwrap();
    }
}
