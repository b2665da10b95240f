//! How the workers of a pool are run, as code and configuration files say it.

use std::collections::BTreeMap;

use anyserve::proto::worker::PoolOptions;
use pyo3::prelude::*;

use crate::handler::micros;

/// How the workers of a pool are run, as `anyserve.pool.PoolOptions` has it: times in seconds, sizes in bytes.
#[derive(FromPyObject)]
pub(crate) struct Options {
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

impl Options {
    /// What the agent is told.
    pub(crate) fn into_message(self) -> PoolOptions {
        PoolOptions {
            min: self.min,
            max: self.max,
            gpus: self.gpus,
            resources: self.resources.unwrap_or_default(),
            asleep: self.asleep.unwrap_or_default(),
            idle_timeout_us: self.idle_timeout.map(micros),
            start_timeout_us: self.start_timeout.map(micros),
            stop_timeout_us: self.stop_timeout.map(micros),
            min_residence_us: self.min_residence.map(micros),
            heartbeat_timeout_us: self.heartbeat_timeout.map(micros),
            eviction_cost: self.eviction_cost,
            pinned: self.pinned,
            max_rss: self.max_rss,
            max_requests: self.max_requests,
            preload: self.preload.unwrap_or_default(),
            slo_us: self.slo.map(micros),
        }
    }
}
