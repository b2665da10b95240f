//! The queues: one for each distinct query.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;

use super::line::Line;
use super::place::Place;
use super::pool::Pool;
use super::types::{Offer, OfferId, PoolId, RequestId};
use crate::capability::Query;

/// So many empty queues are kept at least, so that a query that comes again is not matched again.
const KEPT_EMPTY: usize = if cfg!(test) { 2 } else { 16 * 1024 };

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// By what [`write_key`] makes of the query: one piece of memory, because looking it up is much of the work.
    by_key: HashMap<Box<[u8]>, usize, RandomState>,
    key: Vec<u8>,
    slots: Vec<Queue>,
    free: Vec<usize>,
    /// Those with requests that several pools can serve.
    shared: BTreeSet<usize>,
    waiting: usize,
    /// How many there were after the empty ones were dropped.
    kept: usize,
}

/// The requests of one query, by place.
#[derive(Debug)]
pub(super) struct Queue {
    query: Query,
    takes_stream: bool,
    /// The first, kept apart because it is looked at most.
    head: Option<(Place, RequestId)>,
    /// Behind it: most come in the order of their places.
    line: Line<Place>,
    /// Those that did not.
    others: BTreeMap<Place, RequestId>,
    /// Requests that wait here or may come back here: the queue stays as long as there are any.
    unfinished: usize,
    /// The offers that its requests can be served under.
    pub(super) offers: Vec<OfferId>,
    /// Its seat among the queues of each of them.
    seats: Vec<usize>,
    /// Several pools can serve it.
    is_shared: bool,
}

impl Queue {
    fn takes(&self, offer: &Offer) -> bool {
        takes(&self.query, self.takes_stream, offer)
    }

    /// The pools that can serve it, each once.
    pub(super) fn pools(&self) -> impl Iterator<Item = PoolId> {
        // The offers of a pool stand together.
        let offers = &self.offers;
        let new = move |&index: &usize| index == 0 || offers[index - 1].pool != offers[index].pool;
        (0..offers.len()).filter(new).map(move |index| offers[index].pool)
    }

    /// How many requests wait here.
    pub(super) fn len(&self) -> usize {
        usize::from(self.head.is_some()) + self.line.len() + self.others.len()
    }

    /// Several pools can serve it.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Nothing waits here, and nothing comes back.
    pub(super) fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Its first request.
    pub(super) fn first(&self) -> Option<RequestId> {
        self.head.map(|(_, request)| request)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let head = self.head.map(|(place, _)| place);
        head.into_iter().chain(self.line.keys()).chain(self.others.keys().copied())
    }

    /// All requests that wait here, in no order.
    pub(super) fn requests(&self) -> impl Iterator<Item = RequestId> {
        let head = self.head.map(|(_, request)| request);
        head.into_iter().chain(self.line.iter()).chain(self.others.values().copied())
    }

    fn insert(&mut self, place: Place, request: RequestId) {
        match self.head {
            Some(head) if head.0 < place => {
                if self.line.ends_before(place) {
                    self.line.insert(place, request);
                } else {
                    self.others.insert(place, request);
                }
            }
            before => {
                self.head = Some((place, request));
                if let Some((place, request)) = before {
                    self.line.insert(place, request);
                }
            }
        }
    }

    fn remove(&mut self, place: Place) -> bool {
        if self.head.is_none_or(|(head, _)| head != place) {
            return self.line.remove(place).or_else(|| self.others.remove(&place)).is_some();
        }
        let other = self.others.first_key_value().map(|(&place, &request)| (place, request));
        self.head = match (self.line.first(), other) {
            (Some(line), Some(other)) if other < line => self.others.pop_first(),
            (None, Some(_)) => self.others.pop_first(),
            _ => self.line.pop_first(),
        };
        true
    }
}

impl Queues {
    /// Lets a new pool serve the queues that it matches.
    pub(super) fn add_pool(&mut self, id: PoolId, pools: &mut [Pool]) {
        let pool = &mut pools[id.0];
        let all: Vec<_> = self.by_key.values().copied().collect();
        for slot in all {
            let queue = &mut self.slots[slot];
            let head = queue.head.map(|(place, _)| place);
            for index in 0..pool.lanes.len() {
                if queue.takes(&pool.lanes[index].offer) {
                    let seat = pool.lanes[index].heads.take_seat();
                    queue.offers.push(OfferId { pool: id, index });
                    queue.seats.push(seat);
                    pool.move_head(index, seat, number(slot), head);
                }
            }
            self.note_shared(slot);
        }
    }

