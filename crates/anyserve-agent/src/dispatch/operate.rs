//! What an operator does with pools.

use std::sync::Arc;
use std::time::Duration;

use anyserve_core::scaler::{Misfit, Stage};
use anyserve_core::scheduler::{PoolId, Time};
use anyserve_proto::worker::PoolOptions;

use super::Dispatcher;
use super::state::{Life, State};
use crate::failure::Failure;
use crate::fleet::{Settings, spec};

/// The most workers of one pool.
const MOST_WORKERS: u32 = 1024;

/// Why an operator's wish cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
    #[error("there is no pool '{name}'; there are {known}")]
    NoPool { name: String, known: String },
    #[error("{0}")]
    Misfit(#[from] Misfit),
    #[error("{0} workers are too many for a pool; {MOST_WORKERS} are the most")]
    TooMany(u32),
    #[error("the workers of pool '{0}' cannot sleep: its class has no on_sleep")]
    CannotSleep(String),
    #[error("the server is shutting down")]
    Draining,
}

impl Dispatcher {
    /// Keeps so many workers: at least and at most, or exactly, and stops those beyond at once; returns what was done.
    /// Where none is kept, a request starts one, and as many as before are the most.
    pub(crate) fn scale(&self, name: &str, min: u32, max: Option<u32>) -> Result<String, OperationError> {
        let most = max.unwrap_or(min).max(min);
        if most > MOST_WORKERS {
            return Err(OperationError::TooMany(most));
        }
        let now = self.now();
        self.operate(name, |state, id| {
            let before = state.pools.get(&id).and_then(|record| record.options.max).unwrap_or(1);
            let most = if most == 0 { before.max(1) } else { most };
            state.set_bounds(id, min, min)?;
            state.set_drains(id, false);
            // Those beyond go now, not when they are idle.
            state.decide(now);
            state.set_bounds(id, min, most)?;
            Ok(match (min, most) {
                (0, most) => format!("pool '{name}' keeps no worker; requests start up to {most}"),
                (1, 1) => format!("pool '{name}' keeps 1 worker"),
                (min, most) if min == most => format!("pool '{name}' keeps {min} workers"),
                (min, most) => format!("pool '{name}' keeps {min} to {most} workers"),
            })
        })
    }

    /// Puts the workers of a pool to sleep until a request comes.
    pub(crate) fn sleep(&self, name: &str) -> Result<String, OperationError> {
        self.operate(name, |state, id| {
            if !state.sleeps(id) {
                return Err(OperationError::CannotSleep(name.to_owned()));
            }
            state.scaler.order_sleep(id);
            let awake = state.scaler.workers_of(id).filter(|worker| worker.stage == Stage::Ready).count();
            Ok(match awake {
                0 => format!("pool '{name}' has no worker that is awake"),
                1 => format!("pool '{name}': 1 worker goes to sleep once it is idle"),
                _ => format!("pool '{name}': {awake} workers go to sleep once they are idle"),
            })
        })
    }

    /// Wakes the workers of a pool.
    pub(crate) fn wake(&self, name: &str) -> Result<String, OperationError> {
        self.operate(name, |state, id| {
            state.scaler.order_wake(id);
            let asleep = state.scaler.workers_of(id).filter(|worker| worker.stage == Stage::Asleep).count();
            let none = state.scaler.workers_of(id).next().is_none();
            Ok(match asleep {
                0 if none => format!("pool '{name}' starts a worker"),
                0 => format!("pool '{name}' has no worker that sleeps"),
                1 => format!("pool '{name}': 1 worker wakes"),
                _ => format!("pool '{name}': {asleep} workers wake"),
            })
        })
    }

    /// From now on a pool's workers are neither evicted nor stopped for being idle; or they are again.
    pub(crate) fn pin(&self, name: &str, pinned: bool) -> Result<String, OperationError> {
        self.operate(name, |state, id| {
            let sleeps = state.sleeps(id);
            let Some(record) = state.pools.get_mut(&id) else {
                return Ok(String::new());
            };
            record.options.pinned = Some(pinned);
            state.scaler.change_pool(id, spec(&record.name, &record.options, sleeps))?;
            Ok(format!("pool '{name}' is {}", if pinned { "pinned" } else { "not pinned any more" }))
        })
    }

