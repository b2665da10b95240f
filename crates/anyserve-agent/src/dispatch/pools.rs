//! The pools: what they serve, and what becomes of those that wait for them.

use std::sync::Arc;
use std::time::Duration;

use anyserve_core::scaler::{MOST_FAILED_STARTS, Misfit, Phase, PoolSpec, Stage};
use anyserve_core::scheduler::{Offer, Orphan, PoolId, RequestId, Time, WorkerId};
use anyserve_core::{Capability, Catalog};
use anyserve_proto::worker::PoolOptions;

use super::hello::{Declaration, Described, HelloError};
use super::link::Link;
use super::rate::Rate;
use super::state::State;
use crate::failure::Failure;
use crate::fleet::{Settings, spec};
use crate::worker::WorkerExit;

/// How many capabilities are listed for a request that nothing serves any more.
const MOST_LISTED: usize = 5;

/// The eviction cost of a pool that has a successor.
const WORTHLESS: f64 = 1e-6;

/// What is known of a pool.
#[derive(Debug)]
pub(super) struct PoolRecord {
    pub(super) name: String,
    /// What was said of it, by the file and the application.
    pub(super) options: PoolOptions,
    pub(super) settings: Arc<Settings>,
    /// What its workers serve; empty until that is known.
    pub(super) known: Vec<Described>,
    /// What it serves is only what a worker said before this agent's time.
    pub(super) tentative: bool,
    /// The operator drains it: it takes no new requests, and has no workers once nothing waits for it.
    pub(super) drains: bool,
    /// A worker is started only to find that out.
    pub(super) learning: bool,
    /// The last decision, and when it was taken.
    pub(super) decision: Option<(Time, String)>,
    /// Why its last worker could not be started.
    pub(super) failure: Option<String>,
    /// Requests that its workers had and that have ended, and those of them that failed.
    pub(super) ended: u64,
    pub(super) failed: u64,
    pub(super) rate: Rate,
}

/// What a pool is made of.
#[derive(Debug)]
pub(crate) struct NewPool {
    pub(crate) name: String,
    pub(crate) options: PoolOptions,
    pub(crate) settings: Settings,
    pub(crate) known: Vec<Described>,
    /// What is known is from an earlier time, and a worker may say otherwise.
    pub(crate) tentative: bool,
    pub(crate) sleeps: bool,
    /// It takes the place of a pool that has workers: it needs one though nothing waits for it.
    pub(crate) starts_at_once: bool,
}

impl State {
    /// Adds a pool. What nobody knows of it, its first worker has to say.
    pub(super) fn add_pool(&mut self, pool: NewPool) -> Result<PoolId, Misfit> {
        let NewPool { name, options, settings, known, tentative, sleeps, starts_at_once } = pool;
        let known: Vec<_> = known.into_iter().map(|described| with_slo(described, settings.slo)).collect();
        let id = self.scheduler.add_pool(Vec::new());
        let mut spec = spec(&name, &options, sleeps);
        let learning = known.is_empty() && spec.min == 0;
        spec.min = spec.min.max(usize::from(learning || starts_at_once));
        spec.max = spec.max.max(spec.min);
        if let Err(misfit) = self.scaler.add_pool(id, spec) {
            self.scheduler.close_pool(id);
            return Err(misfit);
        }
        let settings = Arc::new(settings);
        let record = PoolRecord {
            name,
            options,
            settings,
            known: Vec::new(),
            tentative,
            drains: false,
            learning,
            decision: None,
            failure: None,
            ended: 0,
            failed: 0,
            rate: Rate::default(),
        };
        self.pools.insert(id, record);
        self.know(id, known);
        self.undecided = true;
        Ok(id)
    }

    /// A worker has loaded its application.
    pub(super) fn worker_ready(
        &mut self,
        worker: WorkerId,
        declaration: Declaration,
        mut link: Link,
        now: Time,
    ) -> Result<(), HelloError> {
        let Some(pool) = self.members.get(&worker).map(|member| member.pool) else {
            return Ok(());
        };
        let Declaration { capabilities, concurrency, sleeps } = declaration;
        link.set_capabilities(self.take_up(pool, capabilities, sleeps, now)?);
        if let Some(member) = self.members.get_mut(&worker) {
            member.ready(link);
        }
        self.scheduler.worker_ready(worker, pool, concurrency, now);
        self.scaler.ready(worker, now);
        // It may have been told to stop while it started.
        let stops = self.members.get(&worker).is_some_and(|member| member.stop.is_cancelled());
        if stops || self.settling.contains(&worker) {
            self.scheduler.pause(worker);
        }
        if let Some(record) = self.pools.get_mut(&pool) {
            record.failure = None;
        }
        self.undecided = true;
        Ok(())
    }

