//! Who makes room for whom.

use super::*;

const COLD: &str = "1 request waits and it has no worker";

fn start(name: &str) -> String {
    format!("start {name}: {COLD}")
}

/// Two slots, held by the idle workers of `first` and `second`; the first was used before the second.
fn full() -> Machine {
    let mut machine = Machine::new(0, 2);
    for name in ["first", "second", "third"] {
        machine.pool(spec(name));
    }
    machine.bring_up("first");
    machine.millis += 100_000;
    machine.bring_up("second");
    machine.millis += 100_000;
    machine
}

#[test]
fn an_idle_worker_makes_room_and_the_start_follows_when_it_is_gone() {
    let mut machine = full();
    machine.ask_for("third");
    assert_eq!(machine.decide(), ["stop first: pool 'third' needs its resources"]);
    assert_eq!(machine.decide_after(5000), [""; 0], "nobody else has to go");
    machine.settle();
    assert_eq!(machine.decide(), [start("third")]);
}

#[test]
fn it_is_the_one_that_is_asked_for_least() {
    let mut machine = full();
    for _ in 0..5 {
        machine.ask_for("first");
        machine.assign();
        machine.finish("first");
    }
    machine.decide();
    machine.ask_for("third");
    assert_eq!(machine.decide_after(60_000), ["stop second: pool 'third' needs its resources"]);
}

#[test]
fn what_is_costly_to_evict_stays() {
    let mut machine = full();
    machine.change("first", |spec| spec.eviction_cost = 1000.0);
    machine.ask_for("third");
    assert_eq!(machine.decide(), ["stop second: pool 'third' needs its resources"]);
}

#[test]
fn pinned_pools_and_min_workers_stay() {
    let mut machine = full();
    machine.change("first", |spec| spec.pinned = true);
    machine.change("second", |spec| spec.min = 1);
    machine.ask_for("third");
    assert_eq!(machine.decide_after(1000), [""; 0]);
    assert_eq!(machine.decide_after(1_000_000), [""; 0], "and it has no turn");
    machine.change("second", |spec| spec.min = 0);
    assert_eq!(machine.decide(), ["stop second: pool 'third' needs its resources"]);
}

#[test]
fn what_starts_or_wakes_stays() {
    let mut machine = Machine::new(0, 1);
    machine.pool(PoolSpec { asleep: Some(Amounts::new()), ..spec("first") });
    machine.pool(spec("second"));
    machine.ask_for("first");
    machine.decide();
    machine.ask_for("second");
    assert_eq!(machine.decide_after(1_000_000), [""; 0]);
    machine.settle();
    machine.finish("first");
    assert_eq!(machine.decide(), ["sleep first: pool 'second' needs its resources"]);
    machine.settle();
    machine.decide();
    machine.settle();
    machine.finish("second");
    machine.ask_for("first");
    machine.decide_after(1000);
    machine.settle();
    assert_eq!(machine.decide(), [format!("wake first: {COLD}")]);
    machine.ask_for("second");
    assert_eq!(machine.decide_after(1_000_000), [""; 0]);
}

#[test]
fn what_is_new_is_kept_for_its_residence() {
    let mut machine = Machine::new(0, 1);
    machine.pool(PoolSpec { min_residence: seconds(30), ..spec("first") });
    machine.pool(spec("second"));
    machine.bring_up("first");
    machine.ask_for("second");
    assert_eq!(machine.decide_after(29_999), [""; 0]);
    assert_eq!(machine.scaler.next_check(&machine.scheduler, machine.now()), Some(at(31_000)));
    assert_eq!(machine.decide_after(1), ["stop first: pool 'second' needs its resources"]);
}

#[test]
fn nobody_goes_in_vain() {
    let mut machine = Machine::new(0, 3);
    machine.pool(spec("idle"));
    machine.pool(PoolSpec { pinned: true, ..spec("pinned") });
    machine.pool(PoolSpec { resources: slots(3), ..spec("large") });
    machine.bring_up("idle");
    machine.bring_up("pinned");
    machine.ask_for("large");
    assert_eq!(machine.decide_after(1_000_000), [""; 0]);
}

#[test]
fn no_more_go_than_have_to() {
    let mut machine = Machine::new(0, 4);
    machine.pool(spec("small"));
    machine.millis += 1000;
    machine.bring_up("small");
    machine.pool(PoolSpec { resources: slots(3), ..spec("large") });
    machine.millis += 100_000;
    machine.bring_up("large");
    machine.pool(PoolSpec { resources: slots(2), ..spec("third") });
    machine.ask_for("third");
    assert_eq!(machine.decide_after(100_000), ["stop large: pool 'third' needs its resources"]);
}

#[test]
fn what_waits_pins_its_pool() {
    let mut machine = full();
    machine.scheduler.pause(machine.newest("first").unwrap());
    machine.ask_for("first");
    machine.ask_for("third");
    assert_eq!(machine.decide(), ["stop second: pool 'third' needs its resources"]);
}

#[test]
fn a_pool_whose_starts_fail_does_not_clear_the_machine() {
    let mut machine = full();
    machine.ask_for("third");
    for _ in 0..10 {
        machine.decide();
        machine.settle_but_starts();
        if machine.decide().iter().any(|step| step.starts_with("start third")) {
            machine.end(machine.newest("third").unwrap());
        }
        machine.millis += 10_000;
    }
    assert_eq!(machine.stages("second"), [Stage::Ready], "the place of the first one is enough");
}

#[test]
fn the_greatest_need_goes_first() {
    let mut machine = Machine::new(0, 1);
    for name in ["first", "second", "third"] {
        machine.pool(spec(name));
    }
    machine.bring_up("first");
    machine.ask_for("second");
    machine.ask_for("third");
    machine.ask_for("third");
    assert_eq!(machine.decide_after(60_000), ["stop first: pool 'third' needs its resources"]);
}

#[test]
fn the_last_of_min_workers_stays_though_others_lose_more() {
    let mut machine = Machine::new(0, 3);
    machine.pool(PoolSpec { min: 1, max: 2, ..spec("small") });
    machine.change("small", |spec| spec.min = 2);
    machine.decide();
    machine.decide();
    machine.settle();
    machine.change("small", |spec| spec.min = 1);
    machine.millis += 500_000;
    machine.pool(spec("other"));
    machine.bring_up("other");
    machine.pool(PoolSpec { resources: slots(2), ..spec("large") });
    machine.ask_for("large");
    let why = "pool 'large' needs its resources";
    assert_eq!(machine.decide_after(10_000), [format!("stop small: {why}"), format!("stop other: {why}")]);
}
