//! From one configuration to the next, without a failed request.
//!
//! A changed pool gets a successor, which takes over when its first worker is ready; until then the old one serves. If
//! there is no room for both, the old workers make way as soon as they are idle, and requests wait for the new ones. If
//! anything of the new configuration does not start, the old one stays.

use std::sync::Arc;

use anyserve_core::scheduler::PoolId;

use super::Fleet;
use super::learn::Learned;
use crate::config::{FleetConfig, Learn, PoolConfig};

/// What is to change.
#[derive(Debug, Default)]
struct Plan {
    kept: Vec<String>,
    added: Vec<PoolConfig>,
    /// With what they replace.
    changed: Vec<(PoolId, PoolConfig)>,
    removed: Vec<(PoolId, String)>,
}

/// A pool that is to be there from now on, and the one whose place it takes.
#[derive(Debug)]
struct Successor {
    id: PoolId,
    name: String,
    replaces: Option<PoolId>,
}

impl Fleet {
    /// Reloads whenever it is triggered, for as long as it is polled.
    pub(crate) async fn reload_when_told(self: &Arc<Self>) {
        let Some(reload) = self.reload.clone() else {
            return std::future::pending().await;
        };
        loop {
            reload.trigger.notified().await;
            match self.reload(false).await {
                Ok(done) => tracing::info!("reloaded: {done}"),
                Err(error) => tracing::error!("not reloaded, the configuration stays as it was: {error}"),
            }
        }
    }

    /// Reloads in a task of its own: whoever asked may go away.
    pub(crate) async fn reload_in_background(self: &Arc<Self>, all: bool) -> Result<String, String> {
        let fleet = Arc::clone(self);
        let reloading = self.sessions.spawn(async move {
            tokio::select! {
                done = fleet.reload(all) => done,
                () = fleet.context.stop.cancelled() => Err("the agent is shutting down".to_owned()),
            }
        });
        reloading.await.map_err(|error| error.to_string())?
    }

    /// Reads the configuration again and takes up what has changed; with `all`, every pool. Says what was done.
    pub(crate) async fn reload(self: &Arc<Self>, all: bool) -> Result<String, String> {
        let _one = self.reloading.lock().await;
        if !self.context.dispatcher.is_booted() {
            tracing::info!("a reload waits until the agent has started");
            self.wait_for(|| self.context.dispatcher.is_booted()).await;
        }
        let reload = self.reload.clone().ok_or("this agent has no configuration that it could read again")?;
        let read = Arc::clone(&reload.read);
        let config = tokio::task::spawn_blocking(move || read());
        let config = config.await.map_err(|error| error.to_string())??;
        let pools = self.parts(&config).await?;
        let plan = self.plan(&config, pools, all || reload.all)?;
        let Plan { kept, added, changed, removed } = plan;
        let (added_count, changed_count) = (added.len(), changed.len());
        let (replaced, replacing): (Vec<_>, Vec<_>) = changed.into_iter().unzip();
        for id in replaced.iter().chain(removed.iter().map(|(id, _)| id)) {
            // What it has imported may have changed.
            self.context
                .dispatcher
                .settings(*id)
                .inspect(|settings| self.context.fork_servers.forget(settings));
        }
        let new = self.learn(replacing.into_iter().chain(added).collect()).await?;
        let successors = self.start_all(new, &replaced)?;
        if let Err(error) = self.wait_until_serving(&successors).await {
            self.take_back(&successors, &replaced);
            return Err(error);
        }
        for successor in &successors {
            self.context.dispatcher.settle_in(successor.id);
            if let Some(old) = successor.replaces {
                self.retire(old);
            }
        }
        for &(id, _) in &removed {
            self.retire(id);
        }
        self.lock().config = config;
        let names = |successors: &[Successor]| {
            successors.iter().map(|successor| successor.name.clone()).collect::<Vec<_>>()
        };
        let (changed, added) = successors.split_at(changed_count.min(successors.len()));
        debug_assert_eq!(added.len(), added_count);
        let removed = removed.into_iter().map(|(_, name)| name).collect();
        Ok(summary(&[
            ("replaced", names(changed)),
            ("added", names(added)),
            ("removed", removed),
            ("kept", kept),
        ]))
    }

