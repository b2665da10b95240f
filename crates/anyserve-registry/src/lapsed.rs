//! Replicas that have gone without a word: they may be dead, or cut off from a registry that hung and let leases end.

use std::collections::VecDeque;
use std::time::Duration;

use anyserve_core::replicas::{Directory, Replica, ReplicaId};
use tokio::time::Instant;

/// How long they are remembered: a replica that lives is registered again long before.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How many at most; the first to go are forgotten.
const MOST: usize = 4096;

/// Those that went lately.
#[derive(Debug, Default)]
pub(crate) struct Lapsed {
    directory: Directory,
    /// When each went, in order; one entry for each.
    order: VecDeque<(Instant, ReplicaId)>,
}

impl Lapsed {
    /// Remembers a replica that is gone. One that takes no requests has said goodbye.
    pub(crate) fn add(&mut self, replica: &Replica) {
        self.forget_old();
        if !replica.capabilities().is_empty() {
            self.order.push_back((Instant::now(), replica.id().clone()));
            self.directory.put(replica.clone());
        }
    }

    /// The replica is there again.
    pub(crate) fn remove(&mut self, id: &ReplicaId) {
        if self.directory.remove(id).is_some() {
            self.order.retain(|(_, other)| other != id);
        }
    }

    /// Them, unless the last of them went too long ago.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        let (last, _) = self.order.back()?;
        (last.elapsed() < REMEMBERED).then_some(&self.directory)
    }

    fn forget_old(&mut self) {
        while let Some((went, _)) = self.order.front()
            && (went.elapsed() >= REMEMBERED || self.order.len() >= MOST)
            && let Some((_, id)) = self.order.pop_front()
        {
            self.directory.remove(&id);
        }
    }
}
