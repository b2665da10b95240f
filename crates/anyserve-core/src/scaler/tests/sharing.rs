//! Requests that several pools can serve.

use super::*;

#[test]
fn a_request_that_many_pools_can_serve_starts_one() {
    let mut machine = Machine::new(0, 100);
    for index in 0..20 {
        machine.pool(spec(&format!("chat-{index}")));
    }
    for _ in 0..3 {
        machine.ask(&query("type", "chat"));
    }
    assert_eq!(machine.decide(), ["start chat-0: 3 requests wait and it has no worker"]);
    assert_eq!(machine.decide(), [""; 0]);
}

#[test]
fn it_counts_for_the_pool_that_has_workers() {
    let mut machine = Machine::new(0, 100);
    machine.pool(spec("first"));
    machine.pool(spec("second"));
    machine.bring_up("second");
    for _ in 0..3 {
        machine.ask(&query("type", "chat"));
    }
    machine.assign();
    assert_eq!(machine.decide(), [""; 0]);
}

#[test]
fn it_counts_for_a_pool_with_a_worker_that_sleeps_rather_than_a_cold_one() {
    let mut machine = Machine::new(0, 100);
    machine.pool(spec("first"));
    machine.pool(PoolSpec { asleep: Some(Amounts::new()), idle_timeout: Some(seconds(1)), ..spec("second") });
    machine.bring_up("second");
    machine.decide_after(1000);
    machine.settle();
    machine.ask(&query("type", "chat"));
    assert_eq!(machine.decide(), ["wake second: 1 request waits and it has no worker"]);
}

#[test]
fn it_starts_another_pool_once_the_first_has_too_much_to_do() {
    let mut machine = Machine::new(0, 100);
    machine.pool(spec("first"));
    machine.pool(spec("second"));
    machine.bring_up("first");
    machine.ask_for("first");
    machine.assign();
    machine.millis += 20_000;
    machine.finish("first");
    for _ in 0..9 {
        machine.ask(&query("type", "chat"));
    }
    machine.assign();
    assert_eq!(machine.decide(), ["start second: 7 requests wait and it has no worker"]);
}

#[test]
fn it_starts_another_pool_if_the_first_cannot_start() {
    let mut machine = Machine::new(0, 100);
    machine.pool(spec("first"));
    machine.pool(spec("second"));
    let first = machine.pools["first"];
    machine.ask(&query("type", "chat"));
    machine.decide();
    machine.end(machine.newest("first").unwrap());
    assert_eq!(machine.decide(), ["start second: 1 request waits and it has no worker"]);
    machine.end(machine.newest("second").unwrap());
    machine.scaler.hold(first, true);
    assert_eq!(machine.decide_after(60_000), ["start second: 1 request waits and it has no worker"]);
}
