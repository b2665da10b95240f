//! How long one decision takes, with many pools known and few of them alive.

use std::time::{Duration, Instant};

use anyserve_core::scaler::{Budget, PoolSpec, Step};
use anyserve_core::scheduler::{Ask, Offer, PoolId, Time};
use anyserve_core::{Capability, Query, Scaler, Scheduler, Value};

use crate::ours::{name, spec};

const KNOWN: usize = 1000;
const ALIVE: usize = 10;
const ROUNDS: u32 = 2000;

/// What waits while the decisions are taken.
struct Case {
    name: &'static str,
    /// The pools alive are busy.
    busy: bool,
    /// So many other pools have a request waiting.
    cold: usize,
    /// A request waits that every pool can serve.
    shared: bool,
}

const CASES: [Case; 5] = [
    Case { name: "nothing waits, all idle", busy: false, cold: 0, shared: false },
    Case { name: "nothing waits, all busy", busy: true, cold: 0, shared: false },
    Case { name: "20 cold pools wait, all busy", busy: true, cold: 20, shared: false },
    Case { name: "990 cold pools wait, all busy", busy: true, cold: KNOWN - ALIVE, shared: false },
    Case { name: "and a request that 1,000 pools match", busy: true, cold: KNOWN - ALIVE, shared: true },
];

pub(crate) fn print() {
    println!("{KNOWN} pools known, {ALIVE} alive:\n");
    println!("| case | decide p50 (µs) | p99 (µs) | next_check p50 (µs) |");
    println!("| --- | ---: | ---: | ---: |");
    for case in CASES {
        let (mut decide, mut next_check) = measure(&case);
        decide.sort_unstable();
        next_check.sort_unstable();
        let micros =
            |times: &[Duration], percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
        let (p50, p99, next) = (micros(&decide, 50), micros(&decide, 99), micros(&next_check, 50));
        println!("| {} | {p50:.0} | {p99:.0} | {next:.0} |", case.name);
    }
}

fn measure(case: &Case) -> (Vec<Duration>, Vec<Duration>) {
    let mut scheduler = Scheduler::new(usize::MAX);
    let mut scaler = Scaler::new(Budget::new([], [("slots".to_owned(), ALIVE as u64)].into()));
    let pools: Vec<PoolId> = (0..KNOWN).map(|index| add_pool(&mut scheduler, &mut scaler, index)).collect();
    let mut now = Time::default();
    for model in 0..ALIVE {
        ask(&mut scheduler, &query("model", name(model)), now);
    }
    for decision in scaler.decide(&scheduler, now) {
        assert!(matches!(decision.step, Step::Start(_)), "there is room for these");
        scheduler.worker_ready(decision.worker, decision.pool, 1, now);
        scaler.ready(decision.worker, now);
    }
    while let Some(given) = scheduler.next(now) {
        if !case.busy {
            scheduler.complete(given.worker, given.requests[0], now);
        }
    }
    for model in ALIVE..ALIVE + case.cold {
        ask(&mut scheduler, &query("model", name(model)), now);
    }
    if case.shared {
        ask(&mut scheduler, &query("type", "chat".into()), now);
    }
    assert_eq!(pools.iter().filter(|&&pool| scaler.workers_of(pool).next().is_some()).count(), ALIVE);
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Before any of them is overdue: then something would happen, and the next tick were another one.
        now = now.plus(Duration::from_micros(100));
        let before = Instant::now();
        let decided = scaler.decide(&scheduler, now);
        let between = Instant::now();
        let _next = std::hint::black_box(scaler.next_check(&scheduler, now));
        times.0.push(between - before);
        times.1.push(between.elapsed());
        assert!(decided.is_empty(), "everybody waits");
    }
    times
}

fn add_pool(scheduler: &mut Scheduler, scaler: &mut Scaler, index: usize) -> PoolId {
    let capability =
        Capability::new([("model", name(index)), ("type", "chat".into())]).expect("the keys are fine");
    let pool = scheduler.add_pool(vec![Offer::new(capability)]);
    let idle_timeout = Some(Duration::from_secs(300));
    let spec = PoolSpec { idle_timeout, ..spec(&format!("model-{index}")) };
    scaler.add_pool(pool, spec).expect("one of them fits");
    pool
}

fn query(key: &str, value: Value) -> Query {
    Query::new([(key, value)]).expect("the key is fine")
}

fn ask(scheduler: &mut Scheduler, query: &Query, now: Time) {
    scheduler.submit(&Ask::new(query), now).expect("a pool matches");
}
