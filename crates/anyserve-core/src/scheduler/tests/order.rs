//! Which request goes first.

use super::*;

#[test]
fn first_come_first_served_over_all_queues_when_nothing_is_due() {
    let mut scheduler = pool_of(vec![offer("echo"), offer("add")], 0);
    let submitted = ["echo", "add", "echo", "add", "add"].map(|name| submit(&mut scheduler, name, at(0)));
    scheduler.worker_ready(WorkerId(7), PoolId(0), 1, Time::default());
    assert_eq!(run_all(&mut scheduler, at(0)), submitted);
}

#[test]
fn the_higher_priority_goes_first() {
    let important = Offer { priority: Priority::new(2).unwrap(), ..offer("add") };
    let mut scheduler = pool_of(vec![offer("echo"), important], 1);
    let usual = submit(&mut scheduler, "echo", at(0));
    let [lowest, highest] = [9, 1].map(|level| submit_at_level(&mut scheduler, "echo", level, at(0)));
    let of_offer = submit(&mut scheduler, "add", at(0));
    let lowered = submit_at_level(&mut scheduler, "add", 6, at(0));
    assert_eq!(run_all(&mut scheduler, at(0)), [highest, of_offer, usual, lowered, lowest]);
}

#[test]
fn within_a_priority_the_earliest_due_goes_first() {
    let slow = Offer { slo: Some(millis(300)), ..offer("slow") };
    let fast = Offer { slo: Some(millis(100)), ..offer("fast") };
    let mut scheduler = pool_of(vec![slow, fast, offer("any")], 1);
    let any = submit(&mut scheduler, "any", at(0));
    let slow = submit(&mut scheduler, "slow", at(0));
    let soon = submit_until(&mut scheduler, "any", at(150), at(10));
    let early = submit(&mut scheduler, "fast", at(20));
    let late = submit(&mut scheduler, "fast", at(250));
    assert_eq!(run_all(&mut scheduler, at(0)), [early, soon, slow, late, any]);
}

#[test]
fn the_sooner_of_slo_and_deadline_counts() {
    let mut scheduler = pool_of(vec![Offer { slo: Some(millis(100)), ..offer("echo") }], 1);
    let first = submit(&mut scheduler, "echo", at(0));
    let [later, sooner] = [900, 50].map(|deadline| submit_until(&mut scheduler, "echo", at(deadline), at(1)));
    assert_eq!(run_all(&mut scheduler, at(2)), [sooner, first, later]);
}

#[test]
fn late_requests_make_way_for_those_that_can_be_in_time() {
    let due = Offer { slo: Some(millis(10)), ..offer("echo") };
    let mut scheduler = pool_of(vec![due, offer("add")], 1);
    let late = [0, 1].map(|now| submit(&mut scheduler, "echo", at(now)));
    let undue = submit(&mut scheduler, "add", at(2));
    let below = submit_at_level(&mut scheduler, "echo", 6, at(20));
    let in_time = submit(&mut scheduler, "echo", at(20));
    assert_eq!(run_all(&mut scheduler, at(25)), [in_time, late[0], late[1], undue, below]);
}

#[test]
fn late_requests_do_not_fill_a_batch_before_others() {
    let due = Offer { slo: Some(millis(10)), max_batch_size: 2, ..offer("echo") };
    let mut scheduler = pool_of(vec![due], 1);
    let aged = submit(&mut scheduler, "echo", at(0));
    let late = submit(&mut scheduler, "echo", at(1));
    let in_time = submit(&mut scheduler, "echo", at(6000));
    scheduler.pools[0].turns = AGED_TURN - 1;
    assert_eq!(scheduler.next(at(6001)).unwrap().requests, [aged, in_time]);
    scheduler.cancel(late);
}

#[test]
fn an_aged_request_has_its_turn() {
    let mut scheduler = pool_of(vec![offer("echo"), offer("add")], 1);
    let mut old: Vec<_> = (0..3).map(|_| submit_at_level(&mut scheduler, "echo", 9, at(0))).collect();
    for young in 0..=2 * AGED_TURN {
        submit_at_level(&mut scheduler, "add", 1, at(young));
        let given = scheduler.next(at(100)).unwrap();
        assert!(!old.contains(&given.requests[0]), "nothing is that old yet");
        scheduler.complete(given.worker, given.requests[0], at(100)).unwrap();
    }
    let (mut assignments, mut turns) = (0, Vec::new());
    while !old.is_empty() {
        submit_at_level(&mut scheduler, "add", 1, at(6000));
        let given = scheduler.next(at(6000)).unwrap();
        assignments += 1;
        if old[0] == given.requests[0] {
            old.remove(0);
            turns.push(assignments);
        }
        scheduler.complete(given.worker, given.requests[0], at(6000)).unwrap();
    }
    assert!(turns[0] <= AGED_TURN);
    assert_eq!([turns[1] - turns[0], turns[2] - turns[1]], [AGED_TURN; 2]);
}

#[test]
fn what_comes_back_takes_its_old_place_in_every_order() {
    let mut scheduler = pool_of(vec![offer("echo")], 0);
    scheduler.worker_ready(WorkerId(1), PoolId(0), 2, Time::default());
    let [first, second] = [0, 1].map(|now| submit(&mut scheduler, "echo", at(now)));
    assert_eq!(assign(&mut scheduler, at(1)).len(), 2);
    let third = submit(&mut scheduler, "echo", at(2));
    assert_eq!(scheduler.waiting_for(OfferId { pool: PoolId(0), index: 0 }), (1, Some(at(2))));
    let orphans = scheduler.worker_gone(WorkerId(1), 0);
    assert_eq!(orphans, [first, second].map(Orphan::Requeued));
    let lane = &scheduler.pools[0].lanes[0];
    assert_eq!(lane.oldest(), Some(first));
    scheduler.cancel(first);
    assert_eq!(scheduler.pools[0].lanes[0].oldest(), Some(second));
    scheduler.worker_ready(WorkerId(2), PoolId(0), 1, Time::default());
    assert_eq!(run_all(&mut scheduler, at(3)), [second, third]);
}
