//! What an agent is told at its start; validated by whoever makes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyserve_core::Capability;
use anyserve_core::replicas::ReplicaId;
use anyserve_proto::worker::PoolOptions;
use anyserve_registry::Registry;
use tokio::sync::Notify;

/// The settings of an agent.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct AgentConfig {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Where it serves the REST API, if it does; port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// What it serves.
    pub fleet: FleetConfig,
    /// Where that comes from, for an agent that can be told to read it again.
    pub reload: Option<Reload>,
    /// The largest request or response, in bytes.
    pub max_message_size: usize,
    /// How many requests may wait.
    pub max_queue_size: usize,
    /// How many bytes of tensors the requests that have not ended may hold together.
    pub max_queue_bytes: u64,
    /// How many bytes the object store has, where the large tensors of requests and responses lie.
    pub object_store_size: u64,
    /// Where objects go that have to make room in it; they are lost if it is none.
    pub object_spill: Option<ObjectSpill>,
    /// Where other agents get this one's objects; port 0 takes a free one.
    pub object_address: SocketAddr,
    /// The name or address by which other agents reach that; by default the address itself.
    pub object_host: Option<String>,
    /// Whether what comes from other agents is checked against a checksum, beyond TCP's own.
    pub object_checksum: bool,
    /// Whether clients may pass tensors in shared memory that they register (KServe's system shared memory).
    pub allow_client_shm: bool,
    /// How long a stream waits for a client that takes nothing of it.
    pub stream_stall_timeout: Duration,
    /// Where the metrics are served.
    pub metrics: Metrics,
    /// The folder of the socket by which the agent is steered, `PORT.sock`; none for an agent without one.
    pub admin_folder: Option<PathBuf>,
    /// Where is kept what workers said they serve, so that their pools need no worker to be known the next time.
    pub memory_folder: Option<PathBuf>,
    /// Whether clients may load and unload by KServe's repository calls.
    pub model_control: bool,
    /// How it takes part in a fleet; none for an agent by itself.
    pub replica: Option<ReplicaConfig>,
    /// How long a worker may take until it is ready, unless its pool says.
    pub start_timeout: Duration,
    /// How long requests may go on after the agent was told to stop.
    pub drain_timeout: Duration,
    /// Whether a handler's traceback is sent to the client.
    pub debug: bool,
}

/// A file for objects that had to make room in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSpill {
    /// Where it is, without a name: it is gone with the agent, however that ends.
    pub folder: PathBuf,
    /// How many bytes it takes at most.
    pub size: u64,
}

impl ObjectSpill {
    /// A file of 10 GiB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), size: 10 << 30 }
    }
}

/// How an agent takes part in a fleet.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// Where it registers, and hears of the others.
    pub registry: Arc<dyn Registry>,
    /// What it is called; by default by the machine's name and its port.
    pub id: Option<ReplicaId>,
    /// `HOST` or `HOST:PORT` by which others reach it; by default where it listens, or the machine's name if it listens
    /// everywhere.
    pub advertise: Option<String>,
    /// How long it is registered after the registry last heard of it.
    pub lease: Duration,
}

impl ReplicaConfig {
    /// The usual settings.
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, id: None, advertise: None, lease: Duration::from_secs(15) }
    }
}

/// The pools, and what there is for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetConfig {
    /// The GPUs, by index.
    pub gpus: Vec<u32>,
    /// How much there is of each named resource; `memory` is in bytes.
    pub amounts: BTreeMap<String, u64>,
    /// The pools.
    pub pools: Vec<PoolConfig>,
}

/// A set of identical workers.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Its name, by which it is steered.
    pub name: String,
    /// What starts a worker.
    pub command: WorkerCommand,
    /// What it serves, if that is known; a worker that serves something else is refused.
    pub capabilities: Vec<Capability>,
    /// How the rest is found out.
    pub learn: Learn,
    /// How its workers are run; this goes before what the application declares.
    pub options: PoolOptions,
}

/// How it is found out what a pool serves, and what its application declares.
#[derive(Clone, Debug, PartialEq)]
pub enum Learn {
    /// From a worker. If none has to be kept, and none is remembered, one is started to find out.
    FromWorker {
        /// What workers said is kept for the next time.
        remember: bool,
    },
    /// Without a worker: this command says what the application declares, and ends.
    FromDeclaration {
        /// The command.
        describe: WorkerCommand,
        /// Which of the application's pools it is; none for the only one.
        pool: Option<String>,
    },
    /// From a worker, which may say instead that the application has several pools. Each of them is then started by the
    /// same command with `--pool NAME` behind it.
    FromApplication,
}

/// A program that speaks the worker's end of the control channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerCommand {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, beside the agent's own.
    pub env: BTreeMap<OsString, OsString>,
}

/// How an agent reads its configuration again.
#[derive(Clone)]
pub struct Reload {
    /// Reads it; an error says what was wrong with it.
    pub read: Arc<dyn Fn() -> Result<FleetConfig, String> + Send + Sync>,
    /// Every pool is replaced, because its code may have changed; else only those whose configuration has.
    pub all: bool,
    /// Tells the agent to do so.
    pub trigger: Arc<Notify>,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    Off,
    /// There; port 0 takes a free one.
    At(SocketAddr),
    /// There, or, if that port is taken, at a free one.
    Near(SocketAddr),
}

impl AgentConfig {
    /// The usual settings.
    pub fn new(address: SocketAddr, fleet: FleetConfig) -> Self {
        Self {
            address,
            http: None,
            fleet,
            reload: None,
            max_message_size: 64 << 20,
            max_queue_size: 10_000,
            max_queue_bytes: 1 << 30,
            object_address: (address.ip(), 0).into(),
            object_host: None,
            object_checksum: false,
            allow_client_shm: false,
            object_spill: None,
            object_store_size: memory_of_machine().map_or(1 << 30, |bytes| bytes / 4),
            stream_stall_timeout: Duration::from_secs(60),
            metrics: Metrics::Off,
            admin_folder: None,
            memory_folder: None,
            model_control: true,
            replica: None,
            start_timeout: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(30),
            debug: false,
        }
    }
}

/// How many bytes of memory the machine has, if the system says.
fn memory_of_machine() -> Option<u64> {
    let said = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = said.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

impl FleetConfig {
    /// One pool of so many workers.
    pub fn of(command: WorkerCommand, workers: u32) -> Self {
        let options = PoolOptions { min: Some(workers), max: Some(workers), ..Default::default() };
        let pools = vec![PoolConfig { options, ..PoolConfig::new("default", command) }];
        Self { pools, ..Self::default() }
    }
}

impl PoolConfig {
    /// A pool of which nothing else is known.
    pub fn new(name: impl Into<String>, command: WorkerCommand) -> Self {
        Self {
            name: name.into(),
            command,
            capabilities: Vec::new(),
            learn: Learn::FromApplication,
            options: PoolOptions::default(),
        }
    }
}

impl WorkerCommand {
    /// A program with these arguments.
    pub fn new(program: impl Into<OsString>, args: impl IntoIterator<Item = OsString>) -> Self {
        Self { program: program.into(), args: args.into_iter().collect(), env: BTreeMap::new() }
    }

    /// The same for one pool of the application.
    pub(crate) fn for_pool(&self, name: &str) -> Self {
        let mut command = self.clone();
        command.args.extend(["--pool".into(), name.into()]);
        command
    }

    /// The same to say what the application declares, and to end.
    pub(crate) fn describing(&self) -> Self {
        let mut command = self.clone();
        command.args.push("--describe".into());
        command
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reload")
    }
}
