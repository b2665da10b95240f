//! Whatever happens, the rules hold, nothing is handed out twice, and whoever waits is served.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Ask {
        pool: usize,
        shared: bool,
    },
    Wait(u64),
    /// A worker that starts, wakes, falls asleep or drains gets there, if it has nothing left to finish.
    Progress(usize),
    /// What a worker has ends.
    Finish(usize),
    Crash(usize),
    Recycle(usize),
    Hold(usize, bool),
    Pin(usize, bool),
    Limits(usize, usize, usize),
    OrderSleep(usize),
    OrderWake(usize),
    Retire(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let some = any::<usize>;
    let event = prop_oneof![
        10 => (some(), any::<bool>()).prop_map(|(pool, shared)| Event::Ask { pool, shared }),
        8 => (0..4000_u64).prop_map(Event::Wait),
        16 => some().prop_map(Event::Progress),
        8 => some().prop_map(Event::Finish),
        1 => some().prop_map(Event::Crash),
        1 => some().prop_map(Event::Recycle),
        1 => (some(), any::<bool>()).prop_map(|(pool, held)| Event::Hold(pool, held)),
        1 => (some(), any::<bool>()).prop_map(|(pool, pinned)| Event::Pin(pool, pinned)),
        1 => (some(), 0..3_usize, 0..3_usize).prop_map(|(pool, min, more)| Event::Limits(pool, min, more)),
        1 => some().prop_map(Event::OrderSleep),
        1 => some().prop_map(Event::OrderWake),
        1 => some().prop_map(Event::Retire),
    ];
    proptest::collection::vec(event, 0..200)
}

/// Pools of all sorts, on 4 GPUs and 6 slots.
fn specs() -> Vec<PoolSpec> {
    let both = |gpus, count| Resources { gpus, ..slots(count) };
    let (keeps, residence) = (|count| Some(slots(count).amounts), seconds(3));
    vec![
        PoolSpec { resources: both(1, 1), max: 3, ..spec("small") },
        PoolSpec {
            resources: both(1, 2),
            max: 2,
            asleep: keeps(1),
            idle_timeout: Some(seconds(5)),
            ..spec("sleeper")
        },
        PoolSpec { resources: both(4, 2), asleep: keeps(0), ..spec("large") },
        PoolSpec { resources: both(3, 1), idle_timeout: Some(seconds(2)), ..spec("three") },
        PoolSpec { resources: slots(6), min_residence: residence, eviction_cost: 5.0, ..spec("slots") },
        PoolSpec {
            resources: both(2, 3),
            asleep: keeps(3),
            max: 2,
            min_residence: residence,
            ..spec("keeper")
        },
    ]
}

struct World {
    machine: Machine,
    ids: Vec<PoolId>,
}

fn pick<T: Copy>(items: &[T], index: usize) -> Option<T> {
    (!items.is_empty()).then(|| items[index % items.len()])
}

impl World {
    fn new() -> Self {
        let mut machine = Machine::new(4, 6);
        let add = |(index, spec)| {
            let slo = (index % 2 == 0).then(|| seconds(4));
            machine.pool_with(spec, |offer| Offer { slo, idempotent: true, ..offer })
        };
        let ids = specs().into_iter().enumerate().map(add).collect();
        Self { machine, ids }
    }

    fn worker(&self, index: usize) -> Option<Worker> {
        let all: Vec<_> = self.machine.scaler.workers.keys().copied().collect();
        pick(&all, index).map(|id| self.machine.scaler.workers[&id].clone())
    }

    fn name(&self, index: usize) -> String {
        self.machine.scaler.spec(self.ids[index % self.ids.len()]).unwrap().name.clone()
    }

