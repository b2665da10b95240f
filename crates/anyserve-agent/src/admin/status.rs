//! Everything that is to be seen of an agent at a moment.

use std::net::SocketAddr;

use anyserve_proto::admin::StatusResponse;

use crate::dispatch::Dispatcher;
use crate::telemetry::resident;

/// The state of the agent that listens there.
pub(crate) fn status(dispatcher: &Dispatcher, address: SocketAddr) -> StatusResponse {
    let mut status = StatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: address.to_string(),
        pid: std::process::id(),
        resident_memory: resident(std::process::id()).unwrap_or_default(),
        ..dispatcher.status()
    };
    for worker in status.pools.iter_mut().flat_map(|pool| &mut pool.workers) {
        worker.resident_memory = resident(worker.pid).unwrap_or_default();
    }
    status
}
