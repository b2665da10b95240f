//! What must hold of every decision.

use std::collections::BTreeSet;

use super::super::room::{Need, Room};
use super::*;

/// Checks decisions against how the workers were before.
pub(super) fn hold(machine: &Machine, before: &BTreeMap<WorkerId, Worker>, decisions: &[Decision]) {
    let mut told = BTreeSet::new();
    for decision in decisions {
        assert!(told.insert(decision.worker), "a worker is told one thing: {decisions:?}");
        match &decision.step {
            Step::Start(grant) => check_start(machine, decision, grant),
            Step::Wake => assert_eq!(before[&decision.worker].stage, Stage::Asleep),
            Step::Sleep { .. } => {
                assert!(machine.scaler.spec(decision.pool).unwrap().asleep.is_some());
                check_end(machine, &before[&decision.worker], decision);
            }
            Step::Stop => check_end(machine, &before[&decision.worker], decision),
        }
    }
    check_counts(machine, before, decisions);
    check_budget(machine);
    check_evictions_help(machine, decisions);
}

fn check_start(machine: &Machine, decision: &Decision, grant: &Grant) {
    let pool = &machine.scaler.pools[&decision.pool];
    assert!(!pool.held && pool.backs_off_until <= machine.now());
    assert!(!pool.retiring || machine.scheduler.demand(decision.pool).waiting > 0 || pool.ordered.is_some());
    assert_eq!(grant.gpus.len(), pool.spec.resources.gpus);
    let fresh = machine.scaler.workers_of(decision.pool).filter(|worker| !worker.worn);
    assert!(fresh.filter(|worker| worker.stage != Stage::Draining).count() <= pool.spec.max);
}

/// Whether a worker may be told to stop or to sleep for that reason.
fn check_end(machine: &Machine, worker: &Worker, decision: &Decision) {
    let pool = &machine.scaler.pools[&worker.pool];
    let resident = machine.now().since(worker.resident_since);
    let load = machine.scheduler.load(worker.id);
    let why = format!("{worker:?}: {decision:?}");
    match decision.reason {
        Reason::Evicted(ref other) if *other == pool.spec.name => {
            assert_eq!(worker.stage, Stage::Asleep, "{why}");
        }
        Reason::Evicted(_) | Reason::Turn { .. } => {
            assert!(matches!(worker.stage, Stage::Ready | Stage::Asleep), "{why}");
            assert!(!pool.spec.pinned, "{why}");
            assert!(worker.stage == Stage::Asleep || resident >= pool.spec.min_residence, "{why}");
            let turn = matches!(decision.reason, Reason::Turn { .. });
            assert!(turn || load == 0, "a busy worker goes only by turn: {why}");
            assert!(!turn || resident >= pool.amortised_after(), "{why}");
        }
        Reason::Idle(timeout) => {
            assert!(!pool.spec.pinned && load == 0 && worker.stage == Stage::Ready, "{why}");
            assert!(resident >= timeout.max(pool.spec.min_residence), "{why}");
        }
        Reason::Held | Reason::Retired | Reason::AboveMax(_) => {
            let stoppable = [Stage::Starting, Stage::Ready, Stage::Asleep];
            assert!(stoppable.contains(&worker.stage), "{why}");
        }
        Reason::Recycled | Reason::Ordered => assert_eq!(worker.stage, Stage::Ready, "{why}"),
        Reason::BelowMin(_) | Reason::Cold { .. } | Reason::Backlog { .. } => {
            panic!("no reason to end: {why}")
        }
    }
}

/// Neither eviction nor idleness brings a pool below its min.
fn check_counts(machine: &Machine, before: &BTreeMap<WorkerId, Worker>, decisions: &[Decision]) {
    let pushed = |decision: &&Decision| {
        matches!(decision.reason, Reason::Evicted(_) | Reason::Turn { .. } | Reason::Idle(_))
            && !matches!(decision.step, Step::Start(_) | Step::Wake)
            && before[&decision.worker].stage == Stage::Ready
    };
    for decision in decisions.iter().filter(pushed) {
        let census = machine.scaler.census(decision.pool, &machine.scheduler);
        let min = machine.scaler.pools[&decision.pool].min();
        assert!(census.awake() + census.worn >= min, "{decision:?}");
    }
}

/// What is free and what the workers hold is what there is.
fn check_budget(machine: &Machine) {
    let budget = machine.scaler.budget();
    let mut sum = budget.free().clone();
    for worker in machine.scaler.workers.values() {
        if worker.grant.holds_gpus {
            for &gpu in &worker.grant.gpus {
                assert!(sum.gpus.insert(gpu), "GPU {gpu} is held twice");
            }
        }
        for (name, amount) in &worker.grant.amounts {
            *sum.amounts.get_mut(name).unwrap() += amount;
        }
    }
    assert_eq!((sum.gpus, sum.amounts), (budget.all().gpus, budget.all().amounts));
}

/// Nobody goes for a pool that has no room for a worker even so.
fn check_evictions_help(machine: &Machine, decisions: &[Decision]) {
    let mut room = machine.scaler.budget().free().clone();
    for worker in machine.scaler.workers.values() {
        match worker.stage {
            Stage::Draining => room.add(&machine.scaler.frees(worker, false)),
            Stage::FallingAsleep => room.add(&machine.scaler.frees(worker, true)),
            _ => {}
        }
    }
    let fits = |id: PoolId, room: &Room| {
        let resources = &machine.scaler.pools[&id].spec.resources;
        let asleep = machine.scaler.workers_of(id).filter(|worker| worker.stage == Stage::Asleep);
        let mut wakes = asleep.map(|worker| Need::wake(&worker.grant, resources));
        room.fits(&Need::start(resources)) || wakes.any(|need| room.fits(&need))
    };
    for decision in decisions {
        if let Reason::Evicted(name) | Reason::Turn { pool: name, .. } = &decision.reason {
            assert!(fits(machine.pools[name], &room), "in vain: {decision:?}");
        }
    }
}
