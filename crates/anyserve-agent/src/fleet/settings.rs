//! What holds for the workers of a pool, once the file, the application and the defaults have had their say.

use std::time::Duration;

use anyserve_core::scaler::{PoolSpec, Resources};
use anyserve_proto::worker::PoolOptions;

use crate::config::WorkerCommand;
use crate::worker::WorkerExit;

const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const MIN_RESIDENCE: Duration = Duration::from_secs(1);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);

/// The resource that a sleeping worker keeps, unless its pool says.
const MEMORY: &str = "memory";

/// How the processes of a pool are run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) command: WorkerCommand,
    pub(crate) start_timeout: Duration,
    /// What set it.
    pub(super) start_option: &'static str,
    pub(crate) stop_timeout: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) max_rss: Option<u64>,
    pub(crate) max_requests: Option<u64>,
    pub(crate) preload: Vec<String>,
    pub(crate) slo: Option<Duration>,
    /// What its workers say they serve is kept for the next time.
    pub(crate) remember: bool,
}

/// What `first` says, and where it says nothing, what `second` says.
pub(crate) fn merge(first: &PoolOptions, second: &PoolOptions) -> PoolOptions {
    let either = |first: &Vec<String>, second: &Vec<String>| {
        if first.is_empty() { second.clone() } else { first.clone() }
    };
    let mut resources = second.resources.clone();
    resources.extend(first.resources.clone());
    PoolOptions {
        min: first.min.or(second.min),
        max: first.max.or(second.max),
        gpus: first.gpus.or(second.gpus),
        resources,
        asleep: if first.asleep.is_empty() { second.asleep.clone() } else { first.asleep.clone() },
        idle_timeout_us: first.idle_timeout_us.or(second.idle_timeout_us),
        start_timeout_us: first.start_timeout_us.or(second.start_timeout_us),
        stop_timeout_us: first.stop_timeout_us.or(second.stop_timeout_us),
        min_residence_us: first.min_residence_us.or(second.min_residence_us),
        heartbeat_timeout_us: first.heartbeat_timeout_us.or(second.heartbeat_timeout_us),
        eviction_cost: first.eviction_cost.or(second.eviction_cost),
        pinned: first.pinned.or(second.pinned),
        max_rss: first.max_rss.or(second.max_rss),
        max_requests: first.max_requests.or(second.max_requests),
        preload: either(&first.preload, &second.preload),
        slo_us: first.slo_us.or(second.slo_us),
    }
}

/// What the scaler is told of a pool.
pub(crate) fn spec(name: &str, options: &PoolOptions, sleeps: bool) -> PoolSpec {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let min = options.min.map_or(0, number);
    let gpus = options.gpus.map_or(0, number);
    let amounts = options.resources.clone();
    let asleep = if options.asleep.is_empty() {
        amounts
            .iter()
            .filter(|(name, _)| *name == MEMORY)
            .map(|(name, &amount)| (name.clone(), amount))
            .collect()
    } else {
        options.asleep.clone()
    };
    PoolSpec {
        name: name.to_owned(),
        min,
        max: options.max.map_or(1, number).max(min),
        resources: Resources { gpus, amounts },
        asleep: sleeps.then_some(asleep),
        idle_timeout: or_never(options.idle_timeout_us, IDLE_TIMEOUT),
        min_residence: options.min_residence_us.map_or(MIN_RESIDENCE, Duration::from_micros),
        eviction_cost: options.eviction_cost.filter(|&cost| cost > 0.0).unwrap_or(1.0),
        pinned: options.pinned.unwrap_or_default(),
    }
}

impl Settings {
    pub(crate) fn new(command: WorkerCommand, options: &PoolOptions, start_timeout: Duration) -> Self {
        let or = |micros: Option<u64>, usual| micros.map_or(usual, Duration::from_micros);
        Self {
            command,
            start_timeout: or(options.start_timeout_us, start_timeout),
            start_option: if options.start_timeout_us.is_some() {
                "start_timeout"
            } else {
                "--start-timeout"
            },
            stop_timeout: or(options.stop_timeout_us, STOP_TIMEOUT),
            heartbeat_timeout: or(options.heartbeat_timeout_us, HEARTBEAT_TIMEOUT),
            max_rss: options.max_rss.filter(|&limit| limit > 0),
            max_requests: options.max_requests.filter(|&limit| limit > 0),
            preload: options.preload.clone(),
            slo: options.slo_us.filter(|&slo| slo > 0).map(Duration::from_micros),
            remember: false,
        }
    }
}

impl Settings {
    /// How a worker ended that was not ready in time.
    pub(crate) fn start_timed_out(&self) -> WorkerExit {
        WorkerExit::StartTimedOut { limit: self.start_timeout, option: self.start_option }
    }
}

/// A time of which 0 is for ever.
fn or_never(micros: Option<u64>, usual: Duration) -> Option<Duration> {
    match micros {
        None => Some(usual),
        Some(0) => None,
        Some(micros) => Some(Duration::from_micros(micros)),
    }
}
