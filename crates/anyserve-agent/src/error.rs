//! Why an agent cannot serve.

use std::net::SocketAddr;

use crate::fleet::FUNCTIONS;
use crate::worker::WorkerExit;

/// Why an agent did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The port could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A pool cannot be served here.
    #[error("{0}")]
    Pool(String),
    /// The socket by which the agent is steered could not be opened.
    #[error("cannot open the control socket {path}: {source}")]
    Admin {
        /// Where it should be.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address by which others should reach the agent leads nowhere.
    #[error(
        "cannot advertise {0}: it leads nowhere from another machine; name this one (--advertise HOST:PORT)"
    )]
    Advertise(String),
    /// The agent cannot be registered under such a name or address.
    #[error("cannot register: {source} (--replica-id, --advertise)")]
    Replica {
        /// What is wrong.
        source: anyserve_core::replicas::ReplicaError,
    },
    /// There is no memory for the tensors.
    #[error("cannot make an object store of {size} bytes: {source} (--object-store-size)")]
    ObjectStore {
        /// How large it should be.
        size: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no place for objects that have to make room.
    #[error("cannot make a file for objects in {folder}: {source} (--object-spill)")]
    ObjectSpill {
        /// Where it should be.
        folder: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A worker ended before it was ready for the first time.
    #[error("{}{exit}", in_pool(pool))]
    WorkerStart {
        /// Its pool.
        pool: String,
        /// How it ended.
        exit: WorkerExit,
    },
}

/// Names the pool, if it has a name that somebody gave it.
fn in_pool(pool: &str) -> String {
    if pool == FUNCTIONS { String::new() } else { format!("pool '{pool}': ") }
}
