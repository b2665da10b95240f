//! A registry in etcd, that any number of agents and API servers share.
//!
//! Each replica is a key, `PREFIX` and its id, whose value is its JSON; it is bound to a lease. Renewing costs no revision:
//! those who watch hear of changes only.

mod api;
mod entry;
mod lease;
mod session;
mod settings;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyserve_core::replicas::{Replica, ReplicaId};
use async_trait::async_trait;
use tokio::time::Instant;

use self::entry::Held;
use self::session::Cluster;
use self::settings::Settings;
use crate::error::RegistryError;
use crate::json;
use crate::registry::Registry;
use crate::shared::SharedDirectory;

/// What one process holds of a replica; whoever changes it has it to itself.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

/// A registry in etcd.
#[derive(Debug)]
pub(crate) struct EtcdRegistry {
    cluster: Cluster,
    /// The replicas that this process has put.
    slots: Mutex<HashMap<ReplicaId, Slot>>,
}

impl EtcdRegistry {
    /// The etcd of a URL without its `etcd://`. An error says what is wrong with it.
    pub(crate) fn new(rest: &str) -> Result<Self, String> {
        Ok(Self { cluster: Cluster::new(Settings::parse(rest)?)?, slots: Mutex::default() })
    }

    fn key(&self, id: &ReplicaId) -> Vec<u8> {
        format!("{}{id}", self.cluster.settings.prefix).into_bytes()
    }

    fn slot(&self, id: &ReplicaId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(id) {
            return Arc::clone(slot);
        }
        // Those who stopped renewing are forgotten when somebody new comes.
        let now = Instant::now();
        slots.retain(|_, slot| {
            slot.try_lock().map_or(true, |held| held.as_ref().is_some_and(|held| held.until > now))
        });
        Arc::clone(slots.entry(id.clone()).or_default())
    }
}

#[async_trait]
impl Registry for EtcdRegistry {
    async fn put(&self, replica: &Replica, lease: Duration) -> Result<(), RegistryError> {
        let (key, value) = (self.key(replica.id()), json::encode(replica));
        if value.len() > json::MAX_BYTES {
            return Err(RegistryError::TooLarge { id: replica.id().clone(), bytes: value.len() });
        }
        let slot = self.slot(replica.id());
        let mut held = slot.lock().await;
        let wanted = entry::Wanted { replica, key, value: value.into_bytes(), lease };
        let mut tries = self.cluster.tries();
        loop {
            match wanted.put(&self.cluster, &mut held).await {
                Err(failure) if failure.again && tries > 0 => tries -= 1,
                result => return result.map_err(|failure| failure.error),
            }
        }
    }

    async fn remove(&self, id: &ReplicaId, incarnation: Option<u64>) -> Result<bool, RegistryError> {
        let slot = self.slot(id);
        let mut held = slot.lock().await;
        let key = self.key(id);
        let mut tries = self.cluster.tries();
        loop {
            match entry::remove(&self.cluster, &key, incarnation, &mut held).await {
                Err(failure) if failure.again && tries > 0 => tries -= 1,
                result => return result.map_err(|failure| failure.error),
            }
        }
    }

    async fn follow(&self, directory: &Arc<SharedDirectory>) -> RegistryError {
        watch::follow(&self.cluster, directory).await
    }
}

impl fmt::Display for EtcdRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cluster.fmt(formatter)
    }
}
