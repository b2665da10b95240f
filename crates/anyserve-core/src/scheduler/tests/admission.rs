//! Who may wait, and who is refused.

use super::*;

#[test]
fn a_query_that_nothing_matches_is_refused() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    assert_eq!(scheduler.submit(&Ask::new(&query("add")), at(0)), Err(Rejection::NoMatch));
}

#[test]
fn what_streams_is_refused_to_who_takes_one_response() {
    let chat = Offer { stream: true, ..offer("chat") };
    let mut scheduler = pool_of(vec![chat.clone(), offer("echo")], 2);
    let refused = scheduler.submit(&Ask::new(&query("chat")), at(0));
    assert_eq!(refused, Err(Rejection::StreamOnly(chat.capability)));
    let (chat, all) = (query("chat"), everything());
    let streamed = scheduler.submit(&Ask { takes_stream: true, ..Ask::new(&chat) }, at(0)).unwrap();
    assert_eq!(given(&mut scheduler, at(0)), [(vec![streamed], 0)]);
    // One that both match goes where it can be answered.
    let unary = scheduler.submit(&Ask::new(&all), at(0)).unwrap();
    let assignment = scheduler.next(at(0)).unwrap();
    assert_eq!((assignment.requests, assignment.offer.index), (vec![unary], 1));
    assert_eq!(scheduler.offer_for(unary), Some(assignment.offer));
}

#[test]
fn no_more_requests_wait_than_may() {
    let mut scheduler = Scheduler::new(3);
    let limited = Offer { max_queue_size: Some(2), ..offer("echo") };
    scheduler.add_pool(vec![limited.clone(), offer("add")]);
    let first = submit(&mut scheduler, "echo", at(0));
    submit(&mut scheduler, "echo", at(0));
    let of_capability =
        Rejection::QueueFull { limit: 2, capability: Some(limited.capability), retry_after: millis(100) };
    assert_eq!(scheduler.submit(&Ask::new(&query("echo")), at(0)), Err(of_capability));
    submit(&mut scheduler, "add", at(0));
    let of_all = Rejection::QueueFull { limit: 3, capability: None, retry_after: millis(100) };
    assert_eq!(scheduler.submit(&Ask::new(&query("add")), at(0)), Err(of_all));
    scheduler.cancel(first);
    submit(&mut scheduler, "echo", at(0));
}

#[test]
fn who_is_refused_is_told_when_there_may_be_room() {
    let mut scheduler = Scheduler::new(1);
    let pool = scheduler.add_pool(vec![offer("echo")]);
    scheduler.worker_ready(WorkerId(0), pool, 4, Time::default());
    measure(&mut scheduler, "echo", millis(200), at(0));
    submit(&mut scheduler, "echo", at(200));
    let Err(Rejection::QueueFull { retry_after, .. }) = scheduler.submit(&Ask::new(&query("echo")), at(200))
    else {
        panic!("the queue is full");
    };
    assert_eq!(retry_after, millis(50), "four slots, 200 ms each");
}

#[test]
fn a_query_of_several_offers_may_wait_while_one_of_them_has_room() {
    let mut scheduler = pool_of(vec![Offer { max_queue_size: Some(1), ..offer("echo") }], 0);
    scheduler.add_pool(vec![offer("add")]);
    submit(&mut scheduler, "echo", at(0));
    let both = everything();
    assert!(scheduler.submit(&Ask::new(&both), at(0)).is_ok());
    assert!(scheduler.submit(&Ask::new(&query("echo")), at(0)).is_err());
}

#[test]
fn a_wait_beyond_the_slo_is_refused() {
    let mut scheduler = pool_of(vec![Offer { slo: Some(millis(140)), ..offer("echo") }], 1);
    let now = measure(&mut scheduler, "echo", millis(40), at(0));
    submit(&mut scheduler, "echo", now);
    assert_eq!(assign(&mut scheduler, now).len(), 1);
    submit(&mut scheduler, "echo", now);
    let refused = scheduler.submit(&Ask::new(&query("echo")), now);
    let (wait, budget, retry_after) = (millis(80), millis(50), millis(30));
    assert_eq!(refused, Err(Rejection::PredictedMiss { wait, budget, retry_after }));
    // What is more urgent does not wait for it.
    submit_at_level(&mut scheduler, "echo", 1, now);
}

#[test]
fn a_wait_beyond_the_deadline_is_refused() {
    let mut scheduler = pool_of(vec![offer("echo")], 1);
    let now = measure(&mut scheduler, "echo", millis(40), at(0));
    submit(&mut scheduler, "echo", now);
    assert_eq!(assign(&mut scheduler, now).len(), 1);
    let query = query("echo");
    let ask = |millis| Ask { deadline: Some(now.plus(Duration::from_millis(millis))), ..Ask::new(&query) };
    let refused = scheduler.submit(&ask(30), now);
    let (wait, budget, retry_after) = (millis(40), millis(30), millis(10));
    assert_eq!(refused, Err(Rejection::PredictedMiss { wait, budget, retry_after }));
    assert!(scheduler.submit(&ask(50), now).is_ok());
    assert_eq!(scheduler.submit(&ask(0), now), Err(Rejection::DeadlinePassed));
}

