//! When workers go though nobody wants their place.

use super::*;

#[test]
fn idle_workers_stop_down_to_min() {
    let mut machine = Machine::new(0, 4);
    machine.pool(PoolSpec { min: 1, max: 2, idle_timeout: Some(seconds(60)), ..spec("chat") });
    machine.change("chat", |spec| spec.min = 2);
    machine.decide();
    machine.decide();
    machine.settle();
    machine.change("chat", |spec| spec.min = 1);
    assert_eq!(machine.decide_after(59_999), [""; 0]);
    assert_eq!(machine.scaler.next_check(&machine.scheduler, machine.now()), Some(at(60_000)));
    assert_eq!(machine.decide_after(1), ["stop chat: it was idle for 60 s"]);
    assert_eq!(machine.scaler.next_check(&machine.scheduler, machine.now()), None);
}

#[test]
fn pinned_workers_do_not_stop_for_being_idle() {
    let mut machine = Machine::new(0, 4);
    machine.pool(PoolSpec { pinned: true, idle_timeout: Some(seconds(1)), ..spec("chat") });
    machine.bring_up("chat");
    assert_eq!(machine.decide_after(1_000_000), [""; 0]);
}

#[test]
fn above_max_the_newest_idle_one_goes_first_and_busy_ones_drain() {
    let mut machine = Machine::new(0, 4);
    machine.pool(PoolSpec { min: 3, max: 3, ..spec("chat") });
    for _ in 0..3 {
        machine.decide();
    }
    machine.settle();
    let workers: Vec<_> = machine.scaler.workers_of(machine.pools["chat"]).map(|worker| worker.id).collect();
    for request in [machine.ask_for("chat"), machine.ask_for("chat")] {
        machine.assign();
        assert!(machine.running.contains_key(&request));
    }
    let busy: Vec<_> = machine.running.values().copied().collect();
    let idle = workers.iter().find(|worker| !busy.contains(worker)).copied().unwrap();
    machine.change("chat", |spec| (spec.min, spec.max) = (0, 2));
    assert_eq!(machine.decide(), ["stop chat: it has more than 2, its max"]);
    assert_eq!(machine.scaler.worker(idle).unwrap().stage, Stage::Draining);
    machine.change("chat", |spec| spec.max = 0);
    assert_eq!(machine.decide().len(), 2);
    machine.settle();
    assert_eq!(machine.stages("chat"), [Stage::Draining; 2], "they finish what they have");
}

#[test]
fn a_worn_worker_serves_until_another_is_ready() {
    let mut machine = Machine::new(0, 2);
    machine.pool(PoolSpec { min: 1, ..spec("chat") });
    machine.decide();
    machine.settle();
    let worn = machine.newest("chat").unwrap();
    machine.scaler.recycle(worn);
    assert_eq!(machine.decide(), ["start chat: it has fewer than 1, its min"]);
    assert_eq!(machine.decide(), [""; 0]);
    machine.settle();
    assert_eq!(machine.decide(), ["stop chat: one of its workers has served as many requests as it may"]);
    assert_eq!(machine.scaler.worker(worn).unwrap().stage, Stage::Draining);
}

#[test]
fn without_room_a_worn_worker_goes_first() {
    let mut machine = Machine::new(0, 1);
    machine.pool(PoolSpec { min: 1, ..spec("chat") });
    machine.decide();
    machine.settle();
    machine.scaler.recycle(machine.newest("chat").unwrap());
    assert_eq!(machine.decide(), ["stop chat: one of its workers has served as many requests as it may"]);
    assert_eq!(machine.decide(), [""; 0]);
    machine.settle();
    assert_eq!(machine.decide(), ["start chat: it has fewer than 1, its min"]);
}

#[test]
fn a_worn_worker_goes_on_while_starts_fail() {
    let mut machine = Machine::new(0, 2);
    machine.pool(PoolSpec { min: 1, ..spec("chat") });
    machine.decide();
    machine.settle();
    let worn = machine.newest("chat").unwrap();
    machine.scaler.recycle(worn);
    for _ in 0..3 {
        assert_eq!(machine.decide_after(10_000).len(), 1);
        machine.end(machine.newest("chat").unwrap());
        assert_eq!(machine.decide(), [""; 0]);
    }
    assert_eq!(machine.scaler.worker(worn).unwrap().stage, Stage::Ready);
}
