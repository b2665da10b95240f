//! Which parts of a segment are free: offsets only, no memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::{BLOCK, QUANTUM};

/// The free parts of a segment, and which of its blocks hold memory.
#[derive(Debug)]
pub(crate) struct Space {
    size: u64,
    /// Start to length; no two touch.
    free: BTreeMap<u64, u64>,
    /// The same by length: the tightest fit is taken, and the lowest of those, so that memory in use stays together.
    by_length: BTreeSet<(u64, u64)>,
    /// One bit for each block: whether it holds memory.
    present: Vec<bool>,
}

impl Space {
    /// All of `size` bytes free, and no memory behind them.
    pub(crate) fn new(size: u64) -> Self {
        let blocks = usize::try_from(size.div_ceil(BLOCK)).unwrap_or(usize::MAX);
        let mut space =
            Self { size, free: BTreeMap::new(), by_length: BTreeSet::new(), present: vec![false; blocks] };
        space.insert(0, size);
        space
    }

    /// How many bytes a slot of `length` takes.
    pub(crate) fn rounded(length: u64) -> Option<u64> {
        length.max(1).checked_next_multiple_of(QUANTUM)
    }

    /// Takes a part of that many bytes, a multiple of [`QUANTUM`]; returns where it starts.
    pub(crate) fn take(&mut self, length: u64) -> Option<u64> {
        let &(found, start) = self.by_length.range((length, 0)..).next()?;
        self.remove(start, found);
        if found > length {
            self.insert(start + length, found - length);
        }
        Some(start)
    }

    /// Gives a part back.
    pub(crate) fn give(&mut self, start: u64, length: u64) {
        let (mut start, mut length) = (start, length);
        if let Some((&before, &size)) = self.free.range(..start).next_back()
            && before + size == start
        {
            self.remove(before, size);
            (start, length) = (before, size + length);
        }
        if let Some(&after) = self.free.get(&(start + length)) {
            self.remove(start + length, after);
            length += after;
        }
        self.insert(start, length);
    }

    /// The blocks of a part that hold no memory yet, from which on they are taken to hold it, as runs of bytes.
    pub(crate) fn make_present(&mut self, start: u64, length: u64) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for block in start / BLOCK..(start + length).div_ceil(BLOCK) {
            if std::mem::replace(&mut self.present[index(block)], true) {
                continue;
            }
            let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(self.size));
            match runs.last_mut() {
                Some(last) if last.0 + last.1 == from => last.1 += to - from,
                _ => runs.push((from, to - from)),
            }
        }
        runs
    }

    /// What [`Self::make_present`] returned could not be made present.
    pub(crate) fn not_present(&mut self, runs: &[(u64, u64)]) {
        for &(start, length) in runs {
            for block in start / BLOCK..(start + length).div_ceil(BLOCK) {
                self.present[index(block)] = false;
            }
        }
    }

    /// The whole blocks that hold memory and are free, as runs of bytes, from which on they are taken to hold none.
    pub(crate) fn take_idle_blocks(&mut self) -> Vec<(u64, u64)> {
        let mut runs = Vec::new();
        for (&start, &length) in &self.free {
            for block in start.div_ceil(BLOCK)..(start + length) / BLOCK {
                if std::mem::replace(&mut self.present[index(block)], false) {
                    runs.push((block * BLOCK, BLOCK));
                }
            }
        }
        runs
    }

    /// How many bytes hold memory.
    pub(crate) fn present_bytes(&self) -> u64 {
        self.present.iter().filter(|&&present| present).count() as u64 * BLOCK
    }

    fn insert(&mut self, start: u64, length: u64) {
        if length > 0 {
            self.free.insert(start, length);
            self.by_length.insert((length, start));
        }
    }

    fn remove(&mut self, start: u64, length: u64) {
        self.free.remove(&start);
        self.by_length.remove(&(length, start));
    }
}

fn index(block: u64) -> usize {
    usize::try_from(block).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_given_back_joins_its_neighbours() {
        let mut space = Space::new(10 * QUANTUM);
        let parts: Vec<_> = (0..5).map(|_| space.take(2 * QUANTUM).unwrap()).collect();
        assert!(space.take(QUANTUM).is_none());
        for index in [1, 3, 2, 0, 4] {
            space.give(parts[index], 2 * QUANTUM);
        }
        assert_eq!(space.free, BTreeMap::from([(0, 10 * QUANTUM)]));
    }

    #[test]
    fn the_tightest_fit_is_taken() {
        let mut space = Space::new(100 * QUANTUM);
        let parts: Vec<_> = [3, 1, 1, 1, 2, 1].map(|pages| space.take(pages * QUANTUM).unwrap()).to_vec();
        space.give(parts[0], 3 * QUANTUM);
        space.give(parts[2], QUANTUM);
        space.give(parts[4], 2 * QUANTUM);
        assert_eq!(space.take(2 * QUANTUM), Some(parts[4]));
        assert_eq!(space.take(QUANTUM), Some(parts[2]));
        assert_eq!(space.take(2 * QUANTUM), Some(parts[0]));
    }

    #[test]
    fn only_whole_free_blocks_are_idle() {
        let mut space = Space::new(4 * BLOCK);
        let first = space.take(3 * BLOCK).unwrap();
        assert_eq!(space.make_present(first, 3 * BLOCK), [(0, 3 * BLOCK)]);
        let second = space.take(QUANTUM).unwrap();
        assert_eq!(space.make_present(second, QUANTUM), [(3 * BLOCK, BLOCK)]);
        assert_eq!(space.take_idle_blocks(), []);
        space.give(first, 3 * BLOCK);
        assert_eq!(space.take_idle_blocks().len(), 3);
        assert_eq!(space.present_bytes(), BLOCK);
    }

    proptest! {
        /// Against a model: a page is taken by at most one part, and free pages are found again.
        #[test]
        fn parts_never_overlap_and_nothing_is_lost(steps in prop::collection::vec((0..6_u8, 1..9_u64), 1..200)) {
            let pages = 64;
            let mut space = Space::new(pages * QUANTUM);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (step, length) in steps {
                if step < 4 {
                    let length = length * QUANTUM;
                    if let Some(start) = space.take(length) {
                        prop_assert!(start + length <= pages * QUANTUM);
                        for &(other, size) in &taken {
                            prop_assert!(start + length <= other || other + size <= start);
                        }
                        taken.push((start, length));
                    } else {
                        // No gap between the taken ones is large enough.
                        let mut sorted = taken.clone();
                        sorted.sort_unstable();
                        sorted.push((pages * QUANTUM, 0));
                        let mut end = 0;
                        for (start, size) in sorted {
                            prop_assert!(start - end < length);
                            end = start + size;
                        }
                    }
                } else if !taken.is_empty() {
                    let index = usize::try_from(length).unwrap() % taken.len();
                    let (start, length) = taken.swap_remove(index);
                    space.give(start, length);
                }
            }
            for (start, length) in taken {
                space.give(start, length);
            }
            prop_assert_eq!(space.free, BTreeMap::from([(0, pages * QUANTUM)]));
        }
    }
}
