//! The registry behind an API server: a small one, that speaks the protocol and nothing more.

mod faults;
mod server;

use std::sync::Arc;

use anyserve_registry::{Registry, open};

use self::server::ApiServer;
use crate::conformance::conformance;
use crate::support::Backend;

impl Backend for ApiServer {
    fn registry(&self) -> Arc<dyn Registry> {
        open(&self.url()).unwrap()
    }

    fn elsewhere(&self) -> Arc<dyn Registry> {
        self.registry()
    }
}

conformance!(tokio::test(flavor = "multi_thread", worker_threads = 2), Some(ApiServer::start().await));
