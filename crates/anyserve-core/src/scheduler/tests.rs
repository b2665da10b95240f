use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::capability::Value as Text;

fn at(micros: u64) -> Time {
    Time(Duration::from_micros(micros))
}

fn query(name: &str) -> Query {
    Query::new([("type", Text::from(name))]).unwrap()
}

fn offer(name: &str) -> Offer {
    Offer {
        capability: Capability::new([("type", name.into()), ("size", Text::from("s"))]).unwrap(),
        idempotent: false,
        timeout: None,
    }
}

fn one_pool(workers: u64) -> Scheduler {
    let mut scheduler = Scheduler::new(100);
    let pool = scheduler.add_pool(vec![offer("echo"), offer("add")]);
    for worker in 0..workers {
        scheduler.worker_ready(WorkerId(worker), pool, 1);
    }
    scheduler
}

fn submit(scheduler: &mut Scheduler, id: u64, name: &str) {
    scheduler.submit(RequestId(id), &query(name)).unwrap();
}

/// More queries than empty queues are kept.
fn one_of_many_queries(choice: u8) -> Query {
    let (size, name) = (("size", Text::from("s")), ["echo", "add"][usize::from(choice % 2)]);
    match choice / 2 {
        0 => query(name),
        1 => Query::new([("type", name.into()), size]).unwrap(),
        _ => Query::new([size]).unwrap(),
    }
}

fn drain(scheduler: &mut Scheduler, now: Time) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| scheduler.next(now))
        .map(|assignment| (assignment.request.0, assignment.worker.0))
        .collect()
}

/// Makes a worker's handlers look fast, so that requests may be parked at it.
fn warm_up(scheduler: &mut Scheduler, worker: u64) {
    for id in 1000..1010 {
        submit(scheduler, id, "echo");
        while let Some(assignment) = scheduler.next(at(id)) {
            scheduler.complete(assignment.worker, assignment.request, at(id + 10)).unwrap();
        }
    }
    assert!(scheduler.workers[&WorkerId(worker)].parking_places() > 0);
}

#[test]
fn first_come_first_served_over_all_queues() {
    let mut scheduler = one_pool(0);
    for (id, name) in [(1, "echo"), (2, "add"), (3, "echo")] {
        submit(&mut scheduler, id, name);
    }
    scheduler.worker_ready(WorkerId(7), PoolId(0), 3);
    assert_eq!(drain(&mut scheduler, at(0)), [(1, 7), (2, 7), (3, 7)]);
}

#[test]
fn a_slow_worker_gets_nothing_beyond_what_it_runs() {
    let mut scheduler = one_pool(1);
    for id in 1..=3 {
        submit(&mut scheduler, id, "echo");
    }
    assert_eq!(drain(&mut scheduler, at(0)), [(1, 0)]);
    assert_eq!(scheduler.complete(WorkerId(0), RequestId(1), at(50_000)), Some(true));
    assert_eq!(drain(&mut scheduler, at(50_000)), [(2, 0)]);
}

