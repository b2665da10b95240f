//! Why an object did not come.

use std::io;
use std::time::Duration;

use anyserve_core::ObjectId;

/// Why an object could not be pulled.
#[derive(Debug, thiserror::Error)]
#[error("object {id} could not be pulled from {owner}: {reason}")]
pub(crate) struct PullError {
    /// Which object.
    pub(crate) id: ObjectId,
    /// The address of the agent that has it.
    pub(crate) owner: String,
    /// What went wrong; the message says it.
    pub(crate) reason: Reason,
}

/// Why keys could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("keys could not be looked up at {owner}: {reason}")]
pub(crate) struct LookUpError {
    /// The address of the agent that was asked.
    pub(crate) owner: String,
    /// What went wrong; the message says it.
    pub(crate) reason: Reason,
}

/// What went wrong with a pull, or with keys that were looked up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    /// There is no agent.
    #[error("its owner cannot be reached: {0}")]
    Unreachable(io::Error),
    /// There is an agent, without the object.
    #[error("its owner does not have it any more")]
    Gone,
    /// What the owner has is not what the reference said.
    #[error("it has {found} bytes where {expected} were expected")]
    WrongSize {
        /// The size that the reference said.
        expected: u64,
        /// The size that the owner said.
        found: u64,
    },
    /// A chunk never came as it was sent.
    #[error("chunk {chunk} is damaged, in each of {tries} tries")]
    Corrupt {
        /// Which, counted from 0.
        chunk: u64,
        /// How often it was asked for.
        tries: u32,
    },
    /// Nothing comes any more.
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    /// Every connection broke.
    #[error("the connection broke, in each of {tries} tries: {source}")]
    Broken {
        /// How many there were without progress.
        tries: u32,
        /// How the last one broke.
        source: io::Error,
    },
    /// What answers is no agent, or one of another version.
    #[error("what answers there breaks the protocol: {0}")]
    Protocol(String),
}
