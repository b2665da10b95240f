//! What `run_agent` is told to serve.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyserve::agent::{FleetConfig, Learn, PoolConfig, Reload, WorkerCommand};
use anyserve::proto::worker::PoolOptions;
use pyo3::prelude::*;

use crate::capability::PyCapability;

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

/// As `anyserve.pool.PoolOptions` has them; times in seconds, sizes in bytes.
#[derive(FromPyObject)]
struct Options {
    min: Option<u32>,
    max: Option<u32>,
    gpus: Option<u32>,
    resources: Option<BTreeMap<String, u64>>,
    asleep: Option<BTreeMap<String, u64>>,
    idle_timeout: Option<f64>,
    start_timeout: Option<f64>,
    stop_timeout: Option<f64>,
    min_residence: Option<f64>,
    heartbeat_timeout: Option<f64>,
    eviction_cost: Option<f64>,
    pinned: Option<bool>,
    max_rss: Option<u64>,
    max_requests: Option<u64>,
    preload: Option<Vec<String>>,
    slo: Option<f64>,
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
            options: pool.options.into(),
        }
    }
}

impl From<Options> for PoolOptions {
    fn from(options: Options) -> Self {
        let micros = |seconds: Option<f64>| {
            seconds.map(|seconds| {
                let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
            })
        };
        Self {
            min: options.min,
            max: options.max,
            gpus: options.gpus,
            resources: options.resources.unwrap_or_default(),
            asleep: options.asleep.unwrap_or_default(),
            idle_timeout_us: micros(options.idle_timeout),
            start_timeout_us: micros(options.start_timeout),
            stop_timeout_us: micros(options.stop_timeout),
            min_residence_us: micros(options.min_residence),
            heartbeat_timeout_us: micros(options.heartbeat_timeout),
            eviction_cost: options.eviction_cost,
            pinned: options.pinned,
            max_rss: options.max_rss,
            max_requests: options.max_requests,
            preload: options.preload.unwrap_or_default(),
            slo_us: micros(options.slo),
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
