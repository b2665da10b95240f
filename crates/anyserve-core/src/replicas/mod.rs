//! The replicas of a fleet: what each of them is, and which of them match a query.

mod change;
mod directory;
mod index;
mod replica;
#[cfg(test)]
mod tests;

pub use change::{Change, Put};
pub use directory::{Directory, Matches};
pub use replica::{MAX_CAPABILITIES, MAX_ID_BYTES, Replica, ReplicaError, ReplicaId};
