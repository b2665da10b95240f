//! How a worker ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyserve_proto::worker::DeclaredPool;

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
    StartTimedOut {
        /// How long it had.
        limit: Duration,
        /// What set that limit.
        option: &'static str,
    },
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
    /// It gave no sign of life for that long, and was killed.
    Silent(Duration),
    /// It held more memory than it may, and was killed.
    OverMemory {
        /// How much it held.
        resident: u64,
        /// How much it may hold.
        limit: u64,
    },
    /// It could not fall asleep or wake, and was killed.
    HookFailed {
        /// What was wrong.
        message: String,
        /// The user's traceback, or empty.
        traceback: String,
    },
    /// It took too long to fall asleep or to wake, and was killed.
    HookTimedOut(Duration),
    /// It said what its application declares, and ended.
    Declared(Vec<DeclaredPool>),
    /// It was asked to stop.
    Stopped,
}

impl WorkerExit {
    /// The kind of end, as the metrics call it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Spawn(_) | Self::StartFailed { .. } | Self::StartTimedOut { .. } | Self::Refused(_) => {
                "start_failed"
            }
            Self::Exited(status) if status.signal().is_some() => "killed",
            Self::Exited(_) => "exited",
            Self::Disconnected => "disconnected",
            Self::Malformed(_) => "protocol",
            Self::Hung(_) => "hung",
            Self::Silent(_) => "silent",
            Self::OverMemory { .. } => "memory",
            Self::HookFailed { .. } | Self::HookTimedOut(_) => "hook_failed",
            Self::Declared(_) => "declared",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for WorkerExit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(formatter, "the worker could not be started: {error}"),
            Self::StartFailed { message, .. } => formatter.write_str(message),
            Self::StartTimedOut { limit, option } => {
                write!(formatter, "the worker was not ready within {limit:?} ({option})")
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
            Self::Silent(limit) => {
                write!(
                    formatter,
                    "the worker was killed: it gave no sign of life for {limit:?} (heartbeat_timeout)"
                )
            }
            Self::OverMemory { resident, limit } => write!(
                formatter,
                "the worker was killed: it held {} MiB of memory, which is over its max_rss of {} MiB",
                resident >> 20,
                limit >> 20
            ),
            Self::HookFailed { message, .. } => write!(formatter, "the worker was killed: {message}"),
            Self::HookTimedOut(limit) => {
                write!(
                    formatter,
                    "the worker was killed: falling asleep or waking took over {limit:?} (start_timeout)"
                )
            }
            Self::Declared(_) => formatter.write_str("the worker said what its application declares"),
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
