//! What `run_agent` is told to serve.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use anyserve::agent::{FleetConfig, Learn, PoolConfig, Reload, WorkerCommand};
use pyo3::prelude::*;

use crate::capability::PyCapability;
use crate::options::Options;

/// The pools, and what there is for them.
#[derive(FromPyObject)]
pub(crate) struct Fleet {
    gpus: Vec<u32>,
    amounts: BTreeMap<String, u64>,
    pools: Vec<Pool>,
}

/// One of them.
#[derive(FromPyObject)]
struct Pool {
    name: String,
    command: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    /// Says what the application declares.
    describe: Option<Vec<OsString>>,
    /// Which of its pools it is.
    worker: Option<String>,
    /// It is an application's factory: only a worker can say what it serves.
    factory: bool,
    capabilities: Vec<Py<PyCapability>>,
    options: Options,
}

impl From<Fleet> for FleetConfig {
    fn from(fleet: Fleet) -> Self {
        let pools = fleet.pools.into_iter().map(PoolConfig::from).collect();
        Self { gpus: fleet.gpus, amounts: fleet.amounts, pools }
    }
}

impl From<Pool> for PoolConfig {
    fn from(pool: Pool) -> Self {
        let learn = match pool.describe {
            Some(describe) => {
                let describe = command(describe, pool.env.clone());
                Learn::FromDeclaration { describe, pool: pool.worker }
            }
            None if pool.factory => Learn::FromWorker { remember: true },
            None => Learn::FromApplication,
        };
        Self {
            name: pool.name,
            command: command(pool.command, pool.env),
            capabilities: pool.capabilities.iter().map(|capability| capability.get().0.clone()).collect(),
            learn,
            options: pool.options.into_message(),
        }
    }
}

fn command(words: Vec<OsString>, env: BTreeMap<OsString, OsString>) -> WorkerCommand {
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    WorkerCommand { env, ..WorkerCommand::new(program, words) }
}

/// Reads the configuration again by calling `read`; with `all`, every pool is replaced.
pub(crate) fn reload(read: Py<PyAny>, all: bool) -> Reload {
    let read = move || {
        Python::attach(|py| {
            let read = read.call0(py).and_then(|fleet| fleet.extract::<Fleet>(py));
            read.map(FleetConfig::from).map_err(|error| error.value(py).to_string())
        })
    };
    Reload { read: Arc::new(read), all, trigger: Arc::default() }
}
