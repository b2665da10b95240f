//! The objects that this process had in its hands a moment ago: to get one of them again takes no word with the agent.
//!
//! Objects never change, so what is found here is right; it may only be there a moment longer than for others, after
//! somebody else has deleted it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_core::{ObjectId, Reference};
use bytes::Bytes;

/// The most objects that are kept.
const MOST: usize = 64;

/// For so long the agent's word is taken to hold.
const KEPT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<HashMap<ObjectId, Kept>>);

#[derive(Debug)]
struct Kept {
    reference: Reference,
    bytes: Bytes,
    /// When it has to be asked for again.
    until: Instant,
}

impl Recent {
    pub(crate) fn add(&self, reference: Reference, bytes: Bytes, ttl: Option<Duration>) {
        let now = Instant::now();
        let until = now + ttl.map_or(KEPT, |ttl| ttl.min(KEPT));
        let mut kept = self.lock();
        if kept.len() >= MOST
            && let Some(oldest) = kept.iter().min_by_key(|(_, kept)| kept.until).map(|(&id, _)| id)
        {
            kept.remove(&oldest);
        }
        kept.insert(reference.id, Kept { reference, bytes, until });
    }

    /// The object of that reference.
    pub(crate) fn get(&self, reference: &Reference) -> Option<(Reference, Bytes)> {
        let now = Instant::now();
        let mut kept = self.lock();
        let found = kept.get(&reference.id)?;
        if found.until <= now {
            kept.remove(&reference.id);
            return None;
        }
        // A forged reference is for the agent to refuse.
        if found.reference.size != reference.size || found.reference.owner != reference.owner {
            return None;
        }
        Some((found.reference.clone(), found.bytes.clone()))
    }

    pub(crate) fn remove(&self, id: ObjectId) {
        self.lock().remove(&id);
    }

    /// Lets go of what would have to be asked for again.
    pub(crate) fn tidy(&self) {
        let now = Instant::now();
        self.lock().retain(|_, kept| kept.until > now);
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
