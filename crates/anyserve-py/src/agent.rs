//! `run_agent`: serve until a signal says stop.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyserve::agent::{
    Agent, AgentConfig, Error, FleetConfig, Metrics, ObjectSpill, ReplicaConfig, Served, Shutdown, WorkerExit,
};
use anyserve::core::replicas::ReplicaId;
use anyserve::registry::{RegistryError, open};
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::errors;
use crate::fleet::{self, Fleet};

/// Serves until SIGINT or SIGTERM, then drains; a second signal stops at once.
///
/// `on_ready(host, port, http_port, metrics_port, workers, pools, capabilities)` is called once every pool has the workers that it must have.
/// `reload()` gives the fleet anew, at SIGHUP or when an operator says so. Raises `ServeError` when a port, a pool or a
/// worker cannot be had.
#[pyfunction]
#[pyo3(signature = (*, host, port, http_port, fleet, reload, reload_all, admin_folder, memory_folder, model_control, max_message_size, max_queue_size, max_queue_bytes, object_store_size, object_port, object_host, object_checksum, allow_client_shm, object_spill, object_spill_size, registry, replica_id, advertise, lease, start_timeout, drain_timeout, stream_stall_timeout, metrics_port, metrics_near, debug, log_level, log_format, early_signals, on_ready))]
#[expect(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
    reason = "keyword-only in Python, and named again in the config"
)]
pub(crate) fn run_agent(
    py: Python<'_>,
    host: String,
    port: u16,
    http_port: Option<u16>,
    fleet: Fleet,
    reload: Option<Py<PyAny>>,
    reload_all: bool,
    admin_folder: Option<PathBuf>,
    memory_folder: Option<PathBuf>,
    model_control: bool,
    max_message_size: usize,
    max_queue_size: usize,
    max_queue_bytes: u64,
    object_store_size: Option<u64>,
    object_port: u16,
    object_host: Option<String>,
    object_checksum: bool,
    allow_client_shm: bool,
    object_spill: Option<PathBuf>,
    object_spill_size: Option<u64>,
    registry: Option<String>,
    replica_id: Option<String>,
    advertise: Option<String>,
    lease: f64,
    start_timeout: f64,
    drain_timeout: f64,
    stream_stall_timeout: f64,
    metrics_port: Option<u16>,
    metrics_near: bool,
    debug: bool,
    log_level: &str,
    log_format: &str,
    early_signals: Py<PyList>,
    on_ready: Py<PyAny>,
) -> PyResult<()> {
    let fleet = FleetConfig::from(fleet);
    let reload = reload.map(|read| fleet::reload(read, reload_all));
    let trigger = reload.as_ref().map(|reload| Arc::clone(&reload.trigger));
    let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX);
    let replica = |url: &str| {
        let usual = ReplicaConfig::new(open(url)?);
        let id = replica_id.as_deref().map(ReplicaId::new).transpose();
        let id = id.map_err(|source| Error::Replica { source })?;
        Ok::<_, RunError>(ReplicaConfig { id, advertise, lease: seconds(lease), ..usual })
    };
    let configure = |address: SocketAddr| {
        let usual = AgentConfig::new(address, fleet);
        Ok(AgentConfig {
            replica: registry.as_deref().map(replica).transpose()?,
            http: http_port.map(|port| (address.ip(), port).into()),
            reload,
            admin_folder,
            memory_folder,
            model_control,
            max_message_size,
            max_queue_size,
            max_queue_bytes,
            object_address: (address.ip(), object_port).into(),
            object_host,
            object_checksum,
            allow_client_shm,
            object_spill: object_spill.map(|folder| spill(folder, object_spill_size)),
            object_store_size: object_store_size.unwrap_or(usual.object_store_size),
            start_timeout: seconds(start_timeout),
            drain_timeout: seconds(drain_timeout),
            stream_stall_timeout: seconds(stream_stall_timeout),
            metrics: match metrics_port.map(|port| (Ipv4Addr::LOCALHOST, port).into()) {
                None => Metrics::Off,
                Some(address) if metrics_near => Metrics::Near(address),
                Some(address) => Metrics::At(address),
            },
            debug,
            ..usual
        })
    };
    let _flushed_at_the_end = start_logging(log_level, log_format == "json");
    let ready = |served: Served| {
        Python::attach(|py| {
            let capabilities: Vec<_> = served.capabilities.iter().map(ToString::to_string).collect();
            let address = (served.address.ip().to_string(), served.address.port());
            let http = served.http.map(|address| address.port());
            let metrics = served.metrics.map(|address| address.port());
            let arguments = (address.0, address.1, http, metrics, served.workers, served.pools, capabilities);
            if let Err(error) = on_ready.call1(py, arguments) {
                error.print(py);
            }
        });
    };
    let result = py.detach(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(run(&host, port, configure, trigger, &early_signals, ready));
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    result.map_err(|error| to_error(py, error))
}

