//! What others are told of the pools, their workers and their queues.

use std::time::Duration;

use anyserve_core::Capability;
use anyserve_core::scaler::{Phase, Stage};
use anyserve_core::scheduler::{OfferId, PoolId, Time};
use anyserve_proto::admin;
use anyserve_proto::inference::ModelStatistics;

use super::hello::Described;
use super::pools::PoolRecord;
use super::state::State;
use super::{DEFAULT_VERSION, Dispatcher};
use crate::failure::Failure;
use crate::telemetry::{self, PoolState, QueueState, Snapshot};

/// How many seconds ago.
fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// A capability as KServe's repository index lists it.
#[derive(Debug)]
pub(crate) struct ModelState {
    pub(crate) capability: Capability,
    pub(crate) state: &'static str,
    pub(crate) reason: String,
}

impl Dispatcher {
    /// The capabilities that are known.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        self.lock().catalog.iter().cloned().collect()
    }

    /// The names of the pools.
    pub(crate) fn pool_names(&self) -> Vec<String> {
        let state = self.lock();
        let open = state.pools.iter().filter(|&(&id, _)| !state.scheduler.is_closed(id));
        open.map(|(_, record)| record.name.clone()).collect()
    }

    /// How many workers take requests.
    pub(crate) fn ready_workers(&self) -> usize {
        self.lock().scheduler.ready_workers()
    }

    /// What is known of the capability behind a model name, and whether a request for it is served.
    pub(crate) fn describe(&self, name: &str, version: &str) -> Result<(Described, bool), Failure> {
        let found = self.lock().describe(name, version, self.now())?;
        let ready = found.iter().any(|(_, _, ready)| *ready);
        let (described, ..) = found.into_iter().next().ok_or(Failure::NoCapability)?;
        Ok((described, ready))
    }

    /// The pools behind a model name.
    pub(crate) fn pools_behind(&self, name: &str, version: &str) -> Result<Vec<PoolId>, Failure> {
        let found = self.lock().describe(name, version, self.now())?;
        let mut pools: Vec<_> = found.into_iter().map(|(_, offer, _)| offer.pool).collect();
        pools.dedup();
        Ok(pools)
    }

    /// What the capabilities behind a model name have served so far; of all, if it is empty.
    pub(crate) fn statistics(&self, name: &str, version: &str) -> Result<Vec<ModelStatistics>, Failure> {
        let mut state = self.lock();
        let version_of =
            |capability: &Capability| capability.get("version").unwrap_or(DEFAULT_VERSION).to_owned();
        if name.is_empty() {
            let listed = state.stats.capabilities().into_iter().zip(&state.stats.offers);
            let of = |(capability, stats): (Capability, _)| {
                telemetry::statistics(telemetry::listed_name(&capability), version_of(&capability), stats)
            };
            return Ok(listed.map(of).collect());
        }
        let found = state.describe(name, version, self.now())?;
        let mut listed: Vec<Capability> = Vec::new();
        let mut all = Vec::new();
        for (described, offer, _) in found {
            let capability = described.offer.capability;
            if !listed.contains(&capability) {
                let version = version_of(&capability);
                all.push(telemetry::statistics(name.to_owned(), version, state.stats.offer(offer)));
                listed.push(capability);
            }
        }
        Ok(all)
    }

    /// Every capability and the state it is in.
    pub(crate) fn index(&self) -> Vec<ModelState> {
        let now = self.now();
        let state = self.lock();
        let capabilities: Vec<_> = state.catalog.iter().cloned().collect();
        let model = |capability: Capability| {
            let pools = state.pools_of(&capability).map(|pool| state.pool_state(pool, now));
            // The best of them is what a client sees.
            let (_, state, reason) = pools
                .map(|(name, reason)| match name {
                    "ready" => (0, "READY", String::new()),
                    "starting" | "waking" => (1, "LOADING", name.to_owned()),
                    "draining" => (2, "UNLOADING", name.to_owned()),
                    _ => (3, "UNAVAILABLE", if reason.is_empty() { name.to_owned() } else { reason }),
                })
                .min()
                .unwrap_or((4, "UNAVAILABLE", "no pool serves it".to_owned()));
            ModelState { capability, state, reason }
        };
        capabilities.into_iter().map(model).collect()
    }

    /// All counts at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.lock().snapshot(self.now())
    }

    /// Everything that an operator sees.
    pub(crate) fn status(&self) -> admin::StatusResponse {
        let now = self.now();
        let state = self.lock();
        let resources = state.scaler.budget().usage().map(|(name, total, used)| admin::Resource {
            name: name.to_owned(),
            total,
            used,
        });
        admin::StatusResponse {
            uptime_seconds: seconds(now.0),
            draining: state.is_draining(),
            pools: state.pools.keys().map(|&id| state.status_of(id, now)).collect(),
            resources: resources.filter(|resource| resource.total > 0).collect(),
            ..Default::default()
        }
    }
}

