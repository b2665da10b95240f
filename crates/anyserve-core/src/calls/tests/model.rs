//! Every small world, tried to its end: a call is stuck if no turn of events ends it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::world::{Pool, World};
use crate::calls::CallId;
use crate::scheduler::{RequestId, WorkerId};

/// What may come of a world: who runs where, who waits, which calls have ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Course {
    /// The pool of each worker.
    workers: BTreeMap<u64, usize>,
    /// The worker and the batch of each running request.
    running: BTreeMap<u64, (u64, u64)>,
    waiting: BTreeSet<u64>,
    ended: BTreeSet<CallId>,
}

/// What does not change.
struct Facts<'a> {
    pools: &'a [Pool],
    units: usize,
    /// The pools that each waiting request may run in.
    offers: BTreeMap<u64, Vec<usize>>,
    /// The calls that each request has made, and the request that each call is.
    made: BTreeMap<u64, Vec<CallId>>,
    is: BTreeMap<CallId, Option<u64>>,
}

impl Facts<'_> {
    /// Whatever may happen next.
    fn next(&self, course: &Course) -> Vec<Course> {
        let mut found = Vec::new();
        for (&call, &request) in &self.is {
            let done = request.is_none_or(|request| {
                !course.running.contains_key(&request) && !course.waiting.contains(&request)
            });
            if done && !course.ended.contains(&call) {
                let mut next = course.clone();
                next.ended.insert(call);
                found.push(next);
            }
        }
        for &request in course.running.keys() {
            // It goes on once any of its calls is answered.
            let calls = self.made.get(&request);
            if calls.is_none_or(|calls| calls.iter().any(|call| course.ended.contains(call))) {
                let mut next = course.clone();
                next.running.remove(&request);
                found.push(next);
            }
        }
        for &request in &course.waiting {
            for (&worker, pool) in &course.workers {
                if self.offers[&request].contains(pool) && self.has_slot(course, worker, *pool) {
                    let mut next = course.clone();
                    next.waiting.remove(&request);
                    next.running.insert(request, (worker, request));
                    found.push(next);
                }
            }
        }
        for (index, pool) in self.pools.iter().enumerate() {
            let count = course.workers.values().filter(|&&pool| pool == index).count();
            if count < pool.max && (self.units == 0 || course.workers.len() < self.units) {
                let mut next = course.clone();
                let free = (10_000..20_000).find(|number| !course.workers.contains_key(number)).unwrap();
                next.workers.insert(free, index);
                found.push(next);
            }
        }
        for &worker in course.workers.keys() {
            if course.running.values().all(|&(busy, _)| busy != worker) {
                let mut next = course.clone();
                next.workers.remove(&worker);
                found.push(next);
            }
        }
        found
    }

    fn has_slot(&self, course: &Course, worker: u64, pool: usize) -> bool {
        let here = course.running.values().filter(|&&(other, _)| other == worker);
        let load = here.map(|&(_, batch)| batch).collect::<BTreeSet<_>>().len();
        load < self.pools[pool].limit.unwrap_or(usize::MAX).min(self.pools[pool].concurrency)
    }

    /// The calls that end in some course of events.
    fn endable(&self, start: Course) -> BTreeSet<CallId> {
        let (mut seen, mut open, mut ended) = (HashSet::new(), vec![start], BTreeSet::new());
        while let Some(course) = open.pop() {
            if ended.len() == self.is.len() {
                break;
            }
            ended.extend(course.ended.iter().copied());
            if seen.insert(course.clone()) {
                open.extend(self.next(&course));
            }
        }
        ended
    }
}

#[derive(Clone, Debug)]
struct Sketch {
    pools: Vec<(usize, usize, bool)>,
    workers: Vec<usize>,
    units: usize,
    /// The worker, and whether two requests share the slot.
    running: Vec<(usize, bool)>,
    /// By whom, and which pools may serve it; or none for a call elsewhere; or it runs on a worker.
    calls: Vec<(usize, u8, bool)>,
    runs: Vec<Option<usize>>,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let pools = proptest::collection::vec((1..3_usize, 0..3_usize, any::<bool>()), 1..3);
    let workers = proptest::collection::vec(any::<usize>(), 1..4);
    let running = proptest::collection::vec((any::<usize>(), any::<bool>()), 1..4);
    let calls = proptest::collection::vec((any::<usize>(), 0..4_u8, any::<bool>()), 1..5);
    let runs = proptest::collection::vec(proptest::option::of(any::<usize>()), 5);
    (pools, workers, 0..4_usize, running, calls, runs).prop_map(
        |(pools, workers, units, running, calls, runs)| Sketch {
            pools,
            workers,
            units,
            running,
            calls,
            runs,
        },
    )
}

