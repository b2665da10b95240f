//! Why an agent cannot serve.

use std::net::SocketAddr;

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
    /// A worker ended before it was ready for the first time.
    #[error("{0}")]
    WorkerStart(WorkerExit),
}