impl State {
    /// What is known of the capabilities behind a model name, each with its offer and whether a request for it is served.
    fn describe(
        &self,
        name: &str,
        version: &str,
        now: Time,
    ) -> Result<Vec<(Described, OfferId, bool)>, Failure> {
        if name.is_empty() {
            return Err(Failure::NoCapability);
        }
        let query = self.catalog.query_for_model(name, version)?;
        let found: Vec<_> = self
            .scheduler
            .lookup(&query)
            .filter_map(|(id, ready)| {
                let described = self.pools.get(&id.pool)?.known.get(id.index)?.clone();
                let drains = self.is_draining() || self.pools.get(&id.pool)?.drains;
                let served = (ready || self.starts_on_demand(id.pool, now)) && !drains;
                Some((described, id, served))
            })
            .collect();
        if found.is_empty() {
            return Err(Failure::NoMatch(self.catalog.explain_no_match(&query)));
        }
        Ok(found)
    }

    /// How many pools take requests.
    pub(super) fn serving(&self, now: Time) -> usize {
        if self.is_draining() {
            return 0;
        }
        let serves = |&(&id, record): &(&PoolId, &PoolRecord)| {
            !record.drains && (self.has_ready(id) || self.starts_on_demand(id, now))
        };
        self.pools.iter().filter(serves).count()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let queues = self.stats.capabilities().into_iter().map(|capability| {
            let waiting = self.offers_with(&capability).map(|offer| self.scheduler.waiting_for(offer));
            let (waiting, since) = waiting.max_by_key(|&(waiting, _)| waiting).unwrap_or_default();
            QueueState::new(capability, waiting, since, now)
        });
        let pools = self.pools.iter().map(|(&id, record)| {
            let workers = self.scaler.workers_of(id).map(|worker| self.stage_of(worker));
            PoolState { name: record.name.clone(), workers: workers.collect() }
        });
        Snapshot {
            stats: self.stats.clone(),
            queues: queues.collect(),
            pools: pools.collect(),
            ready_workers: if self.is_draining() { 0 } else { self.scheduler.ready_workers() },
            worker_processes: self.members.values().filter_map(|member| member.process).collect(),
        }
    }

    fn status_of(&self, id: PoolId, now: Time) -> admin::Pool {
        let record = &self.pools[&id];
        let (state, reason) = self.pool_state(id, now);
        let demand = self.scheduler.demand(id);
        let spec = self.scaler.spec(id);
        let number = |pick: fn(&anyserve_core::scaler::PoolSpec) -> usize| {
            spec.map_or(0, |spec| u32::try_from(pick(spec)).unwrap_or(u32::MAX))
        };
        let workers: Vec<_> =
            self.scaler.workers_of(id).map(|worker| self.worker_status(worker, now)).collect();
        let (decided, decision) = record.decision.clone().unwrap_or_default();
        let (answered, first_response_seconds) = self.stats.first_responses(id);
        let names = record.known.iter().map(|described| described.offer.capability.to_string());
        admin::Pool {
            name: record.name.clone(),
            state: state.to_owned(),
            reason,
            capabilities: names.collect(),
            min: if record.learning { 0 } else { number(|spec| spec.min) },
            max: number(|spec| spec.max),
            pinned: spec.is_some_and(|spec| spec.pinned),
            waiting: demand.waiting as u64,
            oldest_wait_seconds: demand.oldest.map_or(0.0, |oldest| seconds(now.since(oldest))),
            running: workers.iter().map(|worker| worker.running).sum(),
            ended: record.ended,
            failed: record.failed,
            rate: record.rate.get(now),
            decision_age_seconds: if decision.is_empty() { 0.0 } else { seconds(now.since(decided)) },
            decision,
            workers,
            answered,
            first_response_seconds,
        }
    }

