//! The replicas of a fleet: what each of them is, which of them match a query, and which of those takes a request.

pub mod balance;
mod change;
mod directory;
mod index;
mod replica;
#[cfg(test)]
mod tests;

pub use change::{Change, Put};
pub use directory::{Directory, Matches};
pub use replica::{MAX_CAPABILITIES, MAX_ID_BYTES, Replica, ReplicaError, ReplicaId};
