//! What the tests share: a machine whose workers do what they are told, when the test says so.

mod amounts;
mod evicting;
mod hoping;
mod orders;
mod property;
mod queues;
mod rules;
mod sharing;
mod sleeping;
mod starting;
mod stopping;
mod turns;

use std::collections::BTreeMap;

use super::*;
use crate::scheduler::{Ask, Offer, RequestId};
use crate::{Capability, Query, Scheduler, Value};

pub(super) fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn query(key: &str, value: &str) -> Query {
    Query::new([(key, Value::from(value))]).unwrap()
}

/// An offer of a model, also of the type `chat`.
pub(super) fn offer(name: &str) -> Offer {
    Offer::new(Capability::new([("type", "chat".into()), ("model", Value::from(name))]).unwrap())
}

pub(super) fn slots(count: u64) -> Resources {
    Resources { gpus: 0, amounts: [("slots".to_owned(), count)].into() }
}

pub(super) fn gpus(count: usize) -> Resources {
    Resources { gpus: count, amounts: Amounts::new() }
}

/// One slot, at most one worker, nothing else.
pub(super) fn spec(name: &str) -> PoolSpec {
    PoolSpec {
        name: name.to_owned(),
        min: 0,
        max: 1,
        resources: slots(1),
        asleep: None,
        idle_timeout: None,
        min_residence: Duration::ZERO,
        eviction_cost: 1.0,
        pinned: false,
    }
}

/// A scheduler and a scaler, and the workers as the agent knows them.
pub(super) struct Machine {
    pub(super) scheduler: Scheduler,
    pub(super) scaler: Scaler,
    pub(super) millis: u64,
    pub(super) pools: BTreeMap<String, PoolId>,
    /// The requests that workers have.
    pub(super) running: BTreeMap<RequestId, WorkerId>,
}

impl Machine {
    pub(super) fn new(gpus: u32, slots: u64) -> Self {
        let budget = Budget::new(0..gpus, [("slots".to_owned(), slots)].into());
        let (scheduler, scaler) = (Scheduler::new(100_000), Scaler::new(budget));
        Self { scheduler, scaler, millis: 0, pools: BTreeMap::new(), running: BTreeMap::new() }
    }

    pub(super) fn now(&self) -> Time {
        at(self.millis)
    }

    pub(super) fn pool(&mut self, spec: PoolSpec) -> PoolId {
        self.pool_with(spec, |offer| offer)
    }

    pub(super) fn pool_with(&mut self, spec: PoolSpec, change: impl Fn(Offer) -> Offer) -> PoolId {
        let id = self.scheduler.add_pool(vec![change(offer(&spec.name))]);
        self.pools.insert(spec.name.clone(), id);
        self.scaler.add_pool(id, spec).unwrap();
        id
    }

    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut PoolSpec)) {
        let id = self.pools[name];
        let mut spec = self.scaler.spec(id).unwrap().clone();
        change(&mut spec);
        self.scaler.change_pool(id, spec).unwrap();
    }

    pub(super) fn ask(&mut self, query: &Query) -> RequestId {
        self.scheduler.submit(&Ask::new(query), self.now()).unwrap()
    }

    pub(super) fn ask_for(&mut self, model: &str) -> RequestId {
        self.ask(&query("model", model))
    }

    /// What is decided now, each as `start chat: why`.
    pub(super) fn decide(&mut self) -> Vec<String> {
        let decisions = self.scaler.decide(&self.scheduler, self.now());
        let text = |decision: &Decision| {
            let name = &self.scaler.spec(decision.pool).unwrap().name;
            let step = match &decision.step {
                Step::Start(_) => "start",
                Step::Stop => "stop",
                Step::Sleep { .. } => "sleep",
                Step::Wake => "wake",
            };
            format!("{step} {name}: {}", decision.reason)
        };
        let texts = decisions.iter().map(text).collect();
        for decision in decisions {
            if matches!(decision.step, Step::Stop | Step::Sleep { .. }) {
                self.scheduler.pause(decision.worker);
            }
        }
        texts
    }

    /// The same after so many milliseconds.
    pub(super) fn decide_after(&mut self, millis: u64) -> Vec<String> {
        self.millis += millis;
        self.decide()
    }

    /// The newest worker of a pool.
    pub(super) fn newest(&self, name: &str) -> Option<WorkerId> {
        self.scaler.workers_of(self.pools[name]).last().map(|worker| worker.id)
    }

    pub(super) fn stages(&self, name: &str) -> Vec<Stage> {
        self.scaler.workers_of(self.pools[name]).map(|worker| worker.stage).collect()
    }

    /// What was begun ends: starts, waking, and, where nothing is left to finish, falling asleep and stopping.
    pub(super) fn settle(&mut self) {
        self.settle_if(|_| true);
    }

    pub(super) fn settle_but_starts(&mut self) {
        self.settle_if(|worker| worker.stage != Stage::Starting);
    }

    fn settle_if(&mut self, which: impl Fn(&Worker) -> bool) {
        let workers: Vec<_> = self.scaler.workers.values().filter(|worker| which(worker)).cloned().collect();
        for worker in workers {
            self.progress(&worker);
        }
        self.assign();
    }

    /// A worker gets where it is going, if it has nothing left to finish.
    pub(super) fn progress(&mut self, worker: &Worker) {
        let (now, idle) = (self.now(), self.scheduler.load(worker.id) == 0);
        match worker.stage {
            Stage::Starting => {
                self.scheduler.worker_ready(worker.id, worker.pool, 2, now);
                self.scaler.ready(worker.id, now);
            }
            Stage::Waking => {
                self.scheduler.resume(worker.id);
                self.scaler.awake(worker.id, now);
            }
            Stage::FallingAsleep if idle => self.scaler.asleep(worker.id, now),
            Stage::Draining if idle => _ = self.end(worker.id),
            _ => {}
        }
    }

    /// A worker's process ends.
    pub(super) fn end(&mut self, worker: WorkerId) -> Option<u32> {
        self.scheduler.worker_gone(worker, u64::MAX);
        self.running.retain(|_, holder| *holder != worker);
        self.scaler.gone(worker, self.now())
    }

    pub(super) fn assign(&mut self) {
        while let Some(given) = self.scheduler.next(self.now()) {
            self.running.extend(given.requests.into_iter().map(|request| (request, given.worker)));
        }
    }

    /// All requests that workers of a pool have end.
    pub(super) fn finish(&mut self, name: &str) {
        let id = self.pools[name];
        let own = |worker: &WorkerId| self.scaler.worker(*worker).is_some_and(|worker| worker.pool == id);
        let own: Vec<_> = self.running.iter().filter(|(_, worker)| own(worker)).map(|(&id, _)| id).collect();
        for request in own {
            let worker = self.running.remove(&request).unwrap();
            self.scheduler.complete(worker, request, self.now()).unwrap();
        }
        self.assign();
    }

    /// Gets a worker of a pool ready, by a request that is then finished.
    pub(super) fn bring_up(&mut self, name: &str) {
        self.ask_for(name);
        self.decide();
        self.millis += 1000;
        self.settle();
        self.finish(name);
        assert_eq!(self.stages(name).last(), Some(&Stage::Ready), "there is room for {name}");
    }

    /// How much of a resource is taken.
    pub(super) fn taken(&self, name: &str) -> u64 {
        self.scaler.budget().usage().find(|(found, _, _)| *found == name).unwrap().2
    }
}
