//! The pools of an agent: from the configuration to running workers, and to the next configuration.
//!
//! - `settings`: what holds for a pool, once everybody has had their say.
//! - `learn`: what an application declares, without a worker of it.
//! - `memory`: what workers said the last time.
//! - `reload`: from one configuration to the next.

mod learn;
mod memory;
mod reload;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyserve_core::scheduler::PoolId;
use anyserve_proto::worker::DeclaredPool;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{AgentConfig, FleetConfig, Learn, PoolConfig, Reload};
use crate::dispatch::{Dispatcher, Gone, Launch};
use crate::error::Error;
use crate::worker::{self, Context, Ended, WorkerExit};
pub(crate) use learn::FUNCTIONS;
use learn::Learned;
pub(crate) use memory::Memory;
pub(crate) use settings::{Settings, spec};

/// Keeps the agent's pools and their workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    context: Context,
    start_timeout: Duration,
    memory: Arc<Memory>,
    reload: Option<Reload>,
    /// What is served now, by the name of its pool.
    current: Mutex<Current>,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
    /// Who waits for the first workers, and is told of one that failed.
    boot: Mutex<Option<oneshot::Sender<Error>>>,
    sessions: TaskTracker,
}

#[derive(Debug, Default)]
struct Current {
    config: FleetConfig,
    pools: BTreeMap<PoolId, PoolConfig>,
}

impl Fleet {
    pub(crate) fn new(config: &AgentConfig, dispatcher: Arc<Dispatcher>) -> Arc<Self> {
        let memory = Arc::new(Memory::new(config.memory_folder.clone()));
        Arc::new(Self {
            context: config.sessions(dispatcher, Arc::clone(&memory)),
            start_timeout: config.start_timeout,
            memory,
            reload: config.reload.clone(),
            current: Mutex::default(),
            reloading: tokio::sync::Mutex::default(),
            boot: Mutex::default(),
            sessions: TaskTracker::new(),
        })
    }

    /// Adds the pools, and returns once each has the workers that it must have and is known. Fails if one cannot.
    pub(crate) async fn boot(self: &Arc<Self>, config: FleetConfig) -> Result<(), Error> {
        let (sender, failed) = oneshot::channel();
        *self.lock_boot() = Some(sender);
        let ready = async {
            for learned in self.learn(config.pools.clone()).await.map_err(Error::Pool)? {
                self.add(learned).map_err(Error::Pool)?;
            }
            let is_gateway = config.pools.is_empty();
            self.lock().config = config;
            self.wait_for(|| is_gateway || self.context.dispatcher.is_complete()).await;
            Ok(())
        };
        let result = tokio::select! {
            result = ready => result,
            Ok(error) = failed => Err(error),
        };
        *self.lock_boot() = None;
        self.context.dispatcher.booted();
        result
    }

    /// Decides about workers and starts them, for as long as it is polled.
    pub(crate) async fn run(self: &Arc<Self>) {
        loop {
            let (launches, next) = self.context.dispatcher.decide();
            for launch in launches {
                self.launch(launch);
            }
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.context.dispatcher.undecided() => {}
            }
        }
    }

    /// Asks every worker to stop and waits until all are gone; those left when `kill` is cancelled are killed.
    pub(crate) async fn stop(&self, kill: &CancellationToken) {
        self.context.stop.cancel();
        self.sessions.close();
        tokio::select! {
            () = self.sessions.wait() => {}
            () = kill.cancelled() => {
                self.context.kill.cancel();
                self.sessions.wait().await;
            }
        }
        self.context.servers_stop.cancel();
        self.context.fork_servers.stopped().await;
    }

    /// Waits until something holds that follows from pools and workers.
    async fn wait_for(&self, mut holds: impl FnMut() -> bool) {
        let mut changes = self.context.dispatcher.changes();
        loop {
            changes.mark_unchanged();
            if holds() || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Adds a pool of which is known what can be known.
    fn add(&self, learned: Learned) -> Result<PoolId, String> {
        let Learned { config, pool } = learned;
        let Context { dispatcher, fork_servers, servers_stop, .. } = &self.context;
        let settings = pool.settings.clone();
        let id = dispatcher.add_pool(pool).map_err(|misfit| misfit.to_string())?;
        fork_servers.prepare(&config.name, &settings, servers_stop);
        self.lock().pools.insert(id, config);
        Ok(id)
    }

    fn launch(self: &Arc<Self>, launch: Launch) {
        let fleet = Arc::clone(self);
        self.sessions.spawn(async move {
            let Ended { exit, gone } = worker::run(&fleet.context, &launch).await;
            fleet.ended(&launch, exit, gone);
        });
    }

    /// A worker's process has ended.
    fn ended(&self, launch: &Launch, exit: WorkerExit, gone: Gone) {
        match exit {
            WorkerExit::Stopped => {}
            exit if gone.failures.is_some() && self.fails_boot(launch) => {
                let boot = self.lock_boot().take();
                if let Some(boot) = boot {
                    let _ = boot.send(Error::WorkerStart { pool: launch.name.clone(), exit });
                }
            }
            WorkerExit::Declared(pools) => {
                if let Err(error) = self.split(launch.pool, &pools) {
                    tracing::error!(pool = launch.name, "{error}");
                    if let Some(boot) = self.lock_boot().take() {
                        let _ = boot.send(Error::Pool(error));
                    }
                }
            }
            exit => {
                report(launch, &exit, gone.next_start);
            }
        }
    }

    /// Whether the agent is starting, and cannot without a worker of that pool.
    fn fails_boot(&self, launch: &Launch) -> bool {
        self.lock_boot().is_some() && self.context.dispatcher.must_begin(launch.pool)
    }

    /// An application that was taken for one pool says that it has these.
    fn split(&self, id: PoolId, declared: &[DeclaredPool]) -> Result<(), String> {
        let Some(config) = self.lock().pools.remove(&id) else {
            // Another worker of it has said so already.
            return Ok(());
        };
        if config.learn != Learn::FromApplication {
            return Err(format!("pool '{}': its worker described itself instead of serving", config.name));
        }
        let parts = declared.iter().try_for_each(|pool| {
            let part = self.of_application(&config, pool)?;
            self.add(part).map(drop)
        });
        self.context.dispatcher.retire_pool(id);
        parts
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_boot(&self) -> MutexGuard<'_, Option<oneshot::Sender<Error>>> {
        self.boot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(launch: &Launch, exit: &WorkerExit, next_start: Option<Duration>) {
    let (pool, worker) = (launch.name.as_str(), launch.worker.0);
    let next_start =
        next_start.map(|wait| Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
    match next_start {
        Some(wait) if wait.is_zero() => tracing::warn!(pool, worker, "{exit}; starting another at once"),
        Some(wait) => tracing::warn!(pool, worker, "{exit}; starting another in {wait:?}"),
        None => tracing::warn!(pool, worker, "{exit}"),
    }
    if let WorkerExit::StartFailed { traceback, .. } | WorkerExit::HookFailed { traceback, .. } = exit
        && !traceback.is_empty()
    {
        tracing::warn!("{traceback}");
    }
}