    /// The queues that a pool can serve.
    pub(super) fn served_by(&self, pool: PoolId) -> Vec<usize> {
        let serves = |slot: &usize| self.slots[*slot].pools().any(|found| found == pool);
        self.by_key.values().copied().filter(serves).collect()
    }

    /// What waits in queues that no pool can serve.
    pub(super) fn unserved(&self) -> Vec<(usize, Place, RequestId)> {
        let unserved = self.by_key.values().filter(|&&slot| self.slots[slot].offers.is_empty());
        let requests = unserved.flat_map(|&slot| {
            let queue = &self.slots[slot];
            queue.places().zip(queue.requests()).map(move |(place, request)| (slot, place, request))
        });
        requests.collect()
    }

    /// From now on a pool does not serve the queue; what waits there is off its lanes.
    pub(super) fn detach(&mut self, slot: usize, id: PoolId, pools: &mut [Pool]) {
        let queue = &mut self.slots[slot];
        let waiting: Vec<_> = queue.places().map(Place::number).collect();
        let (offers, seats) = (std::mem::take(&mut queue.offers), std::mem::take(&mut queue.seats));
        for (offer, seat) in offers.into_iter().zip(seats) {
            if offer.pool != id {
                queue.offers.push(offer);
                queue.seats.push(seat);
                continue;
            }
            let pool = &mut pools[id.0];
            pool.move_head(offer.index, seat, number(slot), None);
            let lane = &mut pool.lanes[offer.index];
            lane.heads.leave_seat(seat);
            for &number in &waiting {
                lane.left(number);
            }
        }
        self.note_shared(slot);
    }

    /// Forgets the queues that only this pool could serve; nothing waits in them.
    pub(super) fn drop_pool(&mut self, id: PoolId, pools: &mut [Pool]) {
        let (slots, free) = (&self.slots, &mut self.free);
        self.by_key.retain(|_, &mut slot| {
            let keep = slots[slot].pools().all(|pool| pool != id);
            if !keep {
                leave_seats(&slots[slot], pools);
                free.push(slot);
            }
            keep
        });
    }

    /// The queues with requests that several pools can serve.
    pub(super) fn shared(&self) -> impl Iterator<Item = &Queue> {
        self.shared.iter().map(|&slot| &self.slots[slot])
    }

    fn note_shared(&mut self, slot: usize) {
        let queue = &mut self.slots[slot];
        queue.is_shared = queue.pools().count() > 1;
        if queue.is_shared && queue.head.is_some() {
            self.shared.insert(slot);
        } else {
            self.shared.remove(&slot);
        }
    }

    /// True if the query has a queue that a pool serves which is not closed.
    pub(super) fn has(&mut self, query: &Query, takes_stream: bool, pools: &[Pool]) -> bool {
        write_key(query, takes_stream, &mut self.key);
        let found = self.by_key.get(self.key.as_slice()).and_then(|&slot| self.slots[slot].offers.first());
        found.is_some_and(|first| !pools[first.pool.0].closed)
    }

