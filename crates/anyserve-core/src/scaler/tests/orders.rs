//! What the operator says.

use super::*;

fn sleeper(name: &str) -> PoolSpec {
    PoolSpec { asleep: Some(Amounts::new()), ..spec(name) }
}

#[test]
fn workers_that_are_sent_to_sleep_sleep_until_something_waits() {
    let mut machine = Machine::new(0, 4);
    let pool = machine.pool(PoolSpec { min: 2, max: 2, pinned: true, ..sleeper("chat") });
    machine.decide();
    machine.decide();
    machine.settle();
    machine.ask_for("chat");
    machine.assign();
    machine.scaler.order_sleep(pool);
    let sleep = "sleep chat: the operator said so";
    assert_eq!(machine.decide(), [sleep, sleep], "one of them finishes what it has first");
    machine.settle();
    assert_eq!(machine.stages("chat"), [Stage::FallingAsleep, Stage::Asleep]);
    machine.finish("chat");
    machine.settle();
    assert_eq!(machine.decide_after(1_000_000), [""; 0], "though it has fewer than min");
    machine.ask_for("chat");
    assert_eq!(machine.decide(), ["wake chat: it has fewer than 2, its min"]);
    assert_eq!(machine.decide(), ["wake chat: it has fewer than 2, its min"]);
}

#[test]
fn what_waits_is_served_before_its_workers_sleep() {
    let mut machine = Machine::new(0, 4);
    let pool = machine.pool(sleeper("chat"));
    for _ in 0..3 {
        machine.ask_for("chat");
    }
    machine.decide();
    machine.settle();
    machine.scaler.order_sleep(pool);
    assert_eq!(machine.decide(), [""; 0]);
    machine.finish("chat");
    assert_eq!(machine.decide(), ["sleep chat: the operator said so"]);
}

#[test]
fn all_wake_when_the_operator_says_so() {
    let mut machine = Machine::new(0, 4);
    let pool = machine.pool(PoolSpec { min: 2, max: 2, ..sleeper("chat") });
    machine.decide();
    machine.decide();
    machine.settle();
    machine.scaler.order_sleep(pool);
    machine.decide();
    machine.settle();
    machine.change("chat", |spec| spec.min = 0);
    assert_eq!(machine.decide(), [""; 0]);
    machine.scaler.order_wake(pool);
    let wake = ["wake chat: the operator said so"];
    assert_eq!([machine.decide(), machine.decide(), machine.decide()], [&wake[..], &wake[..], &[]]);
}

#[test]
fn an_order_to_wake_starts_a_worker_if_there_is_none() {
    let mut machine = Machine::new(0, 4);
    let pool = machine.pool(spec("chat"));
    machine.scaler.order_wake(pool);
    assert_eq!(machine.decide(), ["start chat: the operator said so"]);
    machine.settle();
    assert_eq!(machine.decide(), [""; 0]);
    machine.end(machine.newest("chat").unwrap());
    assert_eq!(machine.decide(), [""; 0], "it was carried out");
}

#[test]
fn a_drained_pool_stops_and_starts_nothing() {
    let mut machine = Machine::new(0, 4);
    let pool = machine.pool(PoolSpec { min: 1, pinned: true, ..spec("chat") });
    machine.decide();
    machine.settle();
    machine.scaler.hold(pool, true);
    machine.ask_for("chat");
    machine.assign();
    assert_eq!(machine.decide(), ["stop chat: the operator drained the pool"]);
    machine.settle();
    assert_eq!(machine.stages("chat"), [Stage::Draining], "it finishes what it has");
    machine.finish("chat");
    machine.settle();
    machine.ask_for("chat");
    assert_eq!(machine.decide_after(1_000_000), [""; 0]);
    machine.scaler.hold(pool, false);
    assert_eq!(machine.decide().len(), 1);
}

#[test]
fn a_retiring_pool_serves_what_nobody_else_can() {
    let mut machine = Machine::new(0, 4);
    let pool = machine.pool(PoolSpec { min: 1, ..spec("chat") });
    machine.ask_for("chat");
    machine.scheduler.close_pool(pool);
    machine.scaler.retire_pool(pool);
    assert_eq!(machine.decide(), ["start chat: 1 request waits and it has no worker"]);
    assert_eq!(machine.scaler.phase(pool, machine.now()), Phase::Retiring);
    machine.settle();
    assert_eq!(machine.decide(), ["stop chat: the configuration has changed"]);
    machine.finish("chat");
    machine.settle();
    assert_eq!(machine.decide(), [""; 0]);
    assert!(machine.scheduler.is_spent(pool));
    machine.scheduler.remove_pool(pool);
    machine.scaler.remove_pool(pool);
    assert_eq!(machine.decide(), [""; 0]);
}