    fn worker_status(&self, worker: &anyserve_core::scaler::Worker, now: Time) -> admin::Worker {
        let member = self.members.get(&worker.id);
        let process = member.and_then(|member| member.process).unwrap_or_default();
        admin::Worker {
            id: worker.id.0,
            pid: process,
            state: self.stage_of(worker).to_owned(),
            state_age_seconds: seconds(now.since(worker.since)),
            running: self.scheduler.requests_of(worker.id) as u64,
            requests: member.map_or(0, |member| member.served),
            resident_memory: 0,
            // A worker that sleeps has given them back.
            gpus: if worker.stage == Stage::Asleep { Vec::new() } else { worker.grant.gpus.clone() },
        }
    }

    /// The state of a pool in a word, and why where that is not plain.
    fn pool_state(&self, id: PoolId, now: Time) -> (&'static str, String) {
        let stages: Vec<_> = self.scaler.workers_of(id).map(|worker| worker.stage).collect();
        let has = |stage: Stage| stages.contains(&stage);
        let drains = self.pools.get(&id).is_some_and(|record| record.drains);
        match self.scaler.phase(id, now) {
            _ if drains && !stages.is_empty() => ("draining", "it was drained".to_owned()),
            Phase::Held if stages.is_empty() => ("drained", "until it is scaled or loaded".to_owned()),
            Phase::Held => ("draining", "it was drained".to_owned()),
            Phase::Retiring => ("draining", "the configuration has changed".to_owned()),
            _ if has(Stage::Ready) => ("ready", String::new()),
            Phase::Failed { .. } => ("failed", self.failure_of(id)),
            Phase::Active if has(Stage::Starting) => ("starting", self.failure_of(id)),
            Phase::Active if has(Stage::Waking) => ("waking", String::new()),
            Phase::Active if has(Stage::Asleep) => ("asleep", String::new()),
            Phase::Active if has(Stage::FallingAsleep) => ("falling-asleep", String::new()),
            Phase::Active if has(Stage::Draining) => ("draining", String::new()),
            Phase::Active => ("idle", "no worker: a request starts one".to_owned()),
        }
    }

    fn failure_of(&self, id: PoolId) -> String {
        self.pools.get(&id).and_then(|record| record.failure.clone()).unwrap_or_default()
    }

    fn stage_of(&self, worker: &anyserve_core::scaler::Worker) -> &'static str {
        match worker.stage {
            Stage::Starting => "starting",
            Stage::Ready if self.scheduler.load(worker.id) > 0 => "busy",
            Stage::Ready => "ready",
            Stage::Draining => "draining",
            Stage::FallingAsleep => "falling-asleep",
            Stage::Asleep => "asleep",
            Stage::Waking => "waking",
        }
    }

    fn pools_of(&self, capability: &Capability) -> impl Iterator<Item = PoolId> {
        self.offers_with(capability).map(|offer| offer.pool)
    }

    /// The offers of pools that are open with exactly this capability.
    fn offers_with(&self, capability: &Capability) -> impl Iterator<Item = OfferId> {
        let open = self.pools.iter().filter(|&(&id, _)| !self.scheduler.is_closed(id));
        open.filter_map(move |(&pool, record)| {
            let same = move |described: &Described| described.offer.capability == *capability;
            record.known.iter().position(same).map(|index| OfferId { pool, index })
        })
    }
}
