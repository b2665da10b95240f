//! The agent: one per machine. It takes requests over KServe v2 gRPC, queues them by capability, and runs the worker
//! processes that answer them.
//!
//! - [`Agent::bind`] opens the port, [`Agent::run`] serves until the [`Shutdown`] that the caller owns says stop.
//! - `ingress` turns gRPC into requests, `dispatch` brings them to workers and their answers back, `telemetry`
//!   counts what happens, `worker` starts,
//!   watches and restarts the processes. What is decided, and when, stands in `anyserve-core`.

mod agent;
mod config;
mod dispatch;
mod error;
mod failure;
mod ingress;
mod listen;
mod telemetry;
mod worker;

pub use agent::{Agent, Served, Shutdown};
pub use config::{AgentConfig, Metrics, WorkerCommand};
pub use error::Error;
pub use worker::WorkerExit;
