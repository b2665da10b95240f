//! When a pool gets a worker, where there is room.

use super::*;

#[test]
fn a_request_starts_a_worker_and_only_one() {
    let mut machine = Machine::new(0, 4);
    machine.pool(PoolSpec { max: 4, ..spec("chat") });
    assert_eq!(machine.decide(), [""; 0]);
    machine.ask_for("chat");
    assert_eq!(machine.decide(), ["start chat: 1 request waits and it has no worker"]);
    machine.ask_for("chat");
    assert_eq!(machine.decide(), [""; 0], "one is on its way");
    assert_eq!(machine.taken("slots"), 1);
}

#[test]
fn a_pool_has_its_min_workers_whatever_comes() {
    let mut machine = Machine::new(0, 4);
    machine.pool(PoolSpec { min: 2, max: 3, ..spec("chat") });
    assert_eq!(machine.decide(), ["start chat: it has fewer than 2, its min"]);
    assert_eq!(machine.decide(), ["start chat: it has fewer than 2, its min"]);
    assert_eq!(machine.decide(), [""; 0]);
    machine.settle();
    let worker = machine.newest("chat").unwrap();
    assert_eq!(machine.end(worker), None, "it had been ready");
    assert_eq!(machine.decide().len(), 1);
}

#[test]
fn a_backlog_starts_as_many_as_help() {
    let mut machine = Machine::new(0, 8);
    machine.pool(PoolSpec { max: 8, ..spec("chat") });
    machine.bring_up("chat");
    // Two at once, of 3 s each: a start takes one.
    machine.ask_for("chat");
    machine.assign();
    machine.millis += 3000;
    machine.finish("chat");
    for _ in 0..16 {
        machine.ask_for("chat");
    }
    machine.assign();
    let mut decided = Vec::new();
    for _ in 0..8 {
        decided.extend(machine.decide());
    }
    assert_eq!(decided.len(), 2, "{decided:?}");
    assert!(
        decided[0].starts_with("start chat: 14 requests wait, which would take its workers "),
        "{decided:?}"
    );
}

#[test]
fn a_short_backlog_starts_nobody() {
    let mut machine = Machine::new(0, 8);
    machine.pool(PoolSpec { max: 8, ..spec("chat") });
    machine.bring_up("chat");
    for _ in 0..4 {
        machine.ask_for("chat");
    }
    machine.assign();
    assert_eq!(machine.decide(), [""; 0]);
}

#[test]
fn what_has_never_been_measured_is_taken_to_take_as_long_as_it_has_taken() {
    let mut machine = Machine::new(0, 8);
    machine.pool(PoolSpec { max: 3, ..spec("chat") });
    for _ in 0..9 {
        machine.ask_for("chat");
    }
    assert_eq!(machine.decide().len(), 1);
    machine.millis += 1000;
    machine.settle();
    assert_eq!(machine.decide_after(900), [""; 0]);
    assert_eq!(
        machine.decide_after(200),
        ["start chat: 7 requests wait, which would take its workers 1.1 s"]
    );
    assert_eq!(machine.decide_after(200), [""; 0], "first it is seen whether that helps");
}

#[test]
fn a_start_that_fails_backs_off_for_longer_and_longer() {
    let mut machine = Machine::new(0, 1);
    let pool = machine.pool(spec("chat"));
    machine.ask_for("chat");
    for failed in 1..=4 {
        assert_eq!(machine.decide().len(), 1, "after {failed}");
        let worker = machine.newest("chat").unwrap();
        assert_eq!(machine.end(worker), Some(failed));
        let backoff = 100 << (failed - 1);
        assert_eq!(machine.decide_after(backoff - 1), [""; 0]);
        assert_eq!(
            machine.scaler.next_check(&machine.scheduler, machine.now()),
            Some(at(machine.millis + 1))
        );
        machine.millis += 1;
    }
    assert_eq!(machine.scaler.phase(pool, machine.now()), Phase::Failed { again_in: Duration::ZERO });
    machine.decide();
    machine.settle();
    assert_eq!(machine.scaler.phase(pool, machine.now()), Phase::Active);
    assert_eq!(machine.taken("slots"), 1);
}

#[test]
fn gpus_are_handed_out_by_index() {
    let mut machine = Machine::new(3, 0);
    machine.pool(PoolSpec { resources: gpus(2), ..spec("large") });
    machine.pool(PoolSpec { resources: gpus(1), ..spec("small") });
    machine.ask_for("large");
    machine.decide();
    machine.ask_for("small");
    machine.decide();
    let held = |name| machine.scaler.worker(machine.newest(name).unwrap()).unwrap().grant.gpus.clone();
    assert_eq!([held("large"), held("small")], [vec![0, 1], vec![2]]);
    assert_eq!(machine.taken("gpus"), 3);
}
