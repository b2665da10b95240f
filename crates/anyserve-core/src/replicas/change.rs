//! What becomes of a directory when replicas come and go.

use std::sync::Arc;

use super::replica::{Replica, ReplicaId};

/// What happened to a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The replica is new, or is something else than it was.
    Put(Arc<Replica>),
    /// There is no such replica any more.
    Gone(ReplicaId),
}

/// What became of a replica that was put into a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Changed(Arc<Replica>),
    /// It was there already, as it is.
    Same,
    /// A later incarnation has the id.
    Superseded(Arc<Replica>),
}