/// A file for objects that had to make room in memory, of that size or the usual one.
fn spill(folder: PathBuf, size: Option<u64>) -> ObjectSpill {
    let usual = ObjectSpill::new(folder);
    ObjectSpill { size: size.unwrap_or(usual.size), ..usual }
}

/// Why `run_agent` failed.
enum RunError {
    Agent(Error),
    Registry(RegistryError),
    Resolve(String),
    System(std::io::Error),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Agent(error)
    }
}

impl From<RegistryError> for RunError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

async fn run(
    host: &str,
    port: u16,
    configure: impl FnOnce(SocketAddr) -> Result<AgentConfig, RunError>,
    reload: Option<Arc<Notify>>,
    early_signals: &Py<PyList>,
    on_ready: impl FnOnce(Served),
) -> Result<(), RunError> {
    let mut addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| RunError::Resolve(format!("cannot resolve host '{host}': {error}")))?;
    let address =
        addresses.next().ok_or_else(|| RunError::Resolve(format!("host '{host}' has no address")))?;
    let agent = Agent::bind(configure(address)?).await?;
    let shutdown = Shutdown::default();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    if came_early(early_signals) {
        shutdown.drain.cancel();
    }
    let for_signals = shutdown.clone();
    let signals = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {
                    if let Some(reload) = &reload {
                        reload.notify_one();
                    }
                    continue;
                }
            }
            if for_signals.drain.is_cancelled() {
                for_signals.now.cancel();
            }
            for_signals.drain.cancel();
        }
    };
    tokio::select! {
        result = agent.run(shutdown, on_ready) => Ok(result?),
        () = signals => Ok(()),
    }
}

/// Whether a signal came before the agent listened: Python has noted it.
fn came_early(signals: &Py<PyList>) -> bool {
    Python::attach(|py| {
        // Runs the handlers for what the interpreter has not told yet.
        py.check_signals().is_ok() && !signals.bind(py).is_empty()
    })
}

fn to_error(py: Python<'_>, error: RunError) -> PyErr {
    let (message, traceback) = match error {
        RunError::Agent(Error::WorkerStart {
            pool,
            exit: WorkerExit::StartFailed { message, traceback },
        }) => {
            let message = Error::WorkerStart {
                pool,
                exit: WorkerExit::StartFailed { message, traceback: String::new() },
            };
            (message.to_string(), traceback)
        }
        RunError::Agent(error) => (error.to_string(), String::new()),
        RunError::Registry(error) => (error.to_string(), String::new()),
        RunError::Resolve(message) => (message, String::new()),
        RunError::System(error) => (format!("the agent cannot run: {error}"), String::new()),
    };
    match errors::class(py, "ServeError").and_then(|class| class.call1((message, traceback))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Log lines of the agent go to standard error, as text or as JSON; a second call changes nothing.
///
/// They are written by a thread of their own, and dropped when it cannot keep up: nobody who reads slowly, or not at
/// all, may hold up the agent.
fn start_logging(level: &str, json: bool) -> WorkerGuard {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("warn,anyserve_agent={level},anyserve_registry={level}")))
        .with_writer(writer)
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = if json { lines.json().flatten_event(true).try_init() } else { lines.try_init() };
    guard
}
