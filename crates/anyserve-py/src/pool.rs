//! What the application declared of a pool.

use anyserve::proto::worker::DeclaredPool;
use pyo3::prelude::*;

use crate::handler::{self, Handler};
use crate::options::Options;

/// A pool, as `anyserve.pool.DeclaredPool` has it.
#[derive(FromPyObject)]
pub(crate) struct Pool {
    name: String,
    handlers: Vec<Handler>,
    sleeps: bool,
    options: Options,
}

impl Pool {
    /// What the agent is told.
    pub(crate) fn declaration(self) -> DeclaredPool {
        DeclaredPool {
            name: self.name,
            capabilities: self.handlers.iter().map(Handler::declaration).collect(),
            concurrency: handler::concurrency(&self.handlers),
            sleeps: self.sleeps,
            options: Some(self.options.into_message()),
        }
    }
}
