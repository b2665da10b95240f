//! The parts of a file that are in use: given out as slots of a segment are, without the memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::space::Space;

/// So many bytes of a file, of which parts are given out.
#[derive(Clone, Debug)]
pub struct Extents {
    space: Arc<Mutex<Space>>,
    size: u64,
}

/// A part of a file that is its holder's; it is free again once this is dropped.
#[derive(Debug)]
pub struct Extent {
    extents: Extents,
    start: u64,
    length: u64,
}

impl Extents {
    /// All of `size` bytes, none of them in use; what is less than a [`QUANTUM`](crate::QUANTUM) at the end never is.
    pub fn new(size: u64) -> Self {
        let size = size - size % crate::QUANTUM;
        Self { space: Arc::new(Mutex::new(Space::new(size))), size }
    }

    /// How many bytes there are in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A part for that many bytes; none if no free piece is that large.
    pub fn take(&self, length: u64) -> Option<Extent> {
        let length = Space::rounded(length)?;
        let start = self.lock().take(length)?;
        Some(Extent { extents: self.clone(), start, length })
    }

    fn lock(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Extent {
    /// Where it starts in the file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes it takes: a multiple of [`QUANTUM`](crate::QUANTUM), and at least as many as were asked for.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.extents.lock().give(self.start, self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QUANTUM;

    #[test]
    fn what_is_dropped_is_free_again() {
        let extents = Extents::new(3 * QUANTUM + 5);
        assert_eq!(extents.size(), 3 * QUANTUM);
        let (first, second) = (extents.take(1).unwrap(), extents.take(QUANTUM + 1).unwrap());
        assert_eq!((first.length(), second.length()), (QUANTUM, 2 * QUANTUM));
        assert_ne!(first.start(), second.start());
        assert!(extents.take(0).is_none());
        drop((first, second));
        assert_eq!(extents.take(3 * QUANTUM).unwrap().start(), 0);
        assert!(extents.take(u64::MAX).is_none());
    }
}