#[test]
fn nothing_is_refused_while_a_worker_is_free() {
    let mut scheduler = pool_of(vec![Offer { slo: Some(millis(100)), ..offer("echo") }], 1);
    let mut now = at(0);
    for took in [99, 99, 500, 500] {
        now = measure(&mut scheduler, "echo", millis(took), now);
    }
    // Nor while a batch that a free worker would take is not full.
    let batched = Offer { max_batch_size: 4, max_batch_delay: millis(50), ..offer("echo") };
    let mut scheduler = pool_of(vec![Offer { slo: Some(millis(100)), ..batched }], 1);
    let requests: Vec<_> = (0..4).map(|_| submit(&mut scheduler, "echo", at(0))).collect();
    let given = scheduler.next(at(0)).unwrap();
    for &request in &requests {
        scheduler.complete(given.worker, request, at(95)).unwrap();
    }
    for waiting in 0..4 {
        assert!(scheduler.submit(&Ask::new(&query("echo")), at(100)).is_ok(), "{waiting} wait");
    }
}

#[test]
fn nothing_is_predicted_before_something_was_measured() {
    let slo = Offer { slo: Some(millis(10)), ..offer("echo") };
    let mut scheduler = pool_of(vec![slo], 1);
    let now = at(0);
    let requests: Vec<_> = (0..20).map(|_| submit(&mut scheduler, "echo", now)).collect();
    let given = scheduler.next(now).unwrap();
    scheduler.complete(given.worker, given.requests[0], at(5)).unwrap();
    // What was queued by then counts as soon as one of them was measured.
    let refused = scheduler.submit(&Ask::new(&query("echo")), at(5));
    assert!(matches!(refused, Err(Rejection::PredictedMiss { .. })), "{refused:?}");
    requests.iter().skip(1).for_each(|&request| assert_eq!(scheduler.cancel(request), Cancelled::Queued));
    assert_idle(&scheduler);
}

#[test]
fn without_workers_nothing_is_predicted() {
    let mut scheduler = pool_of(vec![Offer { slo: Some(millis(10)), ..offer("echo") }], 1);
    let now = measure(&mut scheduler, "echo", millis(5), at(0));
    scheduler.worker_gone(WorkerId(0), 1);
    for _ in 0..20 {
        submit(&mut scheduler, "echo", now);
    }
}

#[test]
fn an_slo_that_no_idle_worker_meets_does_not_refuse_everything() {
    let mut scheduler = Scheduler::new(100);
    let pool = scheduler.add_pool(vec![Offer { slo: Some(millis(100)), ..offer("echo") }]);
    scheduler.worker_ready(WorkerId(0), pool, 10, Time::default());
    let mut now = measure(&mut scheduler, "echo", millis(500), at(0));
    for _ in 0..10 {
        submit(&mut scheduler, "echo", now);
        assert_eq!(assign(&mut scheduler, now).len(), 1);
    }
    // A place is free every 50 ms.
    submit(&mut scheduler, "echo", now);
    now = now.plus(millis(1));
    assert!(scheduler.submit(&Ask::new(&query("echo")), now).is_err());
}

#[test]
fn what_is_going_to_overtake_a_request_counts() {
    let last = Offer { slo: Some(millis(2900)), priority: Priority::new(9).unwrap(), ..offer("last") };
    let mut scheduler = pool_of(vec![offer("echo"), last], 1);
    let mut now = measure(&mut scheduler, "last", millis(900), at(0));
    for _ in 0..50 {
        now = measure(&mut scheduler, "echo", millis(900), now).plus(millis(100));
    }
    submit(&mut scheduler, "echo", now);
    assert_eq!(assign(&mut scheduler, now).len(), 1);
    // What runs takes 0.9 s, and nine tenths of the time go to others.
    let Err(Rejection::PredictedMiss { wait, budget, .. }) = scheduler.submit(&Ask::new(&query("last")), now)
    else {
        panic!("it would wait too long");
    };
    assert!(wait > millis(3000), "{wait:?}");
    assert_eq!(budget, millis(1000));
    // What was long ago does not count.
    assert!(scheduler.submit(&Ask::new(&query("last")), now.plus(millis(600_000))).is_ok());
}

#[test]
fn what_waits_for_other_places_does_not_count() {
    let wide = offer("echo");
    let narrow = Offer { concurrency: Some(1), slo: Some(millis(6000)), ..offer("add") };
    let mut scheduler = Scheduler::new(1000);
    let pool = scheduler.add_pool(vec![wide, narrow]);
    scheduler.worker_ready(WorkerId(0), pool, 32, Time::default());
    let now = measure(&mut scheduler, "echo", millis(200), at(0));
    let now = measure(&mut scheduler, "add", millis(200), now);
    for _ in 0..160 {
        submit(&mut scheduler, "echo", now);
    }
    assert_eq!(assign(&mut scheduler, now).len(), 32);
    // A second of work in all for 32 places, of which one is for this.
    for _ in 0..10 {
        submit(&mut scheduler, "add", now);
    }
    let refused = (0..20).map(|_| scheduler.submit(&Ask::new(&query("add")), now)).find_map(Result::err);
    assert!(matches!(refused, Some(Rejection::PredictedMiss { .. })), "{refused:?}: its own are too many");
}

#[test]
fn what_was_assigned_and_never_ran_teaches_nothing() {
    let mut scheduler = pool_of(vec![Offer { slo: Some(millis(1000)), ..offer("echo") }], 1);
    let now = measure(&mut scheduler, "echo", millis(400), at(0));
    for _ in 0..20 {
        let request = submit(&mut scheduler, "echo", now);
        assert_eq!(given(&mut scheduler, now), [(vec![request], 0)]);
        assert_eq!(scheduler.cancel(request), Cancelled::Assigned(WorkerId(0)));
        assert!(scheduler.returned(WorkerId(0), &[request], now));
    }
    submit(&mut scheduler, "echo", now);
    assert_eq!(assign(&mut scheduler, now).len(), 1);
    let refused = scheduler.submit(&Ask::new(&query("echo")), now);
    assert!(
        matches!(refused, Err(Rejection::PredictedMiss { wait, .. }) if wait == millis(400)),
        "{refused:?}"
    );
}