    /// Finishes what waits and runs in a pool and stops its workers; it takes no requests until it is scaled or loaded.
    pub(crate) fn drain_pool(&self, name: &str) -> Result<String, OperationError> {
        self.operate(name, |state, id| {
            state.set_drains(id, true);
            Ok(format!("pool '{name}' finishes what it has, and takes no requests until `anyserve scale`"))
        })
    }

    /// Starts the pools behind a name, and waits until each has a worker that is ready.
    pub(crate) async fn load_model(&self, name: &str) -> Result<(), Failure> {
        let mut loading = Vec::new();
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            // A reload may have put others in their place.
            let pools = self.controlled(name)?;
            if pools != loading {
                self.load(&pools);
                loading.clone_from(&pools);
            }
            if self.loaded(&pools)? {
                return Ok(());
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = self.stopping() => return Err(Failure::Draining),
            }
        }
    }

    /// Drains the pools behind a name, and waits until they have no worker.
    pub(crate) async fn unload_model(&self, name: &str) -> Result<(), Failure> {
        let pools = self.controlled(name)?;
        {
            let mut state = self.lock();
            for &id in &pools {
                state.set_drains(id, true);
            }
            self.changed(&mut state);
        }
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            if self.unloaded(&pools) || changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// The pools behind a name, if clients may load and unload them.
    fn controlled(&self, name: &str) -> Result<Vec<PoolId>, Failure> {
        if self.model_control { self.pools_behind(name, "") } else { Err(Failure::NoModelControl) }
    }

    /// Lets pools have workers again, and one of each now.
    fn load(&self, pools: &[PoolId]) {
        let mut state = self.lock();
        for &id in pools {
            state.set_drains(id, false);
            state.scaler.order_wake(id);
        }
        self.changed(&mut state);
    }

    /// Whether each of these pools has a ready worker; the reason why one cannot have any.
    fn loaded(&self, pools: &[PoolId]) -> Result<bool, Failure> {
        let now = self.now();
        let state = self.lock();
        let mut missing = pools.iter().filter(|&&id| !state.has_ready(id)).peekable();
        let none = missing.peek().is_none();
        missing.find_map(|&id| state.hopeless(&[id], now)).map_or(Ok(none), Err)
    }

    /// Whether none of these pools has a worker.
    fn unloaded(&self, pools: &[PoolId]) -> bool {
        let state = self.lock();
        pools.iter().all(|&id| state.scaler.workers_of(id).next().is_none())
    }

    /// See [`State::supersede`].
    pub(crate) fn supersede(&self, id: PoolId) -> bool {
        self.lock().supersede(id)
    }

    /// See [`State::settle_in`].
    pub(crate) fn settle_in(&self, id: PoolId) {
        let mut state = self.lock();
        state.settle_in(id);
        self.changed(&mut state);
    }

    /// How the processes of a pool are run.
    pub(crate) fn settings(&self, id: PoolId) -> Option<Arc<Settings>> {
        self.lock().pools.get(&id).map(|record| Arc::clone(&record.settings))
    }

    /// Whether the agent is not ready before this pool is.
    pub(crate) fn must_begin(&self, id: PoolId) -> bool {
        let state = self.lock();
        state.scaler.spec(id).is_some_and(|spec| spec.min > 0)
    }

    /// Whether every pool has been known once.
    pub(crate) fn is_booted(&self) -> bool {
        self.lock().life != Life::Booting
    }

    /// From now on a pool that is not known does not exist.
    pub(crate) fn booted(&self) {
        let mut state = self.lock();
        if state.life == Life::Booting {
            state.life = Life::Serving;
        }
        self.changed(&mut state);
    }

    /// Why the last worker of a pool could not be started, if none could since.
    pub(crate) fn start_failure(&self, id: PoolId) -> Option<String> {
        self.lock().pools.get(&id).and_then(|record| record.failure.clone())
    }

    /// Whether a pool has a worker that is ready, or needs none and is known.
    pub(crate) fn has_begun(&self, id: PoolId) -> bool {
        self.lock().has_begun(id)
    }

    /// Whether every pool has the workers that it must have, and is known.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.lock();
        let complete = |&id: &PoolId| {
            let ready = state.scaler.workers_of(id).filter(|worker| worker.stage == Stage::Ready).count();
            let min = state.scaler.spec(id).map_or(0, |spec| spec.min);
            state.scheduler.is_closed(id) || (ready >= min && state.has_begun(id))
        };
        // An application that is being split into its pools has none for a moment.
        let any = state.pools.keys().any(|&id| !state.scheduler.is_closed(id));
        any && state.pools.keys().all(complete)
    }

    fn operate(
        &self,
        name: &str,
        operation: impl FnOnce(&mut State, PoolId) -> Result<String, OperationError>,
    ) -> Result<String, OperationError> {
        let mut state = self.lock();
        if state.is_draining() {
            return Err(OperationError::Draining);
        }
        let id = state.pool_named(name)?;
        let done = operation(&mut state, id)?;
        state.undecided = true;
        self.changed(&mut state);
        Ok(done)
    }
}

