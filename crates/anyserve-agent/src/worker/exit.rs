//! How a worker ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// How a worker ended; its text completes "the worker …".
#[derive(Debug)]
pub enum WorkerExit {
    /// The program could not be started.
    Spawn(std::io::Error),
    /// The application could not be loaded.
    StartFailed {
        /// What was wrong.
        message: String,
        /// The user's traceback, or empty.
        traceback: String,
    },
    /// It was not ready in time.
    StartTimedOut(Duration),
    /// What it said it serves was refused.
    Refused(String),
    /// It ended without being asked to.
    Exited(ExitStatus),
    /// It closed its channel but went on, and was killed.
    Disconnected,
    /// It sent what no honest worker sends, and was killed.
    Malformed(String),
    /// A handler ran longer than its timeout, and it was killed.
    Hung(Duration),
    /// It was asked to stop.
    Stopped,
}

impl WorkerExit {
    /// The kind of end, as the metrics call it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Spawn(_) | Self::StartFailed { .. } | Self::StartTimedOut(_) | Self::Refused(_) => {
                "start_failed"
            }
            Self::Exited(status) if status.signal().is_some() => "killed",
            Self::Exited(_) => "exited",
            Self::Disconnected => "disconnected",
            Self::Malformed(_) => "protocol",
            Self::Hung(_) => "hung",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for WorkerExit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(formatter, "the worker could not be started: {error}"),
            Self::StartFailed { message, .. } => formatter.write_str(message),
            Self::StartTimedOut(limit) => {
                write!(formatter, "the worker was not ready within {limit:?} (--start-timeout)")
            }
            Self::Refused(reason) => write!(formatter, "the worker was refused: {reason}"),
            Self::Exited(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => write!(formatter, "the worker was killed by {}", signal_name(signal)),
                (None, code) => write!(formatter, "the worker exited with code {}", code.unwrap_or_default()),
            },
            Self::Disconnected => formatter.write_str("the worker closed its control channel"),
            Self::Malformed(reason) => {
                write!(formatter, "the worker broke the protocol: {reason}")
            }
            Self::Hung(limit) => {
                write!(formatter, "the worker was killed: its handler ran longer than {limit:?}")
            }
            Self::Stopped => formatter.write_str("the worker was stopped"),
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL (out of memory, or by hand)",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
