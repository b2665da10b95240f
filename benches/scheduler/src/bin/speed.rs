//! How long the scheduler takes for one request, while many others wait.
//!
//! One pair is: a request comes (`submit`), one that waits is assigned (`next`), and one that runs ends (`complete`). So
//! the number that waits stays the same.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyserve_bench_scheduler::Random;
use anyserve_core::scheduler::{Ask, Offer, RequestId, Time, WorkerId};
use anyserve_core::{Capability, Query, Scheduler, Value};

const WORKERS: u64 = 8;
const CONCURRENCY: usize = 4;
/// A round is that short because the queries of its requests are read before the clock runs, and are to be in the cache.
const PAIRS: usize = 50;
const ROUNDS: usize = 10_000;

/// How many requests wait, for how many capabilities, with how many distinct queries.
const SIZES: [[usize; 3]; 4] =
    [[1_000, 1, 10], [10_000, 100, 10_000], [100_000, 100, 10_000], [1_000_000, 100, 10_000]];

/// The pairs of a capability, besides its model: a query has one or two of them.
const TRAITS: usize = 14;

/// What the scheduler orders the requests by.
#[derive(Clone, Copy)]
enum Order {
    Arrival,
    Slo,
    Deadline,
}

struct Bench {
    scheduler: Scheduler,
    queries: Vec<Query>,
    running: VecDeque<(WorkerId, RequestId)>,
    random: Random,
    order: Order,
    now: Time,
}

impl Bench {
    fn new(order: Order, [waiting, offers, queries]: [usize; 3]) -> Self {
        let mut scheduler = Scheduler::new(usize::MAX);
        let pool = scheduler.add_pool((0..offers).map(|index| offer(index, order)).collect());
        for worker in 0..WORKERS {
            scheduler.worker_ready(WorkerId(worker), pool, CONCURRENCY, Time::default());
        }
        let queries = (0..queries).map(|index| query(index % offers, index / offers)).collect();
        let (running, random) = (VecDeque::new(), Random(1));
        let mut bench = Self { scheduler, queries, running, random, order, now: Time::default() };
        for _ in 0..waiting.div_ceil(PAIRS) {
            bench.read_queries().iter().for_each(|query| bench.submit(query));
        }
        while bench.assign() {}
        // Some rounds that do not count.
        for _ in 0..ROUNDS {
            bench.round();
        }
        bench
    }

    /// What the next clients want. Made anew, as an agent does when it reads a request.
    fn read_queries(&mut self) -> Vec<Query> {
        (0..PAIRS).map(|_| self.queries[self.random.below(self.queries.len())].clone()).collect()
    }

    fn submit(&mut self, query: &Query) {
        let deadline = matches!(self.order, Order::Deadline)
            .then(|| self.now.plus(Duration::from_millis(60_000 + self.random.number() % 1000)));
        self.now = self.now.plus(Duration::from_micros(1));
        self.scheduler.submit(&Ask { deadline, ..Ask::new(query) }, self.now).expect("nothing is refused");
    }

    fn assign(&mut self) -> bool {
        let given = self.scheduler.next(self.now);
        given.is_some_and(|given| {
            self.running.extend(given.requests.into_iter().map(|request| (given.worker, request)));
            true
        })
    }

    fn pair(&mut self, query: &Query) {
        self.submit(query);
        let (worker, request) = self.running.pop_front().expect("some run");
        self.scheduler.complete(worker, request, self.now).expect("the worker has it");
        while self.assign() {}
    }

    /// The time of some pairs, without reading their queries.
    fn round(&mut self) -> Duration {
        let queries = self.read_queries();
        let start = Instant::now();
        for query in &queries {
            self.pair(query);
        }
        start.elapsed()
    }

    /// Nanoseconds for one pair: the median of the rounds.
    fn measure(&mut self) -> f64 {
        let mut rounds: Vec<_> = (0..ROUNDS).map(|_| self.round()).collect();
        rounds.sort_unstable();
        rounds[ROUNDS / 2].as_secs_f64() * 1e9 / f64::from(u32::try_from(PAIRS).unwrap_or(u32::MAX))
    }
}

fn offer(index: usize, order: Order) -> Offer {
    let traits = (0..TRAITS).map(|index| (format!("trait{index}"), Value::Boolean(true)));
    let model = ("model".to_owned(), Value::Text(format!("model-{index}")));
    let capability = Capability::new(traits.chain([model])).expect("the keys are fine");
    // About as far apart as a request waits, so that what comes later is often due earlier.
    let slo = matches!(order, Order::Slo).then(|| Duration::from_millis(60_000 + 10 * index as u64));
    Offer { slo, ..Offer::new(capability) }
}

/// One of the queries that a capability matches: its model, and one or two traits.
fn query(model: usize, choice: usize) -> Query {
    let model = ("model".to_owned(), Value::Text(format!("model-{model}")));
    let pairs = (0..TRAITS).flat_map(|first| (first..TRAITS).map(move |second| [first, second]));
    let mut traits = pairs.skip(choice).map(Vec::from).next().expect("14 traits make 105 pairs");
    traits.dedup();
    let traits = traits.into_iter().map(|index| (format!("trait{index}"), Value::Boolean(true)));
    Query::new(traits.chain([model])).expect("the keys are fine")
}

fn main() {
    println!("The median of {ROUNDS} rounds of {PAIRS} pairs.\n");
    println!("| order | waiting | capabilities | queries | ns per pair | pairs/s |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, order) in [("arrival", Order::Arrival), ("SLO", Order::Slo), ("deadlines", Order::Deadline)] {
        let mut nanos_of_10_000 = None;
        for size in SIZES {
            let nanos = Bench::new(order, size).measure();
            let [waiting, offers, queries] = size;
            println!("| {name} | {waiting} | {offers} | {queries} | {nanos:.0} | {:.0} |", 1e9 / nanos);
            if waiting == 10_000 {
                nanos_of_10_000 = Some(nanos);
            } else if let Some(before) = nanos_of_10_000.filter(|_| waiting == 1_000_000) {
                eprintln!(
                    "{name}: {:.2} times as long with 1,000,000 as with 10,000 waiting",
                    nanos / before
                );
            }
        }
    }
}
