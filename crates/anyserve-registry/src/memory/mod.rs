//! A registry in the memory of this process.

mod entries;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyserve_core::replicas::{Replica, ReplicaId};
use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::entries::Entries;
use crate::error::RegistryError;
use crate::registry::Registry;
use crate::shared::SharedDirectory;

/// The most replicas that a registry in memory takes.
pub const MAX_REPLICAS: usize = 100_000;

/// How long to wait for an end of a lease when there is none: somebody will tell of one.
const LONG: Duration = Duration::from_secs(3600);

/// A registry in memory: it is gone with the process, and those who are registered come back by themselves.
///
/// Directories that follow it change before `put` and `remove` return. Leases end while it is followed.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    state: Mutex<State>,
    /// A lease ends sooner than the one that was waited for.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: Entries,
    followers: Vec<Arc<SharedDirectory>>,
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn put(&self, replica: &Replica, lease: Duration) -> Result<(), RegistryError> {
        let now = Instant::now();
        let is_sooner = {
            let mut state = self.lock();
            state.expire(now);
            let next = state.entries.next_end();
            if state.entries.put(replica, now + lease.min(MAX_LEASE))? {
                state.followers.iter().for_each(|directory| directory.put(replica.clone()));
            }
            next != state.entries.next_end()
        };
        if is_sooner {
            self.sooner.notify_waiters();
        }
        Ok(())
    }

    async fn remove(&self, id: &ReplicaId, incarnation: Option<u64>) -> Result<bool, RegistryError> {
        let mut state = self.lock();
        state.expire(Instant::now());
        let was_there = state.entries.remove(id, incarnation);
        if was_there {
            state.tell_gone(id);
        }
        Ok(was_there)
    }

    async fn follow(&self, directory: &Arc<SharedDirectory>) -> RegistryError {
        let _following = self.add_follower(directory);
        loop {
            let mut sooner = std::pin::pin!(self.sooner.notified());
            // From here on nothing is missed.
            sooner.as_mut().enable();
            let now = Instant::now();
            let next = {
                let mut state = self.lock();
                state.expire(now);
                state.entries.next_end().unwrap_or(now + LONG)
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = sooner => {}
            }
        }
    }
}

/// The longest lease; a longer one is cut to it, so that no time overflows.
const MAX_LEASE: Duration = Duration::from_secs(30 * 24 * 3600);

impl MemoryRegistry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_follower<'a>(&'a self, directory: &'a Arc<SharedDirectory>) -> Following<'a> {
        let mut state = self.lock();
        state.expire(Instant::now());
        // Under the lock, so that no change comes before it.
        directory.replace(state.entries.replicas());
        state.followers.push(Arc::clone(directory));
        Following { registry: self, directory }
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        while let Some(id) = self.entries.take_expired(now) {
            self.tell_gone(&id);
        }
    }

    fn tell_gone(&self, id: &ReplicaId) {
        self.followers.iter().for_each(|directory| directory.remove(id));
    }
}

impl fmt::Display for MemoryRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("memory:")
    }
}

/// A directory that is told of changes, until this is dropped.
struct Following<'a> {
    registry: &'a MemoryRegistry,
    directory: &'a Arc<SharedDirectory>,
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        let place = state.followers.iter().position(|other| Arc::ptr_eq(other, self.directory));
        if let Some(place) = place {
            state.followers.swap_remove(place);
        }
    }
}
