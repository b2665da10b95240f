//! The agent: one per machine. It takes requests over KServe v2 gRPC, queues them by capability, and runs the worker
//! processes that answer them.
//!
//! - [`Agent::bind`] opens the port, [`Agent::run`] serves until the [`Shutdown`] that the caller owns says stop.
//! - `ingress` turns gRPC into requests, as `local` does what clients say that share memory with the agent; `dispatch`
//!   brings them to workers and their answers back, `fleet` keeps the pools, `worker` is one process from its start to
//!   its end, `telemetry` counts what happens. What is decided, and when, stands in `anyserve-core`.

mod admin;
mod agent;
mod config;
mod connection;
mod delegate;
mod dispatch;
mod error;
mod failure;
mod fleet;
mod health;
mod ingress;
mod listen;
mod local;
mod objects;
mod replicas;
mod rest;
mod telemetry;
mod trace;
mod worker;

pub use agent::{Agent, Served, Shutdown};
pub use config::{
    AgentConfig, FleetConfig, Learn, Metrics, ObjectSpill, PoolConfig, Reload, ReplicaConfig, WorkerCommand,
};
pub use error::Error;
pub use worker::WorkerExit;