/// A world of that kind, as far as there are slots for it.
fn build(sketch: &Sketch) -> World {
    let pools = sketch.pools.iter().map(|&(concurrency, max, limited)| Pool {
        concurrency,
        max,
        limit: limited.then_some(1),
    });
    let count = sketch.pools.len();
    let mut world = World::new(pools.collect(), sketch.units);
    let workers: Vec<_> = sketch.workers.iter().map(|worker| world.add_worker(worker % count)).collect();
    // Those that are there have their units.
    world.units = if sketch.units == 0 { 0 } else { sketch.units.max(workers.len()) };
    let free = |world: &World, worker: WorkerId| {
        let pool = &world.pools[world.workers[&worker]];
        world.load(worker) < pool.limit.unwrap_or(usize::MAX).min(pool.concurrency)
    };
    let mut callers = Vec::new();
    for &(worker, twins) in &sketch.running {
        let worker = workers[worker % workers.len()];
        if free(&world, worker) {
            callers.extend(world.run_batch(worker, 1 + usize::from(twins)));
        }
    }
    for (&(caller, offers, both), runs) in sketch.calls.iter().zip(&sketch.runs) {
        let caller = callers[caller % callers.len()];
        let others: Vec<_> =
            callers.iter().copied().filter(|other| world.running[other] == world.running[&caller]).collect();
        let by = if both { others } else { vec![caller] };
        let pools: Vec<_> = (0..count).filter(|pool| offers & (1 << pool) != 0).collect();
        let worker = runs.map(|worker| workers[worker % workers.len()]);
        if let Some(worker) = worker.filter(|&worker| free(&world, worker)) {
            callers.push(world.call_that_runs(&by, worker).1);
        } else if pools.is_empty() {
            world.call_elsewhere(&by);
        } else {
            world.call(&by, &pools);
        }
    }
    world
}

fn facts(world: &World) -> (Facts<'_>, Course) {
    let of = |request: &RequestId| request.0;
    let index = |offer: &crate::scheduler::OfferId| offer.pool.index();
    let offers =
        world.waiting.iter().map(|(request, offers)| (of(request), offers.iter().map(index).collect()));
    let mut made = BTreeMap::<u64, Vec<CallId>>::new();
    let mut is = BTreeMap::new();
    for (&id, call) in &world.calls.open {
        is.insert(id, call.request.as_ref().map(of));
        call.callers.iter().for_each(|caller| made.entry(caller.0).or_default().push(id));
    }
    let course = Course {
        workers: world.workers.iter().map(|(worker, &pool)| (worker.0, pool)).collect(),
        running: world.running.iter().map(|(id, seat)| (id.0, (seat.worker.0, seat.sequence))).collect(),
        waiting: world.waiting.keys().map(of).collect(),
        ended: BTreeSet::new(),
    };
    (Facts { pools: &world.pools, units: world.units, offers: offers.collect(), made, is }, course)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_no_turn_of_events_ends_is_stuck(sketch in sketch()) {
        let mut world = build(&sketch);
        let (facts, start) = facts(&world);
        let endable = facts.endable(start);
        let stuck: BTreeSet<_> = facts.is.keys().copied().filter(|call| !endable.contains(call)).collect();
        prop_assert_eq!(&world.calls.stuck(&world).calls, &stuck);
        // A glance never sees room where there is none.
        for &call in &stuck {
            let waits = world.calls.request(call).is_some_and(|request| world.waiting.contains_key(&request));
            prop_assert!(!waits || !world.calls.has_room(call, &world));
        }
        // With the calls failed that are named, nobody waits for ever.
        while let Some(call) = world.calls.circle(&world) {
            prop_assert!(world.calls.stuck(&world).calls.contains(&call));
            let request = world.calls.request(call).unwrap();
            prop_assert!(world.waiting.remove(&request).is_some());
            world.calls.ended(call);
        }
        prop_assert!(world.calls.stuck(&world).callers.is_empty());
    }
}
