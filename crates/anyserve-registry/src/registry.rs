//! What every registry does.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyserve_core::replicas::{Replica, ReplicaId};
use async_trait::async_trait;

use crate::error::RegistryError;
use crate::shared::SharedDirectory;

/// Where replicas are registered, and found.
///
/// Its text ([`fmt::Display`]) says where it is, without passwords.
#[async_trait]
pub trait Registry: fmt::Debug + fmt::Display + Send + Sync {
    /// Registers a replica for `lease`, renews that, or changes what the replica offers. It is gone when the lease ends.
    ///
    /// Fails with [`RegistryError::Superseded`] if a later incarnation has the id. A backend may round the lease up to
    /// whole seconds.
    async fn put(&self, replica: &Replica, lease: Duration) -> Result<(), RegistryError>;

    /// Takes a replica out. With an incarnation, only that one or an earlier one: a later one stays. True if there was
    /// one to take out.
    async fn remove(&self, id: &ReplicaId, incarnation: Option<u64>) -> Result<bool, RegistryError>;

    /// Brings all replicas into `directory`, and from then on each change, until that fails. Dropping the future ends it.
    async fn follow(&self, directory: &Arc<SharedDirectory>) -> RegistryError;
}

/// An incarnation for a process that starts now: the time, in microseconds since 1970.
pub fn incarnation() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
