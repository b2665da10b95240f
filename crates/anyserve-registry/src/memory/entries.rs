//! What is registered, and until when.

use std::collections::{BTreeSet, HashMap};

use anyserve_core::replicas::{Replica, ReplicaId};
use tokio::time::Instant;

use super::MAX_REPLICAS;
use crate::error::RegistryError;

/// The registered replicas.
#[derive(Debug, Default)]
pub(super) struct Entries {
    by_id: HashMap<ReplicaId, Entry>,
    /// When which lease ends; one for each entry.
    ends: BTreeSet<(Instant, ReplicaId)>,
}

#[derive(Debug)]
struct Entry {
    replica: Replica,
    until: Instant,
}

impl Entries {
    /// Registers a replica, or renews it; true if that changed anything but the time.
    pub(super) fn put(&mut self, replica: &Replica, until: Instant) -> Result<bool, RegistryError> {
        let id = replica.id();
        let is_change = match self.by_id.get(id) {
            Some(there) if there.replica.incarnation() > replica.incarnation() => {
                return Err(RegistryError::superseded(&there.replica));
            }
            Some(there) => {
                self.ends.remove(&(there.until, id.clone()));
                there.replica != *replica
            }
            None if self.by_id.len() >= MAX_REPLICAS => return Err(RegistryError::Full(MAX_REPLICAS)),
            None => true,
        };
        self.ends.insert((until, id.clone()));
        self.by_id.insert(id.clone(), Entry { replica: replica.clone(), until });
        Ok(is_change)
    }

    /// Takes a replica out, unless it is of a later incarnation; true if it was there.
    pub(super) fn remove(&mut self, id: &ReplicaId, incarnation: Option<u64>) -> bool {
        let is_later = |there: &Entry| incarnation.is_some_and(|limit| there.replica.incarnation() > limit);
        match self.by_id.get(id) {
            Some(there) if !is_later(there) => {
                self.ends.remove(&(there.until, id.clone()));
                self.by_id.remove(id).is_some()
            }
            _ => false,
        }
    }

    /// Takes out a replica whose lease has ended, if there is one.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<ReplicaId> {
        let (until, _) = self.ends.first()?;
        if *until > now {
            return None;
        }
        let (_, id) = self.ends.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// When the next lease ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|&(until, _)| until)
    }

    /// All of them.
    pub(super) fn replicas(&self) -> impl Iterator<Item = Replica> {
        self.by_id.values().map(|entry| entry.replica.clone())
    }
}
