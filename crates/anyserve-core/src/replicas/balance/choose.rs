//! The choice itself, by each policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Choice;
use super::hash::{Draw, affinity, fnv};
use super::member::Members;
use super::policy::Policy;
use crate::replicas::replica::Replica;

/// How often one that can be used is looked for by chance, before it is looked for one by one.
const DRAWS: usize = 8;

/// The replicas to choose from, as they are now. No method allocates.
pub(super) struct View<'a> {
    members: &'a Members,
    replicas: &'a [Arc<Replica>],
    choice: &'a Choice<'a>,
    draw: Draw,
}

impl<'a> View<'a> {
    pub(super) fn new(members: &'a Members, replicas: &'a [Arc<Replica>], choice: &'a Choice<'a>) -> Self {
        Self { members, replicas, choice, draw: Draw(choice.random) }
    }

    /// The index of one that may have the request; none if none may.
    pub(super) fn choose(&mut self, policy: Policy, turns: &[AtomicUsize]) -> Option<usize> {
        if self.replicas.is_empty() {
            return None;
        }
        match (policy, self.choice.key) {
            (Policy::RoundRobin, _) => self.next_in_turn(turns),
            (Policy::LeastOutstanding, _) => self.least_outstanding(),
            (Policy::ConsistentHash, Some(key)) => self.by_key(key),
            (Policy::PowerOfTwo | Policy::ConsistentHash, _) => self.lesser_of_two(),
        }
    }

    /// Where all have failed.
    pub(super) fn least_recently_failed(&self) -> Option<usize> {
        let left = (0..self.replicas.len()).filter(|&index| !self.is_excepted(index));
        left.min_by_key(|&index| self.members.last_failure(&self.replicas[index]))
    }

    fn lesser_of_two(&mut self) -> Option<usize> {
        let (one, load) = self.any_but(None)?;
        match self.any_but(Some(one)) {
            Some((other, less)) if less < load => Some(other),
            _ => Some(one),
        }
    }

    fn next_in_turn(&mut self, turns: &[AtomicUsize]) -> Option<usize> {
        let turn = &turns[self.slot(turns.len())];
        // Clients that start together should not all start with the same one.
        let first = self.draw.below(self.replicas.len()) + 1;
        let _ = turn.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
        let index = turn.fetch_add(1, Ordering::Relaxed) % self.replicas.len();
        // The turns of one that cannot be used go to all others, not to the next one.
        self.load(index).map(|_| index).or_else(|| Some(self.any_but(None)?.0))
    }

    /// Which turns these replicas take.
    fn slot(&self, slots: usize) -> usize {
        let (first, last) = (&self.replicas[0], &self.replicas[self.replicas.len() - 1]);
        let set = fnv(first.id().as_str().as_bytes()) ^ fnv(last.id().as_str().as_bytes()).rotate_left(17);
        Draw(set ^ self.replicas.len() as u64).below(slots)
    }

    fn least_outstanding(&mut self) -> Option<usize> {
        let (mut found, mut least, mut equal) = (None, usize::MAX, 0);
        for index in 0..self.replicas.len() {
            let Some(load) = self.load(index) else { continue };
            if load < least {
                (found, least, equal) = (Some(index), load, 1);
            } else if load == least {
                // Each of those that are equal has the same chance.
                equal += 1;
                if self.draw.below(equal) == 0 {
                    found = Some(index);
                }
            }
        }
        found
    }

    /// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016), with a bound of 1.25.
    fn by_key(&self, key: u64) -> Option<usize> {
        let loads = || (0..self.replicas.len()).filter_map(|index| Some((index, self.load(index)?)));
        let (count, total) = loads().fold((0, 0), |(count, total), (_, load)| (count + 1, total + load));
        // With this request, and rounded up, so that there is always one within the bound.
        let bound = (5 * (total + 1)).div_ceil(4 * count.max(1));
        let within = loads().filter(|&(_, load)| load < bound);
        within.map(|(index, _)| index).max_by_key(|&index| affinity(key, self.replicas[index].id().as_str()))
    }

    /// One by chance, and its requests under way.
    fn any_but(&mut self, other: Option<usize>) -> Option<(usize, usize)> {
        let count = self.replicas.len();
        for _ in 0..DRAWS {
            let index = self.draw.below(count);
            if Some(index) != other
                && let Some(load) = self.load(index)
            {
                return Some((index, load));
            }
        }
        let start = self.draw.below(count);
        let from_there = (start..count).chain(0..start).filter(|&index| Some(index) != other);
        from_there.into_iter().find_map(|index| Some((index, self.load(index)?)))
    }

    /// Its requests under way; none if it must not have another.
    fn load(&self, index: usize) -> Option<usize> {
        if self.is_excepted(index) {
            return None;
        }
        self.members.load(&self.replicas[index], self.choice.now)
    }

    fn is_excepted(&self, index: usize) -> bool {
        self.choice.except.contains(self.replicas[index].id())
    }
}
