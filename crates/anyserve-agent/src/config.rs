//! What an agent is told at its start; validated by whoever makes it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

/// The settings of an agent.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// What starts a worker.
    pub command: WorkerCommand,
    /// How many workers it keeps.
    pub workers: usize,
    /// The largest request or response, in bytes.
    pub max_message_size: usize,
    /// How many requests may wait.
    pub max_queue_size: usize,
    /// How many bytes of tensors the requests that have not ended may hold together.
    pub max_queue_bytes: u64,
    /// How long a stream waits for a client that takes nothing of it.
    pub stream_stall_timeout: Duration,
    /// Where the metrics are served.
    pub metrics: Metrics,
    /// How long a worker may take until it is ready.
    pub start_timeout: Duration,
    /// How long requests may go on after the agent was told to stop.
    pub drain_timeout: Duration,
    /// Whether a handler's traceback is sent to the client.
    pub debug: bool,
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

/// A program that speaks the worker's end of the control channel.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl AgentConfig {
    /// The usual settings for that command.
    pub fn new(address: SocketAddr, command: WorkerCommand) -> Self {
        Self {
            address,
            command,
            workers: 1,
            max_message_size: 64 << 20,
            max_queue_size: 10_000,
            max_queue_bytes: 1 << 30,
            stream_stall_timeout: Duration::from_secs(60),
            metrics: Metrics::Off,
            start_timeout: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(30),
            debug: false,
        }
    }
}
