//! What happens because time went by.

use super::*;

#[test]
fn a_waiting_request_ends_at_its_deadline() {
    let mut scheduler = pool_of(vec![offer("echo")], 0);
    let request = submit_until(&mut scheduler, "echo", at(10), at(0));
    assert_eq!(scheduler.next_check(at(0)), Some(at(10)));
    assert_eq!(scheduler.check(at(9)), []);
    assert_eq!(scheduler.check(at(10)), [Action::Expired(request, None)]);
    assert_eq!(scheduler.cancel(request), Cancelled::Unknown);
    assert_eq!(scheduler.next_check(at(10)), None);
    assert_idle(&scheduler);
}

#[test]
fn a_running_request_ends_at_its_deadline_and_keeps_the_credit() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    let request = submit_until(&mut scheduler, "echo", at(10), at(0));
    scheduler.next(at(0)).unwrap();
    let waiting = submit(&mut scheduler, "echo", at(0));
    assert_eq!(scheduler.check(at(10)), [Action::Expired(request, Some(WorkerId(0)))]);
    assert_eq!(scheduler.next(at(10)), None);
    assert_eq!(scheduler.complete(WorkerId(0), request, at(12)), Some(false));
    assert_eq!(run_all(&mut scheduler, at(12)), [waiting]);
    assert_idle(&scheduler);
}

#[test]
fn a_cancelled_request_does_not_expire() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    let running = submit_until(&mut scheduler, "echo", at(10), at(0));
    scheduler.next(at(0)).unwrap();
    let waiting = submit_until(&mut scheduler, "echo", at(10), at(0));
    assert_eq!(scheduler.cancel(running), Cancelled::Assigned(WorkerId(0)));
    assert_eq!(scheduler.cancel(waiting), Cancelled::Queued);
    assert_eq!(scheduler.check(at(10)), []);
    assert_eq!(scheduler.worker_gone(WorkerId(0), 1), []);
    assert_idle(&scheduler);
}

#[test]
fn a_handler_over_its_timeout_is_hung_and_waiting_does_not_count() {
    let mut scheduler = pool_of(vec![Offer { timeout: Some(millis(5)), ..offer("echo") }], 0);
    let request = submit(&mut scheduler, "echo", at(0));
    scheduler.worker_ready(WorkerId(1), PoolId(0), 1, Time::default());
    scheduler.next(at(100)).unwrap();
    assert_eq!(scheduler.next_check(at(100)), Some(at(105)));
    assert_eq!(scheduler.check(at(104)), []);
    assert_eq!(scheduler.check(at(105)), [Action::Hung(WorkerId(1), request)]);
    assert_eq!(scheduler.check(at(205)), [], "said once");
    assert_eq!(scheduler.worker_gone(WorkerId(1), 1), [Orphan::Lost(request)]);
    assert_idle(&scheduler);
}

#[test]
fn beside_others_a_handler_is_told_before_its_worker_is_ended() {
    let mut scheduler = pool_of(vec![Offer { timeout: Some(millis(5)), ..offer("echo") }], 0);
    scheduler.worker_ready(WorkerId(1), PoolId(0), 2, Time::default());
    let request = submit(&mut scheduler, "echo", at(0));
    scheduler.next(at(0)).unwrap();
    assert_eq!(scheduler.check(at(5)), [Action::Overrun(WorkerId(1), request)]);
    let beside = submit(&mut scheduler, "echo", at(5));
    scheduler.next(at(5)).unwrap();
    assert_eq!(scheduler.complete(WorkerId(1), beside, at(6)), Some(true));
    assert_eq!(scheduler.next_check(at(6)), Some(at(5005)));
    assert_eq!(scheduler.check(at(5005)), [Action::Hung(WorkerId(1), request)]);
    assert_eq!(scheduler.worker_gone(WorkerId(1), 2), [], "nobody waits for it any longer");
    assert_idle(&scheduler);
}

#[test]
fn a_handler_that_gives_up_in_time_is_not_hung() {
    let mut scheduler = pool_of(vec![Offer { timeout: Some(millis(5)), ..offer("echo") }], 0);
    scheduler.worker_ready(WorkerId(1), PoolId(0), 2, Time::default());
    let request = submit(&mut scheduler, "echo", at(0));
    scheduler.next(at(0)).unwrap();
    assert_eq!(scheduler.check(at(5)), [Action::Overrun(WorkerId(1), request)]);
    assert_eq!(scheduler.complete(WorkerId(1), request, at(7)), Some(false));
    assert_eq!(scheduler.check(at(9999)), []);
    assert_idle(&scheduler);
}

#[test]
fn the_time_of_a_parked_request_starts_when_it_runs() {
    let mut scheduler = pool_of(vec![Offer { timeout: Some(millis(5)), ..offer("echo") }], 1);
    warm_up(&mut scheduler, 0);
    let [first, parked] = [1, 1].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(assign(&mut scheduler, at(1)).len(), 2);
    assert_eq!(scheduler.complete(WorkerId(0), first, at(5)), Some(true));
    assert_eq!(scheduler.next_check(at(5)), Some(at(10)));
    assert_eq!(scheduler.check(at(10)), [Action::Hung(WorkerId(0), parked)]);
}
