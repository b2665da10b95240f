//! What the test has in its hands, and what it should hold.

use std::rc::Rc;

use anyserve_shm::{QUANTUM, Slot, SlotMut};
use bytes::Bytes;

/// A part of a segment that is taken for as long as anything speaks of it.
pub(crate) struct Part {
    /// Tells its bytes from those of others.
    pub(crate) number: u64,
    pub(crate) segment: usize,
    pub(crate) start: u64,
    pub(crate) length: usize,
}

/// Something that takes a part: to write to, or to look at some of it.
pub(crate) struct Held {
    pub(crate) part: Rc<Part>,
    pub(crate) what: What,
}

pub(crate) enum What {
    Filling(SlotMut),
    Slot(Slot),
    /// From some byte on.
    Bytes(Bytes, usize),
    /// The same as seen through the other mapping, and the lease behind that.
    View(Bytes, usize, #[expect(dead_code, reason = "held")] Bytes),
}

impl Part {
    /// How many bytes of the budget it takes.
    pub(crate) fn taken(&self) -> u64 {
        (self.length as u64).max(1).next_multiple_of(QUANTUM)
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.taken()
    }

    /// What it should hold at that place.
    pub(crate) fn byte(&self, at: usize) -> u8 {
        // Pages of one part differ, too.
        let [byte, ..] = (self.number.wrapping_mul(151) ^ (at as u64 / 17)).to_le_bytes();
        byte
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), self.length);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(at);
        }
    }

    /// Looks at both ends and at some of what is in between.
    pub(crate) fn check(&self, bytes: &[u8], from: usize) {
        let last = bytes.len().saturating_sub(1);
        for at in (0..bytes.len()).step_by(1021).chain(last.min(bytes.len())..bytes.len()) {
            assert_eq!(bytes[at], self.byte(from + at), "byte {} of part {}", from + at, self.number);
        }
    }
}

impl Held {
    /// What it holds is what was written.
    pub(crate) fn check(&self) {
        match &self.what {
            What::Filling(slot) => self.part.check(slot, 0),
            What::Slot(slot) => self.part.check(slot.as_ref(), 0),
            What::Bytes(bytes, from) | What::View(bytes, from, _) => self.part.check(bytes, *from),
        }
    }

    /// The bytes of which more can be made.
    pub(crate) fn bytes(&self) -> Option<(Bytes, usize)> {
        match &self.what {
            What::Filling(_) | What::View(..) => None,
            What::Slot(slot) => Some((slot.clone().into_bytes(), 0)),
            What::Bytes(bytes, from) => Some((bytes.clone(), *from)),
        }
    }
}
