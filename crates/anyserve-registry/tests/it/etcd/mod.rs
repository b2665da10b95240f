//! The registry in etcd, a real one.

mod access;
mod faults;
mod proxy;
mod server;

use std::sync::Arc;

use anyserve_registry::{Registry, open};

use self::server::Etcd;
use crate::conformance::conformance;
use crate::support::Backend;

impl Backend for Etcd {
    fn registry(&self) -> Arc<dyn Registry> {
        open(&self.url()).unwrap()
    }

    fn elsewhere(&self) -> Arc<dyn Registry> {
        self.registry()
    }
}

conformance!(tokio::test(flavor = "multi_thread", worker_threads = 2), Etcd::start().await);
