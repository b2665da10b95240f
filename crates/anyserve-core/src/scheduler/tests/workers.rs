//! Which worker gets a request, and what happens when it is gone.

use super::*;

#[test]
fn a_slow_worker_gets_nothing_beyond_what_it_runs() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    let requests = [0; 3].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(given(&mut scheduler, at(0)), [(vec![requests[0]], 0)]);
    assert_eq!(scheduler.complete(WorkerId(0), requests[0], at(50)), Some(true));
    assert_eq!(given(&mut scheduler, at(50)), [(vec![requests[1]], 0)]);
}

#[test]
fn a_free_worker_comes_before_parking() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    warm_up(&mut scheduler, 0);
    scheduler.worker_ready(WorkerId(1), PoolId(0), 1, Time::default());
    let [first, second, _] = [1; 3].map(|now| submit(&mut scheduler, "echo", at(now)));
    let given = given(&mut scheduler, at(2));
    assert_eq!(given[..2], [(vec![first], 0), (vec![second], 1)]);
}

#[test]
fn parked_requests_are_recalled_when_another_worker_is_free() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    warm_up(&mut scheduler, 0);
    let [first, parked] = [1; 2].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(given(&mut scheduler, at(2)), [(vec![first], 0), (vec![parked], 0)]);
    assert_eq!(scheduler.check(at(9)), [], "nobody could take it");
    scheduler.worker_ready(WorkerId(1), PoolId(0), 1, Time::default());
    assert!(scheduler.next_check(at(9)).is_some());
    assert_eq!(scheduler.check(at(9)), [Action::Recall(WorkerId(0))]);
    assert_eq!(scheduler.check(at(10)), [], "asked already");
    assert!(scheduler.returned(WorkerId(0), &[parked], at(11)));
    assert_eq!(given(&mut scheduler, at(11)), [(vec![parked], 1)]);
}

#[test]
fn a_worker_returns_only_what_it_holds_and_that_once() {
    let mut scheduler = pool_of(vec![offer("echo")], 2);
    let [first, second] = [0; 2].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(assign(&mut scheduler, at(0)).len(), 2);
    assert!(!scheduler.returned(WorkerId(0), &[second], at(0)), "the other one has it");
    assert!(!scheduler.returned(WorkerId(0), &[first, first], at(0)));
    audit(&scheduler, &[first]);
    assert_eq!(scheduler.complete(WorkerId(0), first, at(0)), None, "it gave it back");
}

#[test]
fn a_worker_that_dies_loses_only_what_it_started() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    warm_up(&mut scheduler, 0);
    let requests = [1; 3].map(|now| submit(&mut scheduler, "echo", at(now)));
    let assignments = assign(&mut scheduler, at(2));
    let orphans = scheduler.worker_gone(WorkerId(0), assignments[0].sequence);
    let [lost, second, third] = requests;
    assert_eq!(orphans, [Orphan::Lost(lost), Orphan::Requeued(second), Orphan::Requeued(third)]);
    scheduler.worker_ready(WorkerId(1), PoolId(0), 2, Time::default());
    assert_eq!(given(&mut scheduler, at(3)), [(vec![second], 1), (vec![third], 1)]);
}

#[test]
fn an_idempotent_request_is_retried_once() {
    let mut scheduler = pool_of(vec![Offer { idempotent: true, ..offer("echo") }], 0);
    let request = submit(&mut scheduler, "echo", at(0));
    for (worker, expected) in [(1, Orphan::Requeued(request)), (2, Orphan::Lost(request))] {
        scheduler.worker_ready(WorkerId(worker), PoolId(0), 1, Time::default());
        let given = scheduler.next(at(0)).unwrap();
        assert_eq!(scheduler.worker_gone(given.worker, given.sequence), [expected]);
    }
    assert_idle(&scheduler);
}

#[test]
fn a_stream_that_has_begun_is_not_retried() {
    let mut scheduler = pool_of(vec![Offer { idempotent: true, stream: true, ..offer("chat") }], 0);
    scheduler.worker_ready(WorkerId(0), PoolId(0), 2, Time::default());
    let chat = query("chat");
    let ask = Ask { takes_stream: true, ..Ask::new(&chat) };
    let [begun, silent] = [0; 2].map(|now| scheduler.submit(&ask, at(now)).unwrap());
    assert_eq!(assign(&mut scheduler, at(0)).len(), 2);
    scheduler.responded(begun, at(1));
    assert_eq!(scheduler.worker_gone(WorkerId(0), 2), [Orphan::Lost(begun), Orphan::Requeued(silent)]);
}

