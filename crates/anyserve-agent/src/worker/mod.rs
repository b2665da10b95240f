//! Worker processes: how one is started, talked to, ended and replaced.
//!
//! - `process`: a process, its channel and its claim file.
//! - `fork_server`: processes that fork workers, because that is faster.
//! - `session`: one process from start to end.
//! - `last_words`: what it wrote to stderr last.
//! - `health`: whether it is well.

mod calls;
mod exit;
mod fork_server;
mod health;
mod last_words;
mod process;
mod session;

pub use exit::WorkerExit;
pub(crate) use session::{Context, Ended, describe, run};