    /// The pools of a configuration; an application that is served as a whole is asked which it has.
    async fn parts(self: &Arc<Self>, config: &FleetConfig) -> Result<Vec<PoolConfig>, String> {
        let mut parts = Vec::new();
        for pool in &config.pools {
            if pool.learn != Learn::FromApplication {
                parts.push(pool.clone());
                continue;
            }
            for declared in self.describe(pool).await? {
                parts.push(self.of_application(pool, &declared)?.config);
            }
        }
        Ok(parts)
    }

    /// Compares the configuration with what is served.
    fn plan(&self, config: &FleetConfig, pools: Vec<PoolConfig>, all: bool) -> Result<Plan, String> {
        let current = self.lock();
        if (&config.gpus, &config.amounts) != (&current.config.gpus, &current.config.amounts) {
            return Err("the budget has changed; that takes a restart of the agent".to_owned());
        }
        let mut plan = Plan::default();
        let mut left = current.pools.clone();
        for new in pools {
            let old = left.iter().find(|(_, old)| old.name == new.name);
            match old.map(|(&id, old)| (id, old.clone())) {
                None => plan.added.push(new),
                Some((id, old)) => {
                    left.remove(&id);
                    if old == new && !all {
                        plan.kept.push(new.name);
                    } else {
                        plan.changed.push((id, new));
                    }
                }
            }
        }
        plan.removed = left.into_iter().map(|(id, old)| (id, old.name)).collect();
        Ok(plan)
    }

    /// Adds all of them, or none.
    fn start_all(&self, new: Vec<Learned>, replaced: &[PoolId]) -> Result<Vec<Successor>, String> {
        let mut successors: Vec<Successor> = Vec::new();
        // All at once: what one of them gives up may be for another's successor.
        let served: Vec<_> = replaced.iter().map(|&old| self.context.dispatcher.supersede(old)).collect();
        for (index, mut learned) in new.into_iter().enumerate() {
            let old = replaced.get(index).copied();
            learned.pool.starts_at_once = served.get(index).copied().unwrap_or_default();
            let name = learned.config.name.clone();
            match self.add(learned) {
                Ok(id) => successors.push(Successor { id, name, replaces: old }),
                Err(error) => {
                    self.take_back(&successors, replaced);
                    return Err(error);
                }
            }
        }
        Ok(successors)
    }

    async fn wait_until_serving(&self, successors: &[Successor]) -> Result<(), String> {
        let mut failed = Ok(());
        self.wait_for(|| {
            let dispatcher = &self.context.dispatcher;
            let serving = |successor: &Successor| match dispatcher.start_failure(successor.id) {
                Some(failure) => Err(format!("pool '{}': {failure}", successor.name)),
                None => Ok(dispatcher.has_begun(successor.id)),
            };
            let all: Result<Vec<bool>, String> = successors.iter().map(serving).collect();
            match all {
                Ok(all) => all.into_iter().all(|serving| serving),
                Err(error) => {
                    failed = Err(error);
                    true
                }
            }
        })
        .await;
        failed
    }

    /// The old configuration stays.
    fn take_back(&self, successors: &[Successor], replaced: &[PoolId]) {
        for successor in successors {
            self.retire(successor.id);
        }
        // Only now is there room for what they had.
        for &old in replaced {
            self.context.dispatcher.settle_in(old);
        }
    }

    fn retire(&self, id: PoolId) {
        self.lock().pools.remove(&id);
        self.context.dispatcher.retire_pool(id);
    }
}

fn summary(parts: &[(&str, Vec<String>)]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{} {what} ({})", names.len(), names.join(", ")))
        .collect();
    if parts.is_empty() { "no pool".to_owned() } else { format!("pools: {}", parts.join(", ")) }
}
