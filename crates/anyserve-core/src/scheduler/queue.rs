//! The queues: one for each distinct query, and for each pool the order in which it would serve their heads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Offer, PoolId, RequestId};
use crate::capability::Query;

/// Empty queues that are kept, so that a query that comes again is not matched again.
const KEPT_EMPTY: usize = if cfg!(test) { 2 } else { 1024 };

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    by_query: HashMap<Query, usize>,
    slots: Vec<Queue>,
    free: Vec<usize>,
    /// For each pool, the heads of the queues it can serve, by arrival.
    heads: Vec<BTreeSet<(u64, usize)>>,
    waiting: usize,
}

/// The requests of one query, by arrival.
#[derive(Debug)]
pub(super) struct Queue {
    query: Query,
    waiting: BTreeMap<u64, RequestId>,
    /// Requests that wait here or may come back here: the queue stays as long as there are any.
    unfinished: usize,
    /// The pools that can serve it, each with the index of its matching offer.
    eligible: Vec<(PoolId, usize)>,
}

impl Queue {
    /// The pools that can serve it.
    pub(super) fn eligible(&self) -> impl Iterator<Item = PoolId> {
        self.eligible.iter().map(|&(pool, _)| pool)
    }
}

impl Queues {
    /// Makes room for a new pool and lets it serve the queues it matches.
    pub(super) fn add_pool(&mut self, pool: PoolId, offers: &[Offer]) {
        let mut heads = BTreeSet::new();
        for &slot in self.by_query.values() {
            let queue = &mut self.slots[slot];
            if let Some(offer) = matching(&queue.query, offers) {
                queue.eligible.push((pool, offer));
                heads.extend(queue.waiting.keys().next().map(|&head| (head, slot)));
            }
        }
        self.heads.push(heads);
    }

    /// The queue of a query, made if a pool can serve it.
    pub(super) fn find<'a>(
        &mut self,
        query: &Query,
        pools: impl Iterator<Item = (PoolId, &'a [Offer])>,
    ) -> Option<usize> {
        if let Some(&slot) = self.by_query.get(query) {
            return Some(slot);
        }
        let eligible: Vec<_> =
            pools.filter_map(|(pool, offers)| Some((pool, matching(query, offers)?))).collect();
        if eligible.is_empty() {
            return None;
        }
        self.drop_empty();
        let queue = Queue { query: query.clone(), waiting: BTreeMap::new(), unfinished: 0, eligible };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot] = queue;
            slot
        } else {
            self.slots.push(queue);
            self.slots.len() - 1
        };
        self.by_query.insert(query.clone(), slot);
        Some(slot)
    }

    /// A queue by its index.
    pub(super) fn get(&self, slot: usize) -> &Queue {
        &self.slots[slot]
    }

    /// A new request belongs to the queue.
    pub(super) fn hold(&mut self, slot: usize) {
        self.slots[slot].unfinished += 1;
    }

    /// One of the queue's requests has ended.
    pub(super) fn release(&mut self, slot: usize) {
        self.slots[slot].unfinished -= 1;
    }

    /// Adds a request at the place of its arrival.
    pub(super) fn push(&mut self, slot: usize, arrival: u64, request: RequestId) {
        self.with_queue(slot, |queue| queue.waiting.insert(arrival, request));
        self.waiting += 1;
    }

    /// Takes a request out; false if it was not there.
    pub(super) fn remove(&mut self, slot: usize, arrival: u64) -> bool {
        let found = self.with_queue(slot, |queue| queue.waiting.remove(&arrival)).is_some();
        self.waiting -= usize::from(found);
        found
    }

    /// The arrival of the oldest request that a pool can serve.
    pub(super) fn oldest(&self, pool: PoolId) -> Option<u64> {
        self.heads[pool.0].first().map(|&(arrival, _)| arrival)
    }

    /// Takes the oldest request that a pool can serve, with the index of its offer.
    pub(super) fn pop(&mut self, pool: PoolId) -> Option<(RequestId, usize)> {
        let &(arrival, slot) = self.heads[pool.0].first()?;
        let request = self.with_queue(slot, |queue| queue.waiting.remove(&arrival))?;
        self.waiting -= 1;
        let eligible = &self.slots[slot].eligible;
        let offer = eligible.iter().find(|(eligible, _)| *eligible == pool)?.1;
        Some((request, offer))
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Changes a queue and keeps the pools' view of its head true.
    fn with_queue<T>(&mut self, slot: usize, change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = &mut self.slots[slot];
        let before = queue.waiting.keys().next().copied();
        let out = change(queue);
        let after = queue.waiting.keys().next().copied();
        if before != after {
            for pool in queue.eligible() {
                let heads = &mut self.heads[pool.0];
                before.map(|head| heads.remove(&(head, slot)));
                after.map(|head| heads.insert((head, slot)));
            }
        }
        out
    }

    /// Forgets the empty queues once there are too many.
    fn drop_empty(&mut self) {
        if self.by_query.len() < KEPT_EMPTY {
            return;
        }
        let (slots, free) = (&self.slots, &mut self.free);
        self.by_query.retain(|_, &mut slot| {
            let keep = slots[slot].unfinished > 0;
            if !keep {
                free.push(slot);
            }
            keep
        });
    }
}

fn matching(query: &Query, offers: &[Offer]) -> Option<usize> {
    offers.iter().position(|offer| query.matches(&offer.capability))
}
