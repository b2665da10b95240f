//! The budget, and how it is explained.

use super::*;
use crate::scaler::amount::{Amount, Brief};

fn misfit(machine: &mut Machine, spec: PoolSpec) -> String {
    let id = machine.scheduler.add_pool(vec![offer(&spec.name)]);
    machine.scaler.add_pool(id, spec).unwrap_err().to_string()
}

#[test]
fn what_can_never_fit_is_refused_with_the_arithmetic() {
    let mut machine = Machine::new(2, 3);
    assert_eq!(
        misfit(&mut machine, PoolSpec { resources: gpus(4), ..spec("large") }),
        "each worker of pool 'large' takes 4 GPUs; the budget has 2 GPUs"
    );
    let memory = Resources { gpus: 0, amounts: [("memory".to_owned(), 16 << 30)].into() };
    assert_eq!(
        misfit(&mut machine, PoolSpec { resources: memory, ..spec("large") }),
        "each worker of pool 'large' takes 16 GiB of memory; the budget has none"
    );
    machine.pool(PoolSpec { min: 2, max: 2, ..spec("chat") });
    assert_eq!(
        misfit(&mut machine, PoolSpec { min: 1, resources: slots(2), ..spec("embed") }),
        "the min workers of all pools take 4 of 'slots' (chat: 2 x 1, embed: 1 x 2); the budget has 3 of 'slots'"
    );
    assert_eq!(
        misfit(&mut machine, PoolSpec { resources: slots(2), ..spec("embed") }),
        "each worker of pool 'embed' takes 2 of 'slots'; the min workers of other pools (chat: 2 x 1) leave 1 of 'slots'"
    );
}

#[test]
fn a_min_that_leaves_no_room_for_another_pool_is_refused() {
    let mut machine = Machine::new(2, 0);
    machine.pool(PoolSpec { resources: gpus(2), ..spec("large") });
    assert_eq!(
        misfit(&mut machine, PoolSpec { resources: gpus(1), min: 1, ..spec("small") }),
        "each worker of pool 'large' takes 2 GPUs; the min workers of other pools (small: 1 x 1) leave 1 GPU"
    );
}

#[test]
fn amounts_read_well() {
    let text = |bytes| Amount("memory", bytes).to_string();
    let all = [17, 1536, 16 << 30, (64 << 30) - (512 << 20), (64 << 30) + 1, 1 << 41].map(text);
    assert_eq!(
        all,
        ["17 bytes", "1.5 KiB", "16 GiB", "63.5 GiB", "64.00 GiB", "2 TiB"]
            .map(|text| format!("{text} of memory"))
    );
    assert_eq!([1, 8].map(|count| Amount("gpus", count).to_string()), ["1 GPU", "8 GPUs"]);
}

#[test]
fn times_read_well() {
    let text = |millis| Brief(Duration::from_millis(millis)).to_string();
    let all = [5, 300, 1200, 2000, 9940, 45_000, 300_000].map(text);
    assert_eq!(all, ["5 ms", "300 ms", "1.2 s", "2 s", "9.9 s", "45 s", "5 min"]);
    assert_eq!(Brief(Duration::from_micros(80)).to_string(), "80 µs");
}

#[test]
fn a_worker_that_sleeps_keeps_what_it_keeps_and_no_more() {
    let mut machine = Machine::new(1, 10);
    let resources = Resources { gpus: 1, ..slots(8) };
    machine.pool(PoolSpec {
        resources,
        asleep: Some(slots(3).amounts),
        idle_timeout: Some(seconds(1)),
        ..spec("chat")
    });
    machine.bring_up("chat");
    assert_eq!([machine.taken("gpus"), machine.taken("slots")], [1, 8]);
    assert_eq!(machine.decide_after(1000), ["sleep chat: it was idle for 1 s"]);
    assert_eq!([machine.taken("gpus"), machine.taken("slots")], [1, 8], "until it is asleep");
    machine.settle();
    assert_eq!([machine.taken("gpus"), machine.taken("slots")], [0, 3]);
    machine.ask_for("chat");
    assert_eq!(machine.decide(), ["wake chat: 1 request waits and it has no worker"]);
    assert_eq!([machine.taken("gpus"), machine.taken("slots")], [1, 8]);
    machine.end(machine.newest("chat").unwrap());
    assert_eq!([machine.taken("gpus"), machine.taken("slots")], [0, 0]);
}