    fn happens(&mut self, event: &Event) {
        let pool = |index: usize| self.ids[index % self.ids.len()];
        let machine = &mut self.machine;
        match *event {
            Event::Ask { pool, shared } => {
                let query = if shared { query("type", "chat") } else { query("model", &self.name(pool)) };
                let now = self.machine.now();
                // What is refused does not matter here.
                let _ = self.machine.scheduler.submit(&Ask::new(&query), now);
            }
            Event::Wait(millis) => machine.millis += millis,
            Event::Progress(index) => {
                if let Some(worker) = self.worker(index) {
                    self.machine.progress(&worker);
                }
            }
            Event::Finish(index) => self.machine.finish(&self.name(index)),
            Event::Crash(index) => {
                if let Some(worker) = self.worker(index) {
                    let failed = self.machine.end(worker.id);
                    assert_eq!(failed.is_some(), worker.stage == Stage::Starting);
                }
            }
            Event::Recycle(index) => {
                if let Some(worker) = self.worker(index) {
                    self.machine.scaler.recycle(worker.id);
                }
            }
            Event::Hold(index, held) => machine.scaler.hold(pool(index), held),
            Event::Pin(index, pinned) => self.change(index, |spec| spec.pinned = pinned),
            Event::Limits(index, min, more) => {
                self.change(index, |spec| (spec.min, spec.max) = (min, min + more));
            }
            Event::OrderSleep(index) => machine.scaler.order_sleep(pool(index)),
            Event::OrderWake(index) => machine.scaler.order_wake(pool(index)),
            Event::Retire(index) => {
                let id = pool(index);
                if !machine.scaler.pools[&id].retiring {
                    machine.scheduler.close_pool(id);
                    machine.scaler.retire_pool(id);
                }
            }
        }
        self.machine.assign();
    }

    /// Changes what a pool was promised, if that fits.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut PoolSpec)) {
        let id = self.ids[index % self.ids.len()];
        let mut spec = self.machine.scaler.spec(id).unwrap().clone();
        change(&mut spec);
        let _ = self.machine.scaler.change_pool(id, spec);
    }

    /// Decides until there is nothing more to decide at this moment.
    fn decide(&mut self) {
        for round in 0.. {
            let before = self.machine.scaler.workers.clone();
            let decisions = self.machine.scaler.decide(&self.machine.scheduler, self.machine.now());
            rules::hold(&self.machine, &before, &decisions);
            for decision in &decisions {
                if matches!(decision.step, Step::Stop | Step::Sleep { .. }) {
                    self.machine.scheduler.pause(decision.worker);
                }
            }
            let next = self.machine.scaler.next_check(&self.machine.scheduler, self.machine.now());
            assert!(next.is_none_or(|next| next > self.machine.now()), "it would spin");
            if decisions.is_empty() {
                return;
            }
            assert!(round < 20, "it does not come to rest: {decisions:?}");
        }
    }

    /// From now on nothing fails and nobody interferes; the pressed pools are asked for all the time. Everybody who waits
    /// is served.
    fn finish(&mut self, pressed: &[bool]) {
        for index in 0..self.ids.len() {
            self.machine.scaler.hold(self.ids[index], false);
            self.change(index, |spec| (spec.pinned, spec.min) = (false, 0));
        }
        for index in 0..self.ids.len() {
            self.change(index, |spec| spec.max = spec.max.max(1));
        }
        let mut served = vec![false; self.ids.len()];
        for _ in 0..1000 {
            for (index, served) in served.iter_mut().enumerate() {
                let demand = self.machine.scheduler.demand(self.ids[index]);
                *served |= demand.waiting == 0;
                let open = !self.machine.scaler.pools[&self.ids[index]].retiring;
                if pressed[index] && open && demand.waiting < 4 {
                    let name = self.name(index);
                    let _ =
                        self.machine.scheduler.submit(&Ask::new(&query("model", &name)), self.machine.now());
                }
            }
            if served.iter().all(|&served| served) {
                break;
            }
            self.machine.millis += 500;
            for index in 0..self.ids.len() {
                self.machine.finish(&self.name(index));
            }
            self.machine.settle();
            self.decide();
            for (index, served) in served.iter_mut().enumerate() {
                *served |= self.machine.stages(&self.name(index)).contains(&Stage::Ready);
            }
        }
        assert!(served.iter().all(|&served| served), "{served:?}: {:#?}", self.machine.scaler);
        let workers: Vec<_> = self.machine.scaler.workers.keys().copied().collect();
        for worker in workers {
            self.machine.end(worker);
        }
        assert!(self.machine.scaler.budget().usage().all(|(_, _, taken)| taken == 0), "something is lost");
    }
}

proptest! {
    #[test]
    fn the_rules_hold_and_everybody_is_served(events in events(), pressed in any::<[bool; 6]>()) {
        let mut world = World::new();
        for event in &events {
            world.happens(event);
            world.decide();
        }
        world.finish(&pressed);
    }
}
