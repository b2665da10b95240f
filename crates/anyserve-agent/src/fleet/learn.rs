//! What can be known of a pool before it has a worker.

use std::collections::HashMap;

use anyserve_core::Capability;
use anyserve_core::scheduler::Offer;
use anyserve_proto::worker::{DeclaredPool, PoolOptions};
use tokio::task::JoinSet;

use super::Fleet;
use super::settings::{Settings, merge};
use crate::config::{Learn, PoolConfig, WorkerCommand};
use crate::dispatch::{Declaration, Described, NewPool};
use crate::worker::{self, WorkerExit};

/// The pool of an application's functions; it has a worker from the start, unless somebody says otherwise.
pub(crate) const FUNCTIONS: &str = "default";

/// A pool, ready to be added.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) config: PoolConfig,
    pub(super) pool: NewPool,
}

type Descriptions = HashMap<WorkerCommand, Result<Vec<DeclaredPool>, String>>;

impl Fleet {
    /// Finds out what can be known of pools before they have a worker; the applications are asked all at once.
    pub(super) async fn learn(
        self: &std::sync::Arc<Self>,
        pools: Vec<PoolConfig>,
    ) -> Result<Vec<Learned>, String> {
        let mut asking = JoinSet::new();
        let mut asked: Vec<WorkerCommand> = Vec::new();
        for config in &pools {
            if let Learn::FromDeclaration { describe, .. } = &config.learn
                && !asked.contains(describe)
            {
                asked.push(describe.clone());
                let (fleet, command) = (std::sync::Arc::clone(self), describe.clone());
                // What holds for workers need not hold for a process that imports and ends.
                let settings = Settings::new(command.clone(), &PoolOptions::default(), self.start_timeout);
                asking.spawn(async move {
                    let declared = worker::describe(&fleet.context, &settings).await;
                    (command, declared.map_err(explain))
                });
            }
        }
        let descriptions: Descriptions = asking.join_all().await.into_iter().collect();
        pools.into_iter().map(|config| self.learn_one(config, &descriptions)).collect()
    }

    /// One of the pools that an application has.
    pub(super) fn of_application(
        &self,
        whole: &PoolConfig,
        declared: &DeclaredPool,
    ) -> Result<Learned, String> {
        let mut options = whole.options.clone();
        if declared.name != FUNCTIONS {
            // So many workers were asked for of the functions.
            (options.min, options.max) = (None, None);
        }
        let config = PoolConfig {
            name: declared.name.clone(),
            command: whole.command.for_pool(&declared.name),
            learn: Learn::FromDeclaration {
                describe: whole.command.describing(),
                pool: Some(declared.name.clone()),
            },
            options,
            ..whole.clone()
        };
        self.declared(config, declared)
    }

    /// What an application declares.
    pub(super) async fn describe(&self, whole: &PoolConfig) -> Result<Vec<DeclaredPool>, String> {
        let settings = Settings::new(whole.command.describing(), &PoolOptions::default(), self.start_timeout);
        worker::describe(&self.context, &settings).await.map_err(explain)
    }

    fn learn_one(&self, config: PoolConfig, descriptions: &Descriptions) -> Result<Learned, String> {
        match &config.learn {
            Learn::FromApplication => Ok(self.undeclared(config)),
            Learn::FromWorker { remember } => {
                let remembered = if *remember { self.memory.recall(&config.command) } else { None };
                match remembered {
                    Some(remembered) if config.capabilities.is_empty() => self.declared(config, &remembered),
                    _ => Ok(self.undeclared(config)),
                }
            }
            Learn::FromDeclaration { describe, pool } => {
                let failed = |error: &String| format!("pool '{}': {error}", config.name);
                let all = descriptions[describe].as_ref().map_err(failed)?;
                let found = pick(all, pool.as_deref()).map_err(|error| failed(&error))?.clone();
                let command = match pool {
                    Some(_) => config.command.clone(),
                    None => config.command.for_pool(&found.name),
                };
                let mut learned = self.declared(config, &found)?;
                learned.pool.settings.command = command;
                Ok(learned)
            }
        }
    }

    /// A pool of which an application, or an earlier worker, has said what it is.
    fn declared(&self, config: PoolConfig, declared: &DeclaredPool) -> Result<Learned, String> {
        let name = config.name.clone();
        let declaration =
            Declaration::try_from(declared).map_err(|error| format!("pool '{name}' was refused: {error}"))?;
        let serves: Vec<_> = declaration.capabilities.iter().map(|found| &found.offer.capability).collect();
        if let Some(missing) = config.capabilities.iter().find(|wanted| !serves.contains(wanted)) {
            let serves: Vec<_> = serves.iter().map(ToString::to_string).collect();
            let serves = serves.join(", ");
            return Err(format!("pool '{name}' is to serve {missing}, but its application serves {serves}"));
        }
        let declared_options = declared.options.clone().unwrap_or_default();
        let mut options = merge(&config.options, &declared_options);
        if declared.name == FUNCTIONS {
            options.min = options.min.or(Some(1));
        }
        let settings = self.settings(&config, &options);
        let (known, sleeps) = (declaration.capabilities, declaration.sleeps);
        let tentative = settings.remember;
        let starts_at_once = false;
        let pool = NewPool { name, options, settings, known, tentative, sleeps, starts_at_once };
        Ok(Learned { config, pool })
    }

    /// A pool of which is known only what the configuration says.
    fn undeclared(&self, config: PoolConfig) -> Learned {
        let mut options = config.options.clone();
        options.min = options.min.or(Some(1));
        let settings = self.settings(&config, &options);
        let known = config.capabilities.iter().cloned().map(described).collect();
        let sleeps = !options.asleep.is_empty();
        let (name, tentative, starts_at_once) = (config.name.clone(), false, false);
        let pool = NewPool { name, options, settings, known, tentative, sleeps, starts_at_once };
        Learned { config, pool }
    }

    fn settings(&self, config: &PoolConfig, options: &PoolOptions) -> Settings {
        let remember = matches!(config.learn, Learn::FromWorker { remember: true });
        Settings { remember, ..Settings::new(config.command.clone(), options, self.start_timeout) }
    }
}

/// A capability of which only its pairs are known.
fn described(capability: Capability) -> Described {
    Described { offer: Offer::new(capability), inputs: Vec::new(), outputs: Vec::new() }
}

/// The pool of that name, or the only one.
fn pick<'a>(all: &'a [DeclaredPool], name: Option<&str>) -> Result<&'a DeclaredPool, String> {
    let names: Vec<_> = all.iter().map(|pool| format!("'{}'", pool.name)).collect();
    let names = names.join(", ");
    match (name, all) {
        (Some(name), _) => all
            .iter()
            .find(|pool| pool.name == name)
            .ok_or_else(|| format!("its application has no pool '{name}'; it has {names}")),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(format!("its application has the pools {names}; say by `worker` which of them it is"))
        }
    }
}

/// Why an application could not be asked, with the traceback of its own code.
fn explain(exit: WorkerExit) -> String {
    match exit {
        WorkerExit::StartFailed { message, traceback } if !traceback.is_empty() => {
            format!("{message}\n{traceback}")
        }
        exit => exit.to_string(),
    }
}
