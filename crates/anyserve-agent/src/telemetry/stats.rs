//! The counts themselves: plain numbers behind the dispatcher's lock, so that counting costs next to nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyserve_core::Capability;
use anyserve_core::scheduler::{OfferId, PoolId, Time};

use super::histogram::{Histogram, SECONDS, SIZES};

/// Everything that is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    /// By capability, in the order in which they became known.
    pub(crate) offers: Vec<OfferStats>,
    /// Where in `offers` a capability is: pools that offer the same are counted together.
    places: BTreeMap<Capability, usize>,
    /// Where in `offers` those of each pool are.
    of_pools: Vec<Vec<usize>>,
    /// Requests that were not accepted, by reason.
    pub(crate) rejections: BTreeMap<&'static str, u64>,
    /// Workers that ended without being asked to, by reason.
    pub(crate) restarts: BTreeMap<&'static str, u64>,
    /// What was decided about workers, by pool and step.
    pub(crate) decisions: BTreeMap<(String, &'static str), u64>,
}

/// A number of times, and their sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Total {
    pub(crate) count: u64,
    pub(crate) time: Duration,
}

/// What is counted for one offer.
#[derive(Clone, Debug)]
pub(crate) struct OfferStats {
    /// Accepted requests that have ended, by how: the name of a gRPC status, such as `ok`.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// From arrival to the end.
    pub(crate) success: Total,
    pub(crate) failure: Total,
    /// From arrival until a worker had it.
    pub(crate) queue: Histogram,
    /// From then until the end.
    pub(crate) handler: Histogram,
    /// From arrival to the first response.
    pub(crate) first_response: Histogram,
    pub(crate) batch_size: Histogram,
    /// Time with a worker, by the size of the batch.
    pub(crate) batches: BTreeMap<u64, Total>,
    pub(crate) responses: u64,
    pub(crate) in_flight: u64,
    /// When the last request ended, in milliseconds since 1970.
    pub(crate) last: u64,
}

impl Default for OfferStats {
    fn default() -> Self {
        Self {
            outcomes: BTreeMap::new(),
            success: Total::default(),
            failure: Total::default(),
            queue: Histogram::new(SECONDS),
            handler: Histogram::new(SECONDS),
            first_response: Histogram::new(SECONDS),
            batch_size: Histogram::new(SIZES),
            batches: BTreeMap::new(),
            responses: 0,
            in_flight: 0,
            last: 0,
        }
    }
}

impl Total {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

impl Stats {
    /// A pool offers these.
    pub(crate) fn know<'a>(&mut self, pool: PoolId, capabilities: impl Iterator<Item = &'a Capability>) {
        let places = capabilities.map(|capability| {
            *self.places.entry(capability.clone()).or_insert_with(|| {
                self.offers.push(OfferStats::default());
                self.offers.len() - 1
            })
        });
        let places = places.collect();
        if self.of_pools.len() <= pool.index() {
            self.of_pools.resize_with(pool.index() + 1, Vec::new);
        }
        self.of_pools[pool.index()] = places;
    }

    /// An offer's counts.
    pub(crate) fn offer(&mut self, id: OfferId) -> &mut OfferStats {
        let place = self.place(id);
        &mut self.offers[place]
    }

    /// Where an offer is counted. One that a changed pool has no more, known by a request that came before, counts as
    /// the first.
    fn place(&self, id: OfferId) -> usize {
        let found = self.of_pools.get(id.pool.index()).and_then(|pool| pool.get(id.index));
        found.copied().unwrap_or_default()
    }

    /// The capabilities that were ever offered, in the order of `offers`.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        let mut all: Vec<_> = self.places.iter().collect();
        all.sort_unstable_by_key(|&(_, &place)| place);
        all.into_iter().map(|(capability, _)| capability.clone()).collect()
    }

    /// How many requests for what a pool offers have had a first response, and how long these took, in seconds.
    pub(crate) fn first_responses(&self, pool: PoolId) -> (u64, f64) {
        let places = self.of_pools.get(pool.index()).into_iter().flatten();
        let counted = places.map(|&place| &self.offers[place].first_response);
        counted.fold((0, 0.0), |(count, sum), times| (count + times.count(), sum + times.sum()))
    }

    /// Something was decided about a worker of a pool.
    pub(crate) fn decided(&mut self, pool: &str, step: &'static str) {
        *self.decisions.entry((pool.to_owned(), step)).or_default() += 1;
    }

    pub(crate) fn rejected(&mut self, reason: &'static str) {
        *self.rejections.entry(reason).or_default() += 1;
    }

    pub(crate) fn restarted(&mut self, reason: &'static str) {
        *self.restarts.entry(reason).or_default() += 1;
    }
}

impl OfferStats {
    /// A request is off its worker, for another one or because it has ended.
    pub(crate) fn returned(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The first response of a request that arrived then.
    pub(crate) fn responded(&mut self, arrived: Time, now: Time) {
        self.first_response.observe_time(now.since(arrived));
    }

    /// A request has ended; `outcome` is the name of a status, `assigned` since when a worker had it, and for one request
    /// of each batch how many there were.
    pub(crate) fn ended(
        &mut self,
        outcome: &'static str,
        arrived: Time,
        assigned: Option<(Time, Option<u64>)>,
        now: Time,
    ) {
        *self.outcomes.entry(outcome).or_default() += 1;
        let total = if outcome == "ok" { &mut self.success } else { &mut self.failure };
        total.add(now.since(arrived));
        if let Some((since, batch_size)) = assigned {
            self.queue.observe_time(since.since(arrived));
            self.handler.observe_time(now.since(since));
            if let Some(size) = batch_size {
                self.batch_size.observe(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
                self.batches.entry(size).or_default().add(now.since(since));
            }
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    }
}
