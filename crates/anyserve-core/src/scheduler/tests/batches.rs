//! Several requests in one call.

use super::*;

fn batched(delay: u64) -> Offer {
    Offer { max_batch_size: 3, max_batch_delay: millis(delay), ..offer("echo") }
}

fn submit_many(scheduler: &mut Scheduler, count: usize, now: Time) -> Vec<RequestId> {
    (0..count).map(|_| submit(scheduler, "echo", now)).collect()
}

#[test]
fn a_batch_takes_what_waits_up_to_its_size() {
    let mut scheduler = pool_of(vec![batched(0)], 3);
    let requests = submit_many(&mut scheduler, 5, at(0));
    let expected = [(requests[..3].to_vec(), 0), (requests[3..].to_vec(), 1)];
    assert_eq!(given(&mut scheduler, at(0)), expected);
}

#[test]
fn a_batch_takes_requests_of_all_queries_that_its_offer_matches() {
    let mut scheduler = pool_of(vec![batched(0)], 1);
    let first = submit(&mut scheduler, "echo", at(0));
    let second = scheduler.submit(&Ask::new(&everything()), at(0)).unwrap();
    assert_eq!(scheduler.next(at(0)).unwrap().requests, [first, second]);
}

#[test]
fn a_batch_that_is_not_full_waits_for_its_delay() {
    let mut scheduler = pool_of(vec![batched(20)], 2);
    let [first, second] = [0, 5].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(scheduler.next(at(5)), None);
    assert_eq!(scheduler.next_check(at(5)), Some(at(20)));
    assert_eq!(scheduler.next(at(19)), None);
    assert_eq!(given(&mut scheduler, at(20)), [(vec![first, second], 0)]);
    assert_eq!(scheduler.next_check(at(20)), None);
    let full = submit_many(&mut scheduler, 3, at(30));
    assert_eq!(given(&mut scheduler, at(30)), [(full, 1)]);
}

#[test]
fn a_delayed_batch_holds_nothing_else_up() {
    let mut scheduler = pool_of(vec![batched(20), offer("add")], 1);
    submit(&mut scheduler, "echo", at(0));
    let other = submit(&mut scheduler, "add", at(1));
    assert_eq!(given(&mut scheduler, at(1)), [(vec![other], 0)]);
}

#[test]
fn a_batch_leaves_its_requests_the_time_to_run() {
    let mut scheduler = pool_of(vec![Offer { slo: Some(millis(100)), ..batched(500) }], 1);
    let first = submit(&mut scheduler, "echo", at(0));
    assert_eq!(scheduler.next_check(at(0)), Some(at(50)), "at least half of the time is for the handler");
    // Its oldest request is not always the one that is due first.
    let urgent = submit_until(&mut scheduler, "echo", at(30), at(10));
    assert_eq!(scheduler.next_check(at(10)), Some(at(20)));
    assert_eq!(scheduler.check(at(20)), []);
    assert_eq!(given(&mut scheduler, at(20)), [(vec![urgent, first], 0)]);
    for request in [first, urgent] {
        scheduler.complete(WorkerId(0), request, at(100)).unwrap();
    }
    // Or as long as it takes: 80 ms.
    submit(&mut scheduler, "echo", at(100));
    assert_eq!(scheduler.next_check(at(100)), Some(at(120)));
}

#[test]
fn the_credit_comes_back_with_the_last_of_a_batch() {
    let mut scheduler = pool_of(vec![batched(0)], 1);
    let requests = submit_many(&mut scheduler, 3, at(0));
    scheduler.next(at(0)).unwrap();
    let waiting = submit(&mut scheduler, "echo", at(0));
    for &request in &requests {
        assert_eq!(scheduler.next(at(5)), None);
        assert_eq!(scheduler.complete(WorkerId(0), request, at(5)), Some(true));
        assert_eq!(scheduler.complete(WorkerId(0), request, at(5)), None, "it has ended");
    }
    assert_eq!(run_all(&mut scheduler, at(5)), [waiting]);
    assert_idle(&scheduler);
}

#[test]
fn one_request_of_a_batch_is_cancelled_alone() {
    let mut scheduler = pool_of(vec![batched(0)], 1);
    let requests = submit_many(&mut scheduler, 3, at(0));
    scheduler.next(at(0)).unwrap();
    assert_eq!(scheduler.cancel(requests[1]), Cancelled::Assigned(WorkerId(0)));
    let answered = requests.iter().map(|&request| scheduler.complete(WorkerId(0), request, at(1)));
    assert_eq!(answered.collect::<Vec<_>>(), [Some(true), Some(false), Some(true)]);
    assert_idle(&scheduler);
}

#[test]
fn a_parked_batch_is_full_and_comes_back_whole() {
    let mut scheduler = pool_of(vec![batched(0)], 1);
    warm_up(&mut scheduler, 0);
    let requests = submit_many(&mut scheduler, 7, at(1));
    let expected = [(requests[..3].to_vec(), 0), (requests[3..6].to_vec(), 0)];
    assert_eq!(given(&mut scheduler, at(1)), expected, "the last one waits for others, not for the worker");
    scheduler.worker_ready(WorkerId(1), PoolId(0), 1, Time::default());
    assert_eq!(given(&mut scheduler, at(2)), [(requests[6..].to_vec(), 1)]);
    assert_eq!(scheduler.complete(WorkerId(1), requests[6], at(3)), Some(true));
    assert_eq!(scheduler.check(at(4)), [Action::Recall(WorkerId(0))]);
    assert!(scheduler.returned(WorkerId(0), &requests[3..6], at(4)));
    assert_eq!(given(&mut scheduler, at(4)), [(requests[3..6].to_vec(), 1)]);
}

#[test]
fn an_idempotent_batch_is_retried() {
    let mut scheduler = pool_of(vec![Offer { idempotent: true, ..batched(0) }], 1);
    let requests = submit_many(&mut scheduler, 3, at(0));
    let given = scheduler.next(at(0)).unwrap();
    scheduler.complete(WorkerId(0), requests[0], at(1)).unwrap();
    scheduler.cancel(requests[1]);
    assert_eq!(scheduler.worker_gone(WorkerId(0), given.sequence), [Orphan::Requeued(requests[2])]);
    scheduler.worker_ready(WorkerId(1), PoolId(0), 1, Time::default());
    assert_eq!(run_all(&mut scheduler, at(1)), [requests[2]]);
    assert_idle(&scheduler);
}

#[test]
fn every_request_of_a_batch_over_its_timeout_is_named() {
    let mut scheduler = pool_of(vec![Offer { timeout: Some(millis(5)), ..batched(0) }], 1);
    let requests = submit_many(&mut scheduler, 2, at(0));
    scheduler.next(at(0)).unwrap();
    let hung: Vec<_> = requests.iter().map(|&request| Action::Hung(WorkerId(0), request)).collect();
    assert_eq!(scheduler.check(at(5)), hung);
}
