//! The parts of a segment that were given out: written by one, then looked at by many.
#![expect(unsafe_code, reason = "slots are parts of a mapping")]

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::budget::{Budget, Charge};
use crate::segment::Memory;

/// A part of a segment that only its holder writes to.
#[derive(Debug)]
pub struct SlotMut(pub(crate) Part);

/// A part of a segment that does not change any more. Whoever holds a clone of it leases it: it is free for others once
/// the last one is dropped.
///
/// When only one is left, the budget's `on_free` is called as if there were room: whoever has that one may let go of it.
#[derive(Clone, Debug)]
pub struct Slot {
    part: Arc<Part>,
    /// Dropped behind the other.
    _told: Told,
}

/// A part of a segment that was taken out of its free ones, and is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) memory: Arc<Memory>,
    pub(crate) start: u64,
    pub(crate) length: usize,
    pub(crate) charge: Charge,
}

/// Says so when all leases but one are over.
#[derive(Clone, Debug)]
struct Told {
    part: Weak<Part>,
    budget: Budget,
}

impl Part {
    fn offset(&self) -> usize {
        // It lies in a mapping, whose size is a usize.
        usize::try_from(self.start).unwrap_or(usize::MAX)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.memory.lock().give(self.start, self.charge.bytes());
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // Of two that are dropped at the same time both may find it so; that neither does cannot be.
        if self.part.strong_count() == 1 {
            self.budget.tell_free();
        }
    }
}

impl SlotMut {
    /// From now on it does not change.
    pub fn freeze(self) -> Slot {
        let budget = self.0.charge.budget().clone();
        let part = Arc::new(self.0);
        Slot { _told: Told { part: Arc::downgrade(&part), budget }, part }
    }

    /// Where it starts in its segment.
    pub fn offset(&self) -> u64 {
        self.0.start
    }
}

impl Deref for SlotMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the part was given to this slot alone, which is not written to while it is borrowed.
        unsafe { self.0.memory.mapping.bytes(self.0.offset(), self.0.length) }
    }
}

impl DerefMut for SlotMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the part was given to this slot alone, which is borrowed exclusively, and lies in a mapping that was
        // made for writing, as all of segments are.
        unsafe { self.0.memory.mapping.bytes_mut(self.0.offset(), self.0.length) }
    }
}

impl Slot {
    /// The bytes, which hold the slot for as long as any part of them is held.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// How many hold it.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.part)
    }

    /// Whose account it counts for.
    pub fn account(&self) -> u64 {
        self.part.charge.account()
    }

    /// Where it starts in its segment.
    pub fn offset(&self) -> u64 {
        self.part.start
    }
}

impl AsRef<[u8]> for Slot {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the part was given to this slot alone, and nothing in this process writes to a slot that was frozen.
        unsafe { self.part.memory.mapping.bytes(self.part.offset(), self.part.length) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Segment;

    #[test]
    #[cfg_attr(miri, ignore = "maps shared memory")]
    fn it_is_told_when_one_lease_is_left_and_when_none_is() {
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let budget = Budget::new(1 << 20, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let segment = Segment::create(&budget, true).unwrap();
        let kept = segment.allocate(10).unwrap().freeze();
        let (bytes, other) = (kept.clone().into_bytes(), kept.clone());
        drop(bytes.slice(1..2));
        drop(other);
        assert_eq!(told.load(Ordering::Relaxed), 0);
        drop(bytes);
        assert_eq!((told.load(Ordering::Relaxed), kept.holders()), (1, 1));
        drop(kept);
        assert_eq!((told.load(Ordering::Relaxed), budget.used()), (2, 0));
    }
}
