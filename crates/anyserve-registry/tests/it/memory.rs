//! The registry in memory. Its time is tokio's, which passes by itself when nobody has anything to do.

use std::sync::Arc;

use anyserve_registry::{MemoryRegistry, Registry};

use crate::conformance::conformance;
use crate::support::Backend;

struct Memory(Arc<MemoryRegistry>);

impl Memory {
    fn new() -> Self {
        Self(Arc::default())
    }
}

impl Backend for Memory {
    fn registry(&self) -> Arc<dyn Registry> {
        self.0.clone()
    }

    fn elsewhere(&self) -> Arc<dyn Registry> {
        self.0.clone()
    }
}

conformance!(tokio::test(start_paused = true), Some(Memory::new()));