#[test]
fn a_cancelled_request_frees_its_place_or_keeps_the_credit_until_the_worker_reports() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    let [running, waiting] = [0; 2].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(assign(&mut scheduler, at(0)).len(), 1);
    assert_eq!(scheduler.cancel(waiting), Cancelled::Queued);
    assert_eq!(scheduler.cancel(waiting), Cancelled::Unknown);
    assert_eq!(scheduler.cancel(running), Cancelled::Assigned(WorkerId(0)));
    let third = submit(&mut scheduler, "echo", at(0));
    assert_eq!(scheduler.next(at(0)), None);
    assert_eq!(scheduler.complete(WorkerId(0), running, at(9)), Some(false));
    assert_eq!(given(&mut scheduler, at(9)), [(vec![third], 0)]);
}

#[test]
fn a_cancelled_request_that_comes_back_is_forgotten() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    let request = submit(&mut scheduler, "echo", at(0));
    scheduler.next(at(0)).unwrap();
    scheduler.cancel(request);
    assert!(scheduler.returned(WorkerId(0), &[request], at(1)));
    assert_idle(&scheduler);
}

#[test]
fn an_offer_may_run_less_at_once_than_its_worker() {
    let mut scheduler = pool_of(vec![Offer { concurrency: Some(2), ..offer("echo") }, offer("add")], 0);
    scheduler.worker_ready(WorkerId(0), PoolId(0), 3, Time::default());
    let limited = [0; 3].map(|now| submit(&mut scheduler, "echo", at(now)));
    let [other, more] = [0; 2].map(|now| submit(&mut scheduler, "add", at(now)));
    let first = [limited[0], limited[1], other].map(|request| (vec![request], 0));
    assert_eq!(given(&mut scheduler, at(0)), first);
    assert_eq!(scheduler.complete(WorkerId(0), other, at(5)), Some(true));
    assert_eq!(given(&mut scheduler, at(5)), [(vec![more], 0)], "the free credit is not for the limited one");
    assert_eq!(scheduler.complete(WorkerId(0), limited[0], at(6)), Some(true));
    assert_eq!(given(&mut scheduler, at(6)), [(vec![limited[2]], 0)]);
}

#[test]
fn a_limited_offer_finds_the_worker_that_has_room_for_it() {
    let mut scheduler = pool_of(vec![Offer { concurrency: Some(1), ..offer("echo") }], 0);
    scheduler.worker_ready(WorkerId(0), PoolId(0), 4, Time::default());
    scheduler.worker_ready(WorkerId(1), PoolId(0), 2, Time::default());
    let [first, second, _] = [0; 3].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(given(&mut scheduler, at(0)), [(vec![first], 0), (vec![second], 1)]);
}

#[test]
fn a_query_of_several_pools_goes_where_a_worker_is_free() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    let second = scheduler.add_pool(vec![offer("add")]);
    scheduler.worker_ready(WorkerId(5), second, 1, Time::default());
    let of_first = submit(&mut scheduler, "echo", at(0));
    let all = everything();
    let of_both: Vec<_> = (0..2).map(|_| scheduler.submit(&Ask::new(&all), at(0)).unwrap()).collect();
    assert_eq!(given(&mut scheduler, at(0)), [(vec![of_first], 0), (vec![of_both[0]], 5)]);
    assert_eq!(scheduler.complete(WorkerId(5), of_both[0], at(1)), Some(true));
    assert_eq!(given(&mut scheduler, at(1)), [(vec![of_both[1]], 5)]);
    audit(&scheduler, &[]);
}

#[test]
fn a_pool_that_comes_later_serves_what_waits() {
    let mut scheduler = pool_of(vec![offer("echo")], 0);
    let all = everything();
    let requests: Vec<_> = (0..3).map(|_| scheduler.submit(&Ask::new(&all), at(0)).unwrap()).collect();
    let other = submit(&mut scheduler, "echo", at(0));
    let later = scheduler.add_pool(vec![offer("add"), offer("sub")]);
    audit(&scheduler, &[requests[0], requests[1], requests[2], other]);
    scheduler.worker_ready(WorkerId(3), later, 1, Time::default());
    assert_eq!(run_all(&mut scheduler, at(1)), requests);
    scheduler.cancel(other);
    assert_idle(&scheduler);
}

#[test]
fn lookup_names_the_offers_and_whether_they_are_ready() {
    let mut scheduler = pool_of(vec![offer("echo"), offer("add")], 1);
    let second = scheduler.add_pool(vec![offer("echo")]);
    let found: Vec<_> = scheduler.lookup(&query("echo")).collect();
    let ids = [(PoolId(0), true), (second, false)];
    assert_eq!(found, ids.map(|(pool, ready)| (OfferId { pool, index: 0 }, ready)));
}
