//! The connections to the replicas that are in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyserve_core::Replica;

use super::Fleet;
use crate::{Client, ClientError};

/// A client for each replica that a request was sent to, for as long as the replica is there.
///
/// They belong to the runtime in which they were first used.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// By endpoint: a replica that comes back elsewhere has another connection.
    clients: HashMap<String, Client>,
    /// Of the directory, when clients were last dropped.
    version: u64,
    /// Whose objects the client works with.
    home: Option<Arc<Replica>>,
}

impl Connections {
    /// A client of that replica.
    pub(super) fn to(&self, replica: &Replica, fleet: &Fleet) -> Result<Client, ClientError> {
        let mut open = self.open();
        if let Some(client) = open.clients.get(replica.endpoint()) {
            return Ok(client.clone());
        }
        open.drop_departed(fleet);
        let client = Client::of_replica(replica.endpoint())?;
        open.clients.insert(replica.endpoint().to_owned(), client.clone());
        Ok(client)
    }

    /// Lets go of the connections to replicas that are gone; what is under way on them goes on.
    pub(super) fn tidy(&self, fleet: &Fleet) {
        self.open().drop_departed(fleet);
    }

    /// The replica whose objects the client works with, if it is there.
    pub(super) fn home(&self, fleet: &Fleet) -> Option<Arc<Replica>> {
        let home = self.open().home.clone()?;
        let directory = fleet.follower.directory().read();
        directory.get(home.id()).filter(|there| there.incarnation() == home.incarnation()).cloned()
    }

    /// From now on the client works with the objects of that replica.
    pub(super) fn settle(&self, replica: Arc<Replica>) -> Arc<Replica> {
        self.open().home = Some(Arc::clone(&replica));
        replica
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn drop_departed(&mut self, fleet: &Fleet) {
        let directory = fleet.follower.directory();
        let status = directory.status();
        // What a registry says that was just lost or found is not the whole truth.
        if status.version == self.version || !status.connected {
            return;
        }
        self.version = status.version;
        let reading = directory.read();
        let there: std::collections::HashSet<_> = reading.iter().map(|replica| replica.endpoint()).collect();
        if !there.is_empty() {
            self.clients.retain(|endpoint, _| there.contains(endpoint.as_str()));
        }
    }
}