    /// Takes up what a worker says it serves; returns the worker's own index of each capability.
    fn take_up(
        &mut self,
        pool: PoolId,
        capabilities: Vec<Described>,
        sleeps: bool,
        now: Time,
    ) -> Result<Vec<u32>, HelloError> {
        let Some(record) = self.pools.get_mut(&pool) else {
            return Ok(Vec::new());
        };
        let slo = record.settings.slo;
        let capabilities = capabilities.into_iter().map(|described| with_slo(described, slo)).collect();
        let (ordered, indexes) = in_order_of(&record.known, capabilities);
        let same =
            |(known, found): (&Described, &Described)| known.offer.capability == found.offer.capability;
        let firm = !record.known.is_empty() && !std::mem::take(&mut record.tentative);
        if firm && (record.known.len() != ordered.len() || !record.known.iter().zip(&ordered).all(same)) {
            let (found, expected) = (list(&ordered), list(&record.known));
            return Err(HelloError::Changed { found, expected });
        }
        if record.known != ordered {
            let offers = offers(&ordered);
            let (found, expected) = (list(&ordered), list(&record.known));
            let unserved = self.scheduler.set_offers(pool, offers);
            let unserved = unserved.ok_or(HelloError::Changed { found, expected })?;
            self.set_known(pool, ordered);
            let streams = self.pools.get(&pool).and_then(PoolRecord::first_stream);
            self.end_unserved(unserved, streams.as_ref(), now);
        }
        let Some(record) = self.pools.get_mut(&pool) else {
            return Ok(indexes);
        };
        record.learning = false;
        self.set_spec(pool, sleeps);
        Ok(indexes)
    }

    /// The pool gives way to its successor: it keeps the workers it has until the successor needs their place. Returns
    /// whether it has any.
    pub(super) fn supersede(&mut self, id: PoolId) -> bool {
        let workers = self.scaler.workers_of(id).count();
        if let Some(spec) = self.scaler.spec(id).cloned() {
            let spec = PoolSpec {
                min: 0,
                max: workers,
                pinned: false,
                min_residence: Duration::ZERO,
                eviction_cost: WORTHLESS,
                ..spec
            };
            // It takes less than before.
            let _ = self.scaler.change_pool(id, spec);
        }
        self.scaler.set_superseded(id, true);
        workers > 0
    }

    /// The pool is run as its options say: what held while another took its place, or it took another's, is over.
    pub(super) fn settle_in(&mut self, id: PoolId) {
        let sleeps = self.scaler.spec(id).is_some_and(|spec| spec.asleep.is_some());
        self.scaler.set_superseded(id, false);
        self.set_spec(id, sleeps);
        self.undecided = true;
    }

    fn set_spec(&mut self, id: PoolId, sleeps: bool) {
        if let Some(record) = self.pools.get(&id) {
            let mut spec = spec(&record.name, &record.options, sleeps);
            spec.min = spec.min.max(usize::from(record.learning));
            if let Err(misfit) = self.scaler.change_pool(id, spec) {
                tracing::error!(pool = record.name, "{misfit}");
            }
        }
    }

