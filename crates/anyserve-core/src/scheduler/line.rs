//! Requests in order, where nearly all come in at the end and go out at the front.
//!
//! The queues are mostly that, and what they cost is mostly what they touch in memory: this touches one place at each
//! end. What leaves from the middle leaves a gap.

use std::collections::VecDeque;

use super::types::RequestId;

/// Gaps that are no reason to tidy up.
const FEW_GAPS: usize = 32;

/// Requests by an ascending key. The front is never a gap.
#[derive(Debug)]
pub(super) struct Line<K> {
    entries: VecDeque<(K, Option<RequestId>)>,
    gaps: usize,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), gaps: 0 }
    }
}

impl<K: Ord + Copy> Line<K> {
    /// Whether a key comes after all others.
    pub(super) fn ends_before(&self, key: K) -> bool {
        self.entries.back().is_none_or(|&(last, _)| last < key)
    }

    /// Adds a request; that is slow unless its key comes after all others.
    pub(super) fn insert(&mut self, key: K, request: RequestId) {
        if self.ends_before(key) {
            self.entries.push_back((key, Some(request)));
            return;
        }
        if self.entries.front().is_some_and(|&(first, _)| key < first) {
            self.entries.push_front((key, Some(request)));
            return;
        }
        match self.entries.binary_search_by_key(&key, |&(key, _)| key) {
            Ok(gap) => {
                let before = self.entries[gap].1.replace(request);
                self.gaps -= usize::from(before.is_none());
            }
            Err(place) => self.entries.insert(place, (key, Some(request))),
        }
    }

    /// Takes a request out.
    pub(super) fn remove(&mut self, key: K) -> Option<RequestId> {
        let index = self.find(key)?;
        let request = self.entries[index].1.take()?;
        self.gaps += 1;
        self.close_gap_at_front();
        if self.gaps > FEW_GAPS + self.entries.len() / 2 {
            self.entries.retain(|(_, request)| request.is_some());
            self.gaps = 0;
        }
        Some(request)
    }

    /// Takes the first request out.
    pub(super) fn pop_first(&mut self) -> Option<(K, RequestId)> {
        let (key, request) = self.entries.pop_front()?;
        self.close_gap_at_front();
        Some((key, request?))
    }

    /// The first request.
    pub(super) fn first(&self) -> Option<(K, RequestId)> {
        self.entries.front().and_then(|&(key, request)| Some((key, request?)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.gaps
    }

    /// Their keys, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> {
        self.entries.iter().filter(|(_, request)| request.is_some()).map(|&(key, _)| key)
    }

    /// All requests, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = RequestId> {
        self.entries.iter().filter_map(|&(_, request)| request)
    }

    fn close_gap_at_front(&mut self) {
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
            self.gaps -= 1;
        }
    }

    /// Looks near the front first.
    fn find(&self, key: K) -> Option<usize> {
        let mut far = 1;
        while self.entries.get(far).is_some_and(|&(found, _)| found <= key) {
            far *= 2;
        }
        let (mut low, mut high) = (far / 2, far.min(self.entries.len()));
        while low < high {
            let middle = low.midpoint(high);
            if self.entries[middle].0 < key { low = middle + 1 } else { high = middle }
        }
        self.entries.get(low).is_some_and(|&(found, _)| found == key).then_some(low)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_sorted_map(steps in proptest::collection::vec((any::<bool>(), 0..200_u64), 0..400)) {
            let (mut line, mut model) = (Line::default(), BTreeMap::new());
            for (insert, key) in steps {
                if insert {
                    line.insert(key, RequestId(key));
                    model.insert(key, RequestId(key));
                } else {
                    prop_assert_eq!(line.remove(key), model.remove(&key));
                }
                prop_assert_eq!(line.first(), model.first_key_value().map(|(&key, &id)| (key, id)));
                prop_assert!(line.iter().eq(model.values().copied()));
            }
        }
    }
}
