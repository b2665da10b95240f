//! A pool of workers, and for each of its offers the queues that it can serve.

use std::time::Duration;

use super::backlog::Backlog;
use super::line::Line;
use super::place::Place;
use super::ranking::Ranking;
use super::request::{Request, Requests};
use super::tournament::Tournament;
use super::types::{Offer, RequestId, Time};
use super::usage::Usage;

/// How far one measurement moves an estimate: 1/8.
const SMOOTHING: u32 = 8;

/// A set of identical workers, and what waits for them.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) lanes: Vec<Lane>,
    /// Those that take requests, by load, so that the first is the freest.
    pub(super) workers: Ranking,
    /// How many workers there are, also those that take none.
    pub(super) members: usize,
    /// Nothing new is for this pool.
    pub(super) closed: bool,
    /// How many requests have come for it.
    pub(super) arrivals: u64,
    /// How many batches its ready workers run at once.
    pub(super) slots: usize,
    pub(super) backlog: Backlog,
    pub(super) usage: Usage,
    /// None of its requests ages before this time.
    pub(super) aged_from: Time,
    /// Counts its assignments.
    pub(super) turns: u64,
    /// The lanes by their first request.
    ready: Tournament,
}

/// One offer of a pool, with the queues that match it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) offer: Offer,
    /// How many requests wait in its queues.
    pub(super) waiting: usize,
    /// How long a batch takes a worker's slot.
    pub(super) service: Usual,
    /// How long after its assignment a request has its first response.
    pub(super) first_response: Usual,
    /// The first request of each of its queues.
    pub(super) heads: Tournament,
    /// Its requests in the order of their arrival.
    arrivals: Line<u64>,
}

/// The usual length of something, once one has been seen: a moving average.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usual(Option<Duration>);

impl Pool {
    pub(super) fn new() -> Self {
        Self {
            lanes: Vec::new(),
            workers: Ranking::default(),
            members: 0,
            closed: false,
            arrivals: 0,
            slots: 0,
            backlog: Backlog::default(),
            usage: Usage::new(),
            aged_from: Time::default(),
            turns: 0,
            ready: Tournament::default(),
        }
    }

    /// Says what a pool without offers offers.
    pub(super) fn set_lanes(&mut self, offers: Vec<Offer>) {
        for _ in &offers {
            self.ready.take_seat();
        }
        self.lanes = offers.into_iter().map(Lane::new).collect();
    }

    /// The lane with the first request.
    pub(super) fn first_lane(&self) -> Option<(Place, usize)> {
        self.ready.first().map(|(place, lane)| (place, lane as usize))
    }

    /// The lanes with requests, in no order, each with the place of its first.
    pub(super) fn lanes_with_requests(&self) -> impl Iterator<Item = (Place, usize)> {
        self.ready.all().map(|(place, lane)| (place, lane as usize))
    }

    /// The first request of a queue, which has that seat in the lane, is another one now.
    pub(super) fn move_head(&mut self, lane: usize, seat: usize, queue: u32, head: Option<Place>) {
        let heads = &mut self.lanes[lane].heads;
        let before = heads.first();
        heads.set(seat, queue, head);
        let first = heads.first();
        if before != first {
            let number = u32::try_from(lane).unwrap_or(u32::MAX);
            self.ready.set(lane, number, first.map(|(place, _)| place));
        }
    }

    /// How many batches of one offer its workers run at once.
    pub(super) fn slots_for(&self, lane: usize) -> usize {
        let limit = self.lanes[lane].offer.concurrency;
        limit.map_or(self.slots, |limit| self.slots.min(limit * self.workers.len()))
    }
}

impl Lane {
    fn new(offer: Offer) -> Self {
        Self {
            offer,
            waiting: 0,
            service: Usual::default(),
            first_response: Usual::default(),
            heads: Tournament::default(),
            arrivals: Line::default(),
        }
    }

    /// The queue whose first request is the most urgent.
    pub(super) fn first_queue(&self) -> Option<usize> {
        self.heads.first().map(|(_, queue)| queue as usize)
    }

    /// A request waits in one of its queues; what comes back, comes back in its old place.
    pub(super) fn arrived(&mut self, number: u64, request: RequestId) {
        self.waiting += 1;
        self.arrivals.insert(number, request);
    }

    /// A request waits no longer.
    pub(super) fn left(&mut self, number: u64) {
        self.waiting -= 1;
        self.arrivals.remove(number);
    }

    /// The request that has waited longest.
    pub(super) fn oldest(&self) -> Option<RequestId> {
        self.arrivals.first().map(|(_, request)| request)
    }

    /// The time of a slot that one waiting request stands for: where requests wait, batches are full.
    pub(super) fn work(&self) -> Option<Duration> {
        let batch = u32::try_from(self.offer.max_batch_size).unwrap_or(u32::MAX);
        self.service.duration().map(|service| service / batch.max(1))
    }

    /// When a batch must go though it could be larger; none if it may go at once.
    pub(super) fn ripens(&self, requests: &Requests) -> Option<Time> {
        if self.offer.max_batch_delay.is_zero() || self.waiting >= self.offer.max_batch_size {
            return None;
        }
        // These are less than a batch.
        let waiting = self.arrivals.iter().filter_map(|request| requests.get(request));
        waiting.map(|request| self.starts_by(request)).min()
    }

    /// When a request must be sent though its batch could be larger: half of the time until it is due is for the handler,
    /// or as much as it usually takes.
    fn starts_by(&self, request: &Request) -> Time {
        let mut delay = self.offer.max_batch_delay;
        if let Some(due) = request.due {
            let time = due.since(request.arrived);
            let takes = self.first_response.duration().unwrap_or_default().max(time / 2);
            delay = delay.min(time.saturating_sub(takes));
        }
        request.arrived.plus(delay)
    }
}

impl Usual {
    pub(super) fn duration(self) -> Option<Duration> {
        self.0
    }

    pub(super) fn measured(&mut self, took: Duration) {
        let smoothed = |usual: Duration| (usual * (SMOOTHING - 1) + took) / SMOOTHING;
        self.0 = Some(self.0.map_or(took, smoothed));
    }
}
