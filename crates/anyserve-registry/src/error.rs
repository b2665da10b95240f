//! What can go wrong with a registry.

use anyserve_core::replicas::{Replica, ReplicaId};

/// Why a registry did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The URL names no registry. What it may hold of a password is not in the message.
    #[error("'{url}' is no registry: {reason}")]
    Url {
        /// The URL without user and password.
        url: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A replica that started later has the id.
    #[error("replica '{id}' is superseded by a later one of the same id: {by}")]
    Superseded {
        /// The id that both have.
        id: ReplicaId,
        /// Where the later one is, as far as that is known.
        by: String,
    },
    /// The registry has as many replicas as it takes.
    #[error("the registry is full: it has {0} replicas, which is the limit")]
    Full(usize),
    /// The replica is larger than a registry takes.
    #[error("replica '{id}' is {bytes} bytes as JSON, over the limit of {limit}; it needs fewer capabilities", limit = crate::json::MAX_BYTES)]
    TooLarge {
        /// Its id.
        id: ReplicaId,
        /// How large it is.
        bytes: usize,
    },
    /// Nobody answers, or the connection broke. It may work later.
    #[error("cannot reach the registry at {place}: {reason}")]
    Unreachable {
        /// Where it should be.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// The registry answered that it will not.
    #[error("the registry at {place} refused: {reason}")]
    Refused {
        /// Where it is.
        place: String,
        /// What it said.
        reason: String,
    },
    /// The registry answered what it must not.
    #[error("the registry at {place} answers something else than the protocol says: {reason}")]
    Protocol {
        /// Where it is.
        place: String,
        /// What it answered.
        reason: String,
    },
}

impl RegistryError {
    /// The error for a replica whose id a later one has.
    pub(crate) fn superseded(by: &Replica) -> Self {
        let place = format!("{} (incarnation {})", by.endpoint(), by.incarnation());
        Self::Superseded { id: by.id().clone(), by: place }
    }
}
