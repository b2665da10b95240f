//! Workers that sleep and wake.

use super::*;

/// A pool whose workers keep one of their four slots while they sleep, and a GPU, which they do not keep.
fn sleeper(name: &str) -> PoolSpec {
    let resources = Resources { gpus: 1, ..slots(4) };
    PoolSpec { resources, asleep: Some(slots(1).amounts), ..spec(name) }
}

#[test]
fn a_worker_that_sleeps_wakes_before_another_starts() {
    let mut machine = Machine::new(2, 100);
    machine.pool(PoolSpec { max: 2, idle_timeout: Some(seconds(1)), ..sleeper("chat") });
    machine.bring_up("chat");
    machine.decide_after(1000);
    machine.ask_for("chat");
    assert_eq!(machine.decide(), [""; 0], "it is asleep in a moment");
    machine.settle();
    assert_eq!(machine.decide(), ["wake chat: 1 request waits and it has no worker"]);
}

#[test]
fn eviction_puts_to_sleep_where_that_frees_enough() {
    let mut machine = Machine::new(1, 8);
    machine.pool(sleeper("first"));
    machine.pool(sleeper("second"));
    machine.bring_up("first");
    machine.ask_for("second");
    assert_eq!(machine.decide_after(1000), ["sleep first: pool 'second' needs its resources"]);
    machine.settle();
    assert_eq!(machine.decide(), ["start second: 1 request waits and it has no worker"]);
}

#[test]
fn eviction_stops_where_sleep_frees_too_little() {
    let mut machine = Machine::new(1, 4);
    machine.pool(sleeper("first"));
    machine.pool(sleeper("second"));
    machine.bring_up("first");
    machine.ask_for("second");
    assert_eq!(machine.decide_after(1000), ["stop first: pool 'second' needs its resources"]);
}

#[test]
fn what_sleeps_makes_room_first() {
    let mut machine = Machine::new(2, 8);
    machine.pool(PoolSpec { idle_timeout: Some(seconds(1)), ..sleeper("first") });
    machine.pool(spec("second"));
    machine.bring_up("first");
    machine.decide_after(2000);
    machine.settle();
    machine.bring_up("second");
    machine.pool(PoolSpec { resources: slots(7), ..spec("large") });
    machine.ask_for("large");
    assert_eq!(machine.decide(), ["stop first: pool 'large' needs its resources"]);
}

#[test]
fn a_worker_wakes_only_on_its_own_gpu() {
    let mut machine = Machine::new(2, 100);
    machine.pool(PoolSpec { idle_timeout: Some(seconds(1)), ..sleeper("chat") });
    machine.bring_up("chat");
    machine.decide_after(1000);
    machine.settle();
    machine.pool(PoolSpec { pinned: true, resources: gpus(1), ..spec("pinned") });
    machine.bring_up("pinned");
    machine.ask_for("chat");
    // It cannot wake while that GPU is taken, and as its pool may have one worker only, it goes for another.
    assert_eq!(machine.decide(), ["stop chat: pool 'chat' needs its resources"]);
    machine.settle();
    assert_eq!(machine.decide(), ["start chat: 1 request waits and it has no worker"]);
    assert_eq!(machine.scaler.worker(machine.newest("chat").unwrap()).unwrap().grant.gpus, [1]);
}

#[test]
fn a_worker_that_sleeps_has_others_make_room_on_its_gpu() {
    let mut machine = Machine::new(1, 100);
    machine.pool(sleeper("first"));
    machine.pool(sleeper("second"));
    machine.bring_up("first");
    machine.ask_for("second");
    machine.decide_after(1000);
    machine.settle();
    machine.decide();
    machine.settle();
    machine.finish("second");
    machine.ask_for("first");
    assert_eq!(machine.decide_after(1000), ["sleep second: pool 'first' needs its resources"]);
    machine.settle();
    assert_eq!(machine.decide(), ["wake first: 1 request waits and it has no worker"]);
}