    /// A worker's process has ended, and `claimed` is the sequence number of the last assignment that it started. Returns
    /// how many starts of its pool have failed in a row, this one included; none if it had been ready.
    pub(super) fn worker_gone(
        &mut self,
        worker: WorkerId,
        claimed: u64,
        exit: &WorkerExit,
        words: &str,
        now: Time,
    ) -> Option<u32> {
        let member = self.members.remove(&worker)?;
        self.settling.retain(|&settling| settling != worker);
        self.callers_gone(worker);
        for orphan in self.scheduler.worker_gone(worker, claimed) {
            match orphan {
                Orphan::Requeued(request) => self.unassign(request),
                Orphan::Lost(request) => self.end(request, Err(Failure::WorkerLost(exit.to_string())), now),
            }
        }
        let unserved = self.scheduler.take_unserved();
        self.end_unserved(unserved, None, now);
        self.undecided = true;
        let failures = self.scaler.gone(worker, now)?;
        if matches!(exit, WorkerExit::Stopped | WorkerExit::Declared(_)) {
            return None;
        }
        if let Some(record) = self.pools.get_mut(&member.pool) {
            record.failure = Some(with_last_words(exit, words));
        }
        if self.hopeless(&[member.pool], now).is_some() {
            self.fail_waiting(member.pool, now);
        }
        Some(failures)
    }

    /// Ends what waits for a pool that cannot have a worker, unless another pool may serve it.
    fn fail_waiting(&mut self, pool: PoolId, now: Time) {
        for request in self.scheduler.waiting_in(pool) {
            let pools: Vec<_> = self.scheduler.pools_for(request).collect();
            if let Some(failure) = self.hopeless(&pools, now) {
                self.end(request, Err(failure), now);
                self.scheduler.cancel(request);
            }
        }
    }

    /// Why nothing is to be hoped of these pools, none of which has a worker that is ready; none if there is hope.
    pub(super) fn hopeless(&self, pools: &[PoolId], now: Time) -> Option<Failure> {
        let mut why = None;
        for &pool in pools {
            let name = || self.pools.get(&pool).map_or_else(String::new, |record| record.name.clone());
            let ready = self.scaler.workers_of(pool).any(|worker| worker.stage == Stage::Ready);
            let gives_up = self.scaler.failed_starts(pool) >= MOST_FAILED_STARTS;
            why = Some(match self.scaler.phase(pool, now) {
                _ if ready => return None,
                Phase::Retiring if gives_up => {
                    let failure = self.pools.get(&pool).and_then(|record| record.failure.clone());
                    Failure::PoolGone { pool: name(), failure: failure.unwrap_or_default() }
                }
                Phase::Active | Phase::Retiring => return None,
                // Another start is due.
                Phase::Failed { again_in } if again_in.is_zero() => return None,
                Phase::Failed { again_in } => {
                    let again_in =
                        Duration::from_millis(u64::try_from(again_in.as_millis()).unwrap_or(u64::MAX));
                    let failure = self.pools.get(&pool).and_then(|record| record.failure.clone());
                    Failure::PoolFailed { pool: name(), failure: failure.unwrap_or_default(), again_in }
                }
                Phase::Held => Failure::PoolDrained(name()),
            });
        }
        why
    }

    /// The failure of a request that only pools could serve which are being drained.
    pub(super) fn drained(&self, request: RequestId) -> Option<Failure> {
        let drains = |pool| self.pools.get(&pool).filter(|record| record.drains);
        let mut pools = self.scheduler.pools_for(request).map(drains);
        let first = pools.next()??;
        pools.all(|pool| pool.is_some()).then(|| Failure::PoolDrained(first.name.clone()))
    }

    /// Lets the workers of drained pools go once nothing waits that only such pools could serve; what a stopping worker
    /// gives back has them start again.
    pub(super) fn drain_pools(&mut self) {
        let ids: Vec<_> = self.pools.iter().filter(|(_, record)| record.drains).map(|(&id, _)| id).collect();
        for id in ids {
            let done = !self.scheduler.waiting_in(id).into_iter().any(|request| self.needs_drained(request));
            if done != self.scaler.is_held(id) {
                self.scaler.hold(id, done);
            }
        }
    }

    /// Whether no pool can serve a request but those that are being drained, or go.
    fn needs_drained(&self, request: RequestId) -> bool {
        let goes = |pool: PoolId| {
            self.scheduler.is_closed(pool) || self.pools.get(&pool).is_none_or(|record| record.drains)
        };
        self.scheduler.pools_for(request).all(goes)
    }

    /// A changed configuration has no place for the pool, or another pool has it.
    pub(super) fn retire_pool(&mut self, id: PoolId) {
        self.scheduler.close_pool(id);
        self.scaler.retire_pool(id);
        self.rebuild_catalog();
        self.undecided = true;
    }