#[test]
fn a_free_worker_comes_before_parking() {
    let mut scheduler = one_pool(1);
    warm_up(&mut scheduler, 0);
    scheduler.worker_ready(WorkerId(1), PoolId(0), 1);
    for id in 1..=3 {
        submit(&mut scheduler, id, "echo");
    }
    let given = drain(&mut scheduler, at(2000));
    assert_eq!(given.iter().map(|&(_, worker)| worker).collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn parked_requests_are_recalled_when_another_worker_is_free() {
    let mut scheduler = one_pool(1);
    warm_up(&mut scheduler, 0);
    submit(&mut scheduler, 1, "echo");
    submit(&mut scheduler, 2, "echo");
    assert_eq!(drain(&mut scheduler, at(2000)), [(1, 0), (2, 0)]);
    assert_eq!(scheduler.check(at(9000)), [], "nobody could take it");
    scheduler.worker_ready(WorkerId(1), PoolId(0), 1);
    assert!(scheduler.next_check(at(9000)).is_some());
    assert_eq!(scheduler.check(at(9000)), [Action::Recall(WorkerId(0))]);
    assert_eq!(scheduler.check(at(9001)), [], "asked already");
    assert!(scheduler.returned(WorkerId(0), &[RequestId(2)], at(9002)));
    assert_eq!(drain(&mut scheduler, at(9002)), [(2, 1)]);
}

#[test]
fn a_worker_that_dies_loses_only_what_it_started() {
    let mut scheduler = one_pool(1);
    warm_up(&mut scheduler, 0);
    for id in 1..=3 {
        submit(&mut scheduler, id, "echo");
    }
    let sequences: Vec<_> =
        std::iter::from_fn(|| scheduler.next(at(2000))).map(|given| given.sequence).collect();
    let orphans = scheduler.worker_gone(WorkerId(0), sequences[0]);
    assert_eq!(
        orphans,
        [Orphan::Lost(RequestId(1)), Orphan::Requeued(RequestId(2)), Orphan::Requeued(RequestId(3))]
    );
    scheduler.worker_ready(WorkerId(1), PoolId(0), 2);
    assert_eq!(drain(&mut scheduler, at(3000)), [(2, 1), (3, 1)]);
}

#[test]
fn an_idempotent_request_is_retried_once() {
    let mut scheduler = Scheduler::new(10);
    let pool = scheduler.add_pool(vec![Offer { idempotent: true, ..offer("echo") }]);
    submit(&mut scheduler, 1, "echo");
    for (worker, expected) in [(1, Orphan::Requeued(RequestId(1))), (2, Orphan::Lost(RequestId(1)))] {
        scheduler.worker_ready(WorkerId(worker), pool, 1);
        let given = scheduler.next(at(0)).unwrap();
        assert_eq!(scheduler.worker_gone(given.worker, given.sequence), [expected]);
    }
    assert_eq!(scheduler.unfinished(), 0);
}

#[test]
fn a_handler_over_its_timeout_is_hung_and_waiting_does_not_count() {
    let mut scheduler = Scheduler::new(10);
    let timeout = Some(Duration::from_millis(5));
    let pool = scheduler.add_pool(vec![Offer { timeout, ..offer("echo") }]);
    submit(&mut scheduler, 1, "echo");
    scheduler.worker_ready(WorkerId(1), pool, 1);
    scheduler.next(at(100_000)).unwrap();
    assert_eq!(scheduler.next_check(at(100_000)), Some(at(105_000)));
    assert_eq!(scheduler.check(at(104_000)), []);
    assert_eq!(scheduler.check(at(105_000)), [Action::Hung(WorkerId(1), RequestId(1))]);
}

#[test]
fn a_cancelled_request_frees_its_place_or_keeps_the_credit_until_the_worker_reports() {
    let mut scheduler = one_pool(1);
    submit(&mut scheduler, 1, "echo");
    submit(&mut scheduler, 2, "echo");
    drain(&mut scheduler, at(0));
    assert_eq!(scheduler.cancel(RequestId(2)), Cancelled::Queued);
    assert_eq!(scheduler.cancel(RequestId(2)), Cancelled::Unknown);
    assert_eq!(scheduler.cancel(RequestId(1)), Cancelled::Assigned(WorkerId(0)));
    submit(&mut scheduler, 3, "echo");
    assert_eq!(drain(&mut scheduler, at(0)), []);
    assert_eq!(scheduler.complete(WorkerId(0), RequestId(1), at(9)), Some(false));
    assert_eq!(drain(&mut scheduler, at(9)), [(3, 0)]);
}

#[test]
fn a_full_queue_and_an_unknown_query_are_refused() {
    let mut scheduler = Scheduler::new(1);
    assert_eq!(scheduler.submit(RequestId(1), &query("echo")), Err(Rejection::NoMatch));
    scheduler.add_pool(vec![offer("echo")]);
    submit(&mut scheduler, 1, "echo");
    assert_eq!(scheduler.submit(RequestId(2), &query("echo")), Err(Rejection::QueueFull(1)));
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u8),
    Complete(usize),
    Cancel(usize),
    Kill { worker: usize, started: usize },
    Start,
    Recall(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_u8).prop_map(Step::Submit),
        4 => any::<usize>().prop_map(Step::Complete),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<(usize, usize)>().prop_map(|(worker, started)| Step::Kill { worker, started }),
        1 => Just(Step::Start),
        1 => any::<usize>().prop_map(Step::Recall),
        1 => (0_u64..5000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..200)
}

fn pick<T: Copy>(items: &[T], index: usize) -> Option<T> {
    (!items.is_empty()).then(|| items[index % items.len()])
}

proptest! {
    /// Every accepted request ends exactly once, and is never in two places, whatever happens to the workers.
    #[test]
    fn no_request_is_lost_or_ended_twice(steps in steps()) {
        let mut scheduler = one_pool(2);
        let mut open = BTreeSet::new();
        // What each worker holds, in the order it was given.
        let mut workers: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::from([(0, vec![]), (1, vec![])]);
        let (mut ids, mut now) = (0, 0);
        for step in steps {
            now += 5;
            let alive: Vec<_> = workers.keys().copied().collect();
            match step {
                Step::Submit(choice) => {
                    ids += 1;
                    if scheduler.submit(RequestId(ids), &one_of_many_queries(choice)).is_ok() {
                        open.insert(ids);
                    }
                }
                Step::Complete(index) => if let Some(worker) = pick(&alive, index) {
                    let held = workers.get_mut(&worker).unwrap();
                    if !held.is_empty() {
                        let (request, _) = held.remove(0);
                        let wanted = scheduler.complete(WorkerId(worker), RequestId(request), at(now));
                        prop_assert_eq!(wanted, Some(open.remove(&request)));
                    }
                },
                Step::Cancel(index) => {
                    let all: Vec<_> = open.iter().copied().collect();
                    if let Some(request) = pick(&all, index) {
                        open.remove(&request);
                        prop_assert_ne!(scheduler.cancel(RequestId(request)), Cancelled::Unknown);
                    }
                }
                Step::Kill { worker, started } => if let Some(worker) = pick(&alive, worker) {
                    let held = workers.remove(&worker).unwrap();
                    let claimed = pick(&held, started).map_or(0, |(_, sequence)| sequence);
                    for orphan in scheduler.worker_gone(WorkerId(worker), claimed) {
                        if let Orphan::Lost(request) = orphan {
                            prop_assert!(open.remove(&request.0));
                        }
                    }
                },
                Step::Start => {
                    let id = workers.keys().max().map_or(100, |last| last + 100);
                    scheduler.worker_ready(WorkerId(id), PoolId(0), 1);
                    workers.insert(id, vec![]);
                }
                Step::Recall(index) => if let Some(worker) = pick(&alive, index) {
                    let held = workers.get_mut(&worker).unwrap();
                    let back: Vec<_> = held.drain(1.min(held.len())..).map(|(id, _)| RequestId(id)).collect();
                    prop_assert!(scheduler.returned(WorkerId(worker), &back, at(now)));
                },
                Step::Wait(micros) => {
                    now += micros;
                    scheduler.check(at(now));
                }
            }
            while let Some(given) = scheduler.next(at(now)) {
                let held = workers.get_mut(&given.worker.0).unwrap();
                held.push((given.request.0, given.sequence));
                prop_assert!(open.contains(&given.request.0));
                prop_assert!(held.len() <= 1 + 16);
            }
        }
        // Let everything run out: nothing may be left over.
        scheduler.worker_ready(WorkerId(9999), PoolId(0), 1);
        workers.insert(9999, vec![]);
        while let Some((&worker, held)) = workers.iter_mut().find(|(_, held)| !held.is_empty()) {
            let (request, _) = held.remove(0);
            let wanted = scheduler.complete(WorkerId(worker), RequestId(request), at(now));
            prop_assert_eq!(wanted, Some(open.remove(&request)));
            while let Some(given) = scheduler.next(at(now)) {
                workers.get_mut(&given.worker.0).unwrap().push((given.request.0, given.sequence));
            }
        }
        while let Some(given) = scheduler.next(at(now)) {
            scheduler.complete(given.worker, given.request, at(now));
            open.remove(&given.request.0);
        }
        prop_assert!(open.is_empty());
        prop_assert_eq!(scheduler.unfinished(), 0);
        prop_assert_eq!(scheduler.waiting(), 0);
    }
}
