//! How long it takes to find the replicas that match a query, among 1,000 replicas of 20 capabilities each.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyserve_core::replicas::{Directory, Replica, ReplicaId};
use anyserve_core::{Capability, Query, Value};

const REPLICAS: u32 = 1_000;
const CAPABILITIES: u32 = 20;
const ROUNDS: usize = 200;

/// Each kind of query, by how many replicas it matches.
const KINDS: [&str; 4] = ["one replica", "a tenth of them", "all of them", "none"];

fn main() {
    let mut directory = Directory::default();
    for number in 0..REPLICAS {
        directory.put(replica(number, 0));
    }
    println!("| query matches | first time, µs | again, µs |");
    println!("| --- | ---: | ---: |");
    for (kind, name) in KINDS.iter().enumerate() {
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let query = query(kind, u32::try_from(round).unwrap_or(0) % REPLICAS);
            // A change makes the directory forget its answers.
            directory.put(replica(7, u64::try_from(kind * ROUNDS + round).unwrap_or(0) + 1));
            first.push(timed(|| directory.matching(&query)));
            again.push(timed(|| directory.matching(&query)));
        }
        println!("| {name} | {:.2} | {:.2} |", median(first), median(again));
    }
}

fn replica(number: u32, incarnation: u64) -> Replica {
    let capabilities = (0..CAPABILITIES).map(|index| {
        let (kind, model) = (if index % 2 == 0 { "chat" } else { "embed" }, number * CAPABILITIES + index);
        capability(&[
            ("type", kind),
            ("model", &format!("m{model}")),
            ("group", &format!("g{}", number % 10)),
        ])
    });
    let id = ReplicaId::new(&format!("replica-{number}")).expect("an id");
    Replica::new(id, "10.0.0.1:8000", incarnation, capabilities).expect("a replica")
}

fn query(kind: usize, number: u32) -> Query {
    let model = format!("m{}", number * CAPABILITIES);
    let group = format!("g{}", number % 10);
    let pairs = match kind {
        0 => vec![("type", "chat"), ("model", model.as_str())],
        1 => vec![("type", "chat"), ("group", group.as_str())],
        2 => vec![("type", "chat")],
        _ => vec![("type", "chat"), ("model", "unknown")],
    };
    Query::new(pairs.into_iter().map(|(key, value)| (key, Value::from(value)))).expect("a query")
}

fn capability(pairs: &[(&str, &str)]) -> Capability {
    Capability::new(pairs.iter().map(|&(key, value)| (key, Value::from(value)))).expect("a capability")
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