    /// Forgets the pools that nothing needs any more.
    pub(super) fn sweep(&mut self) {
        let spent =
            |&&id: &&PoolId| self.scheduler.is_spent(id) && self.scaler.workers_of(id).next().is_none();
        let spent: Vec<_> = self.pools.keys().filter(spent).copied().collect();
        for id in spent {
            self.scheduler.remove_pool(id);
            self.scaler.remove_pool(id);
            self.pools.remove(&id);
        }
    }

    /// Whether a request for that pool is served though no worker is ready: one is started then.
    pub(super) fn starts_on_demand(&self, id: PoolId, now: Time) -> bool {
        let known = self.pools.get(&id).is_some_and(|record| !record.known.is_empty() && !record.learning);
        let spec = self.scaler.spec(id);
        let on_demand = spec.is_some_and(|spec| spec.min == 0 && spec.max > 0);
        let sleeps = |stage| matches!(stage, Stage::Asleep | Stage::FallingAsleep | Stage::Waking);
        let wakes = self.scaler.workers_of(id).any(|worker| sleeps(worker.stage));
        known && (on_demand || wakes) && self.scaler.phase(id, now) == Phase::Active
    }

    /// Says what a pool without workers serves.
    fn know(&mut self, id: PoolId, known: Vec<Described>) {
        if !known.is_empty() {
            self.scheduler.set_offers(id, offers(&known));
            self.set_known(id, known);
        }
    }

    fn set_known(&mut self, id: PoolId, known: Vec<Described>) {
        self.stats.know(id, known.iter().map(|described| &described.offer.capability));
        if let Some(record) = self.pools.get_mut(&id) {
            record.known = known;
        }
        self.rebuild_catalog();
    }

    fn rebuild_catalog(&mut self) {
        let mut catalog = Catalog::default();
        for (&id, record) in &self.pools {
            if !self.scheduler.is_closed(id) {
                record.known.iter().for_each(|described| catalog.insert(described.offer.capability.clone()));
            }
        }
        self.catalog = catalog;
    }

    /// Ends requests that nothing serves any more. Those that take one response may have been for a capability of which
    /// nobody knew that it streams.
    fn end_unserved(&mut self, requests: Vec<RequestId>, streams: Option<&Capability>, now: Time) {
        for request in requests {
            let unary = self.requests.get(&request).is_some_and(|pending| !pending.client.takes_stream());
            if let (true, Some(capability)) = (unary, streams) {
                self.end(request, Err(Failure::stream_only(capability)), now);
                continue;
            }
            let served: Vec<_> = self.catalog.iter().take(MOST_LISTED).map(ToString::to_string).collect();
            self.end(request, Err(Failure::NoLongerServed(served.join(", "))), now);
        }
    }
}

impl PoolRecord {
    fn first_stream(&self) -> Option<Capability> {
        let streams = self.known.iter().find(|described| described.offer.stream);
        streams.map(|described| described.offer.capability.clone())
    }
}

fn offers(known: &[Described]) -> Vec<Offer> {
    known.iter().map(|described| described.offer.clone()).collect()
}

fn with_slo(mut described: Described, slo: Option<Duration>) -> Described {
    described.offer.slo = slo.or(described.offer.slo);
    described
}

/// The capabilities in the order in which they are known, if they are the same ones, each with its index in `found`.
fn in_order_of(known: &[Described], found: Vec<Described>) -> (Vec<Described>, Vec<u32>) {
    let place = |described: &Described| {
        let same = |known: &Described| known.offer.capability == described.offer.capability;
        known.iter().position(same).unwrap_or(usize::MAX)
    };
    let mut indexed: Vec<_> = (0_u32..).zip(found).collect();
    indexed.sort_by_key(|(_, described)| place(described));
    indexed.into_iter().map(|(index, described)| (described, index)).unzip()
}

fn list(known: &[Described]) -> String {
    let names: Vec<_> = known.iter().map(|described| described.offer.capability.to_string()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// How it ended, and what it said last.
fn with_last_words(exit: &WorkerExit, words: &str) -> String {
    match exit {
        // That says it all.
        WorkerExit::StartFailed { .. } => exit.to_string(),
        _ if words.is_empty() => exit.to_string(),
        _ => format!("{exit}; the last it wrote to stderr:\n{words}"),
    }
}
