//! The replicas that this one has sent requests to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::task::TaskTracker;

use super::peer::Peer;

/// From so many on, those without a connection are forgotten.
const FEW: usize = 16;

/// By endpoint.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: Mutex<HashMap<Box<str>, Arc<Peer>>>,
    tasks: TaskTracker,
}

impl Peers {
    /// The one at that endpoint; it may not be connected.
    pub(super) fn get(&self, endpoint: &str) -> Arc<Peer> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = all.get(endpoint) {
            return Arc::clone(peer);
        }
        if all.len() >= FEW {
            all.retain(|_, peer| Arc::strong_count(peer) > 1 || peer.is_connected());
        }
        let peer = Arc::new(Peer::new(endpoint, self.tasks.clone()));
        all.insert(endpoint.into(), Arc::clone(&peer));
        peer
    }
}
