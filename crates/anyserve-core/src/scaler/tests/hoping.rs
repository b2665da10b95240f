//! Whether a pool may have another worker, while some never finish what they do.

use std::collections::BTreeSet;

use super::*;

fn stuck(workers: impl IntoIterator<Item = WorkerId>) -> BTreeSet<WorkerId> {
    workers.into_iter().collect()
}

#[test]
fn a_pool_may_grow_up_to_its_max() {
    let mut machine = Machine::new(0, 10);
    let id = machine.pool(PoolSpec { max: 2, ..spec("chat") });
    assert!(machine.scaler.may_grow(id, &stuck([])));
    machine.bring_up("chat");
    let first = machine.newest("chat").unwrap();
    assert!(machine.scaler.may_grow(id, &stuck([first])));
    machine.change("chat", |spec| spec.max = 1);
    assert!(!machine.scaler.may_grow(id, &stuck([first])));
}

#[test]
fn a_worker_that_starts_or_sleeps_is_one_more() {
    let mut machine = Machine::new(0, 10);
    let id = machine.pool(PoolSpec {
        asleep: Some(Amounts::new()),
        idle_timeout: Some(seconds(1)),
        ..spec("chat")
    });
    machine.ask_for("chat");
    machine.decide();
    assert!(machine.scaler.may_grow(id, &stuck([])), "it starts");
    machine.settle();
    assert!(!machine.scaler.may_grow(id, &stuck([])));
    machine.finish("chat");
    machine.decide_after(2000);
    machine.settle();
    assert_eq!(machine.stages("chat"), [Stage::Asleep]);
    assert!(machine.scaler.may_grow(id, &stuck([])), "it wakes");
}

#[test]
fn there_must_be_room_beside_those_who_stay() {
    let mut machine = Machine::new(1, 10);
    let gpu = |name| PoolSpec { resources: gpus(1), ..spec(name) };
    machine.pool(gpu("one"));
    let other = machine.pool(gpu("two"));
    machine.bring_up("one");
    let holder = machine.newest("one").unwrap();
    assert!(machine.scaler.may_grow(other, &stuck([])), "the one that has the GPU goes");
    assert!(!machine.scaler.may_grow(other, &stuck([holder])));
    machine.change("one", |spec| spec.pinned = true);
    assert!(!machine.scaler.may_grow(other, &stuck([])), "it never goes");
}

#[test]
fn a_drained_pool_has_no_hope() {
    let mut machine = Machine::new(0, 10);
    let id = machine.pool(spec("chat"));
    machine.scaler.hold(id, true);
    assert!(!machine.scaler.may_grow(id, &stuck([])));
}
