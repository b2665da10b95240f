//! What the agent counts, and how it tells.

mod delegate;
mod histogram;
mod memory;
mod metrics;
mod objects;
mod replicas;
mod server;
mod statistics;
mod stats;

pub(crate) use memory::resident;
pub(crate) use metrics::render;
pub(crate) use server::MetricsServer;
pub(crate) use statistics::{listed_name, statistics};
pub(crate) use stats::{OfferStats, Stats};

use anyserve_core::Capability;
use anyserve_core::scheduler::Time;

/// All counts at one moment, as they are rendered.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) stats: Stats,
    pub(crate) queues: Vec<QueueState>,
    pub(crate) pools: Vec<PoolState>,
    pub(crate) ready_workers: usize,
    pub(crate) worker_processes: Vec<u32>,
}

/// The workers of one pool.
#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) name: String,
    /// The state of each.
    pub(crate) workers: Vec<&'static str>,
}

/// What waits for one capability.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub(crate) capability: Capability,
    pub(crate) waiting: usize,
    /// How long the oldest request has waited.
    pub(crate) oldest: Option<std::time::Duration>,
}

impl QueueState {
    pub(crate) fn new(capability: Capability, waiting: usize, since: Option<Time>, now: Time) -> Self {
        Self { capability, waiting, oldest: since.map(|since| now.since(since)) }
    }
}
