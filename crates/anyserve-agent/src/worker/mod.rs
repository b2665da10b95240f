//! Worker processes: how one is started, talked to, ended and replaced.
//!
//! - `process`: a process, its channel and its claim file.
//! - `session`: one process from start to end.
//! - `slot`: a place that always holds a process, one after the other.

mod exit;
mod process;
mod session;
mod slot;

pub use exit::WorkerExit;
pub(crate) use slot::{SlotEvent, Supervisor};
