//! Workers by load.

use super::types::WorkerId;

/// They are few, so that moving one within a slice is quicker than any tree.
#[derive(Debug, Default)]
pub(super) struct Ranking(Vec<(i64, WorkerId)>);

impl Ranking {
    /// The freest.
    pub(super) fn first(&self) -> Option<(i64, WorkerId)> {
        self.0.first().copied()
    }

    /// The freest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, WorkerId)> {
        self.0.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, load: i64, worker: WorkerId) {
        let place = self.0.partition_point(|&found| found < (load, worker));
        self.0.insert(place, (load, worker));
    }

    pub(super) fn remove(&mut self, load: i64, worker: WorkerId) {
        if let Ok(place) = self.0.binary_search(&(load, worker)) {
            self.0.remove(place);
        }
    }

    /// The load of a worker has changed.
    pub(super) fn change(&mut self, worker: WorkerId, before: i64, after: i64) {
        if let Ok(from) = self.0.binary_search(&(before, worker)) {
            self.0[from].0 = after;
            let behind = self.0[from + 1..].partition_point(|&found| found < (after, worker));
            self.0[from..=from + behind].rotate_left(1);
            let ahead = self.0[..from].partition_point(|&found| found < (after, worker));
            self.0[ahead..=from].rotate_right(1);
        }
    }
}
