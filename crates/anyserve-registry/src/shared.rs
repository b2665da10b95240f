//! The replicas that a process knows, for many readers and one who keeps them up to date.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use anyserve_core::replicas::{Change, Directory, Put, Replica, ReplicaId};
use tokio::sync::watch;

use crate::lapsed::Lapsed;

/// How many changes are remembered for those who ask what has changed.
const MOST_REMEMBERED: usize = 4096;

/// A directory that is read while it changes.
#[derive(Debug, Default)]
pub struct SharedDirectory {
    contents: RwLock<Contents>,
    status: watch::Sender<Status>,
}

/// How a shared directory stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Grows by one with each change. 0 until there was a snapshot: nothing is known yet, which is not the same as no
    /// replicas.
    pub version: u64,
    /// Whether the registry is followed at this moment. If not, the replicas are those of the last time.
    pub connected: bool,
}

/// What has changed since a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These changes, in order.
    Since(Vec<Change>),
    /// That version is too old, or none of this directory: all replicas that there are.
    Snapshot(Vec<Arc<Replica>>),
}

#[derive(Debug, Default)]
struct Contents {
    directory: Directory,
    version: u64,
    /// The last changes; the last of them made `version`.
    log: VecDeque<Change>,
    lapsed: Lapsed,
}

/// The directory for as long as this is held; whoever changes it waits.
#[derive(Debug)]
pub struct Reading<'a>(RwLockReadGuard<'a, Contents>);

impl std::ops::Deref for Reading<'_> {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.0.directory
    }
}

impl Reading<'_> {
    /// Replicas that went a moment ago without having withdrawn their capabilities, if there are any.
    ///
    /// A registry that hangs lets the leases of those end who are alive, and says so before they can renew them. Whoever
    /// finds nobody else may try these.
    pub fn lapsed(&self) -> Option<&Directory> {
        self.0.lapsed.directory()
    }
}

impl SharedDirectory {
    /// The directory as it is. Do not hold this across an await.
    pub fn read(&self) -> Reading<'_> {
        Reading(self.contents.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Hears of each change of that.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Waits until there was a snapshot.
    pub async fn loaded(&self) {
        self.wait_for(|status| status.version > 0).await;
    }

    /// All replicas, and the version that they make.
    pub fn snapshot(&self) -> (u64, Vec<Arc<Replica>>) {
        let contents = self.read().0;
        (contents.version, contents.replicas())
    }

    /// Waits until the version is another than `since`, and says what it is and what has changed.
    pub async fn changes(&self, since: u64) -> (u64, Changes) {
        self.wait_for(|status| status.version != since).await;
        let contents = self.read().0;
        (contents.version, contents.since(since))
    }

    /// Has these replicas and no others, and is connected: for registries, when they begin to be followed.
    pub fn replace(&self, replicas: impl IntoIterator<Item = Replica>) {
        self.change(|contents| {
            let before = contents.replicas();
            for change in contents.directory.replace(replicas) {
                if let Change::Put(replica) = &change {
                    contents.lapsed.remove(replica.id());
                }
                contents.note(change);
            }
            for replica in before {
                if contents.directory.get(replica.id()).is_none() {
                    contents.lapsed.add(&replica);
                }
            }
            // There was a snapshot, even if it was empty.
            contents.version = contents.version.max(1);
        });
        self.set_connected(true);
    }

    /// Has these replicas beside those that it had, and is connected: for registries that do not know yet who is missing.
    pub fn merge(&self, replicas: impl IntoIterator<Item = Replica>) {
        replicas.into_iter().for_each(|replica| self.put(replica));
        self.set_connected(true);
    }

    /// Puts a replica in, or changes it.
    pub fn put(&self, replica: Replica) {
        self.change(|contents| {
            if let Put::Changed(replica) = contents.directory.put(replica) {
                contents.lapsed.remove(replica.id());
                contents.note(Change::Put(replica));
            }
        });
    }

    /// Takes a replica out.
    pub fn remove(&self, id: &ReplicaId) {
        self.change(|contents| {
            if let Some(replica) = contents.directory.remove(id) {
                contents.lapsed.add(&replica);
                contents.note(Change::Gone(id.clone()));
            }
        });
    }

    /// Notes whether the registry is followed; returns whether it was.
    pub(crate) fn set_connected(&self, connected: bool) -> bool {
        let mut before = connected;
        self.status.send_if_modified(|status| {
            before = std::mem::replace(&mut status.connected, connected);
            before != connected
        });
        before
    }

    async fn wait_for(&self, condition: impl FnMut(&Status) -> bool) {
        let waited = self.status.subscribe().wait_for(condition).await.map(|_| ());
        waited.expect("the sender is here");
    }

    fn change(&self, change: impl FnOnce(&mut Contents)) {
        let version = {
            let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut contents);
            contents.version
        };
        // Another thread may have told of a later one already.
        self.status.send_if_modified(|status| {
            let is_news = version > status.version;
            status.version = status.version.max(version);
            is_news
        });
    }
}

impl Contents {
    fn note(&mut self, change: Change) {
        if self.log.len() == MOST_REMEMBERED {
            self.log.pop_front();
        }
        self.log.push_back(change);
        self.version += 1;
    }

    fn replicas(&self) -> Vec<Arc<Replica>> {
        self.directory.iter().cloned().collect()
    }

    fn since(&self, since: u64) -> Changes {
        let behind = self.version.checked_sub(since).and_then(|behind| usize::try_from(behind).ok());
        match behind.and_then(|behind| self.log.len().checked_sub(behind)) {
            Some(known) => Changes::Since(self.log.range(known..).cloned().collect()),
            None => Changes::Snapshot(self.replicas()),
        }
    }
}
