//! anyserve for Rust programs: run an agent, write a worker, or call a server.
//!
//! - [`agent`]: take requests over KServe v2 gRPC and run the worker processes that answer them.
//! - [`worker`]: be such a process.
//! - [`client`]: send requests.
//! - [`registry`]: who offers what, where several agents make a fleet.
//! - [`core`]: capabilities, and the decisions of the scheduler.
//! - [`proto`]: the messages.
//!
//! An agent that runs three workers of a program, until Ctrl-C:
//!
//! ```no_run
//! use anyserve::agent::{Agent, AgentConfig, FleetConfig, Shutdown, WorkerCommand};
//!
//! # async fn example() -> Result<(), anyserve::agent::Error> {
//! let fleet = FleetConfig::of(WorkerCommand::new("./my-worker", []), 3);
//! let config = AgentConfig::new(([127, 0, 0, 1], 8000).into(), fleet);
//! let shutdown = Shutdown::default();
//! let drain = shutdown.drain.clone();
//! tokio::spawn(async move {
//!     if tokio::signal::ctrl_c().await.is_ok() {
//!         drain.cancel();
//!     }
//! });
//! Agent::bind(config).await?.run(shutdown, |served| println!("ready at {}", served.address)).await
//! # }
//! ```

pub use anyserve_agent as agent;
pub use anyserve_client as client;
pub use anyserve_core as core;
pub use anyserve_proto as proto;
pub use anyserve_registry as registry;
pub use anyserve_worker as worker;
