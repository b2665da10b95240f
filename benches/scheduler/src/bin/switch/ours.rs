//! What anyserve does: its scheduler and its scaler, with workers that are only times.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use anyserve_core::scaler::{Budget, PoolSpec, Resources, Step};
use anyserve_core::scheduler::{Ask, Offer, PoolId, RequestId, Time, WorkerId};
use anyserve_core::{Capability, Query, Scaler, Scheduler, Value};

use crate::model::{Request, Setting};
use crate::outcome::Outcome;

/// How often is looked again while something waits, as the agent does.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The agent's default.
const MIN_RESIDENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End(WorkerId, RequestId),
    FirstResponse(RequestId),
    Ready(WorkerId),
    Gone(WorkerId),
    Arrival(usize),
    Look,
}

struct Machine<'a> {
    setting: &'a Setting,
    requests: &'a [Request],
    now: Time,
    scheduler: Scheduler,
    scaler: Scaler,
    pools: Vec<PoolId>,
    queries: Vec<Query>,
    indexes: HashMap<RequestId, usize>,
    stopping: BTreeSet<WorkerId>,
    looks_at: Option<Time>,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    outcome: Outcome,
}

pub(crate) fn run(setting: &Setting, requests: &[Request]) -> Outcome {
    let mut machine = Machine::new(setting, requests);
    while let Some(Reverse((now, event))) = machine.events.pop() {
        machine.now = now;
        machine.happened(event);
        machine.decide();
        machine.assign();
    }
    machine.outcome
}

pub(crate) fn name(model: usize) -> Value {
    Value::from(format!("model-{model}").as_str())
}

pub(crate) fn spec(name: &str) -> PoolSpec {
    PoolSpec {
        name: name.to_owned(),
        min: 0,
        max: 1,
        resources: Resources { gpus: 0, amounts: [("slots".to_owned(), 1)].into() },
        asleep: None,
        idle_timeout: None,
        min_residence: Duration::ZERO,
        eviction_cost: 1.0,
        pinned: false,
    }
}

impl<'a> Machine<'a> {
    fn new(setting: &'a Setting, requests: &'a [Request]) -> Self {
        let arrivals = requests.iter().enumerate();
        let events = arrivals.map(|(index, request)| Reverse((Time(request.arrival), Event::Arrival(index))));
        let mut scheduler = Scheduler::new(usize::MAX);
        let mut scaler = Scaler::new(Budget::new([], [("slots".to_owned(), setting.room as u64)].into()));
        let pools = (0..setting.models).map(|model| {
            let capability = Capability::new([("model", name(model))]).expect("the key is fine");
            let slo = Some(setting.scaled(setting.slo));
            let pool = scheduler.add_pool(vec![Offer { slo, stream: true, ..Offer::new(capability) }]);
            let min_residence = setting.scaled(MIN_RESIDENCE);
            let spec = PoolSpec { min_residence, ..spec(&format!("model-{model}")) };
            scaler.add_pool(pool, spec).expect("one of them fits");
            pool
        });
        let pools = pools.collect();
        let queries =
            (0..setting.models).map(|model| Query::new([("model", name(model))]).expect("as above"));
        Self {
            setting,
            requests,
            now: Time::default(),
            scheduler,
            scaler,
            pools,
            queries: queries.collect(),
            indexes: HashMap::new(),
            stopping: BTreeSet::new(),
            looks_at: None,
            events: events.collect(),
            outcome: Outcome::new(requests.len()),
        }
    }

    fn happened(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Arrival(index) => {
                let query = &self.queries[self.requests[index].model];
                let ask = Ask { takes_stream: true, ..Ask::new(query) };
                self.indexes.extend(self.scheduler.submit(&ask, now).map(|id| (id, index)));
            }
            Event::FirstResponse(id) => self.scheduler.responded(id, now),
            Event::End(worker, id) => {
                self.scheduler.complete(worker, id, now);
                self.indexes.remove(&id);
                self.unload(worker);
            }
            Event::Ready(id) => {
                if let Some(pool) = self.scaler.worker(id).map(|worker| worker.pool) {
                    self.scheduler.worker_ready(id, pool, self.setting.parallel, now);
                    self.scaler.ready(id, now);
                }
            }
            Event::Gone(worker) => {
                self.scheduler.worker_gone(worker, 0);
                self.scaler.gone(worker, now);
            }
            // An earlier one that a sooner one has replaced is of no account.
            Event::Look => self.looks_at = self.looks_at.filter(|&looks_at| looks_at > now),
        }
    }

    fn decide(&mut self) {
        for decision in self.scaler.decide(&self.scheduler, self.now) {
            match decision.step {
                Step::Start(_) => {
                    debug_assert!(self.pools.contains(&decision.pool));
                    self.outcome.loads += 1;
                    self.after(self.setting.load, Event::Ready(decision.worker));
                }
                Step::Stop => {
                    self.scheduler.pause(decision.worker);
                    self.stopping.insert(decision.worker);
                    self.unload(decision.worker);
                }
                Step::Sleep { .. } | Step::Wake => unreachable!("these workers cannot sleep"),
            }
        }
        let again = (self.scheduler.waiting() > 0).then(|| self.now.plus(LOOK_AGAIN));
        let next = self.scaler.next_check(&self.scheduler, self.now).into_iter().chain(again).min();
        if let Some(next) = next.filter(|&next| self.looks_at.is_none_or(|looks_at| next < looks_at)) {
            self.looks_at = Some(next);
            self.events.push(Reverse((next, Event::Look)));
        }
    }

    /// Unloads a worker that is to stop, if it has nothing to do.
    fn unload(&mut self, worker: WorkerId) {
        if self.stopping.contains(&worker) && self.scheduler.load(worker) == 0 {
            self.stopping.remove(&worker);
            self.after(self.setting.unload, Event::Gone(worker));
        }
    }

    fn assign(&mut self) {
        while let Some(given) = self.scheduler.next(self.now) {
            for id in given.requests {
                let index = self.indexes[&id];
                let request = &self.requests[index];
                let wait = self.now.since(Time(request.arrival));
                self.outcome.waits[index] = Some(wait + request.prefill);
                self.events.push(Reverse((self.now.plus(request.prefill), Event::FirstResponse(id))));
                self.events.push(Reverse((self.now.plus(request.service), Event::End(given.worker, id))));
            }
        }
    }

    fn after(&mut self, time: Duration, event: Event) {
        self.events.push(Reverse((self.now.plus(self.setting.scaled(time)), event)));
    }
}