    /// The queue of a query, made if a pool can serve it.
    pub(super) fn find(&mut self, query: &Query, takes_stream: bool, pools: &mut [Pool]) -> Option<usize> {
        write_key(query, takes_stream, &mut self.key);
        if let Some(&slot) = self.by_key.get(self.key.as_slice()) {
            // A closed pool is left only with queues that no other pool can serve.
            let first = self.slots[slot].offers.first();
            return first.is_some_and(|first| !pools[first.pool.0].closed).then_some(slot);
        }
        let open = pools.iter().enumerate().filter(|(_, pool)| !pool.closed);
        let all = open.flat_map(|(pool, found)| {
            let pool = PoolId(pool);
            found.lanes.iter().enumerate().map(move |(index, lane)| (OfferId { pool, index }, &lane.offer))
        });
        let matching = all.filter(|(_, offer)| takes(query, takes_stream, offer));
        let offers: Vec<_> = matching.map(|(id, _)| id).collect();
        if offers.is_empty() {
            return None;
        }
        self.drop_empty(pools);
        let seats =
            offers.iter().map(|offer| pools[offer.pool.0].lanes[offer.index].heads.take_seat()).collect();
        let (line, others) = (Line::default(), BTreeMap::new());
        let (query, head) = (query.clone(), None);
        let is_shared = false;
        let queue =
            Queue { query, takes_stream, head, line, others, unfinished: 0, offers, seats, is_shared };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot] = queue;
            slot
        } else {
            self.slots.push(queue);
            self.slots.len() - 1
        };
        self.by_key.insert(self.key.as_slice().into(), slot);
        self.note_shared(slot);
        Some(slot)
    }

    /// A queue by its index.
    pub(super) fn get(&self, slot: usize) -> &Queue {
        &self.slots[slot]
    }

    /// The queues that a pool can serve.
    pub(super) fn of_pool(&self, pool: PoolId) -> impl Iterator<Item = &Queue> {
        self.all().filter(move |queue| queue.pools().any(|found| found == pool))
    }

    /// The queues that an offer can serve.
    pub(super) fn of_offer(&self, offer: OfferId) -> impl Iterator<Item = &Queue> {
        self.all().filter(move |queue| queue.offers.contains(&offer))
    }

    fn all(&self) -> impl Iterator<Item = &Queue> {
        self.by_key.values().map(|&slot| &self.slots[slot])
    }

    /// A new request belongs to the queue.
    pub(super) fn hold(&mut self, slot: usize) {
        self.slots[slot].unfinished += 1;
    }

    /// One of the queue's requests has ended.
    pub(super) fn release(&mut self, slot: usize) {
        self.slots[slot].unfinished -= 1;
    }

    /// Adds a request at its place.
    pub(super) fn push(&mut self, slot: usize, place: Place, request: RequestId, pools: &mut [Pool]) {
        self.waiting += 1;
        self.change(slot, pools, |queue| queue.insert(place, request));
    }

    /// Takes a request out; false if it was not there.
    pub(super) fn remove(&mut self, slot: usize, place: Place, pools: &mut [Pool]) -> bool {
        let found = self.change(slot, pools, |queue| queue.remove(place));
        self.waiting -= usize::from(found);
        found
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Changes a queue and keeps the pools' view of its head true.
    fn change<T>(&mut self, slot: usize, pools: &mut [Pool], change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = &mut self.slots[slot];
        let before = queue.head.map(|(place, _)| place);
        let out = change(queue);
        let after = queue.head.map(|(place, _)| place);
        if before != after {
            if queue.is_shared {
                let changed =
                    if after.is_some() { self.shared.insert(slot) } else { self.shared.remove(&slot) };
                debug_assert!(changed || (before.is_some() && after.is_some()));
            }
            for (offer, &seat) in queue.offers.iter().zip(&queue.seats) {
                pools[offer.pool.0].move_head(offer.index, seat, number(slot), after);
            }
        }
        out
    }

    /// Forgets the empty queues once there are too many.
    fn drop_empty(&mut self, pools: &mut [Pool]) {
        // That many at once that it costs little for each.
        if self.slots.len() - self.free.len() < self.kept + KEPT_EMPTY.max(self.kept) {
            return;
        }
        let (slots, free) = (&self.slots, &mut self.free);
        self.by_key.retain(|_, &mut slot| {
            let keep = slots[slot].unfinished > 0;
            if !keep {
                free.push(slot);
                leave_seats(&slots[slot], pools);
            }
            keep
        });
        self.kept = self.slots.len() - self.free.len();
    }
}

/// An empty queue goes.
fn leave_seats(queue: &Queue, pools: &mut [Pool]) {
    for (offer, &seat) in queue.offers.iter().zip(&queue.seats) {
        pools[offer.pool.0].lanes[offer.index].heads.leave_seat(seat);
    }
}

/// As the pools know a queue.
fn number(slot: usize) -> u32 {
    u32::try_from(slot).expect("fewer than 2^32 queues")
}

fn takes(query: &Query, takes_stream: bool, offer: &Offer) -> bool {
    (takes_stream || !offer.stream) && query.matches(&offer.capability)
}

/// Keys have no `=`, and a value's length goes before it, so no two queries have the same.
fn write_key(query: &Query, takes_stream: bool, key: &mut Vec<u8>) {
    key.clear();
    key.push(u8::from(takes_stream));
    for (name, value) in query.pairs() {
        key.extend_from_slice(name.as_bytes());
        key.push(b'=');
        // No value has more than 256 bytes.
        let [.., high, low] = value.len().to_be_bytes();
        key.extend_from_slice(&[high, low]);
        key.extend_from_slice(value.as_bytes());
    }
}