impl State {
    fn set_bounds(&mut self, id: PoolId, min: u32, max: u32) -> Result<(), OperationError> {
        let sleeps = self.sleeps(id);
        if let Some(record) = self.pools.get_mut(&id) {
            let options = PoolOptions { min: Some(min), max: Some(max), ..record.options.clone() };
            let mut spec = spec(&record.name, &options, sleeps);
            // Only a worker can say what it serves.
            let learning = usize::from(record.learning);
            (spec.min, spec.max) = (spec.min.max(learning), spec.max.max(learning));
            self.scaler.change_pool(id, spec)?;
            record.options = options;
        }
        Ok(())
    }

    fn pool_named(&self, name: &str) -> Result<PoolId, OperationError> {
        let open = || self.pools.iter().filter(|&(&id, _)| !self.scheduler.is_closed(id));
        // The last is the successor, if there are two.
        if let Some((&id, _)) = open().rfind(|(_, record)| record.name == name) {
            return Ok(id);
        }
        let known: Vec<_> = open().map(|(_, record)| format!("'{}'", record.name)).collect();
        Err(OperationError::NoPool { name: name.to_owned(), known: known.join(", ") })
    }

    /// How long until a pool that needs a worker has one started; none if it needs none.
    pub(super) fn next_start(&self, id: PoolId, now: Time) -> Option<Duration> {
        let min = self.scaler.spec(id)?.min;
        let workers = self.scaler.workers_of(id).count();
        let needs = workers < min || (workers == 0 && self.scheduler.demand(id).waiting > 0);
        needs.then(|| self.scaler.backoff(id, now))
    }

    fn has_begun(&self, id: PoolId) -> bool {
        let known = self.pools.get(&id).is_some_and(|record| !record.known.is_empty() && !record.learning);
        let gone = self.scheduler.is_closed(id);
        let needs_none = self.scaler.spec(id).is_some_and(|spec| spec.min == 0);
        gone || (known && (needs_none || self.has_ready(id)))
    }

    fn sleeps(&self, id: PoolId) -> bool {
        self.scaler.spec(id).is_some_and(|spec| spec.asleep.is_some())
    }

    /// Whether a worker of the pool takes requests.
    pub(super) fn has_ready(&self, id: PoolId) -> bool {
        self.scaler.workers_of(id).any(|worker| worker.stage == Stage::Ready)
    }

    fn set_drains(&mut self, id: PoolId, drains: bool) {
        if let Some(record) = self.pools.get_mut(&id) {
            record.drains = drains;
        }
        if !drains {
            self.scaler.hold(id, false);
        }
        self.undecided = true;
    }
}
