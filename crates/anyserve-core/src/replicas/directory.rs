//! All replicas that are known, and which of them match.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::change::{Change, Put};
use super::index::Index;
use super::replica::{Replica, ReplicaId};
use crate::capability::{CapabilityError, Query};
use crate::catalog::{self, MODEL};

/// The replicas that match a query, by id; shared, because the same few queries come again and again.
pub type Matches = Arc<[Arc<Replica>]>;

/// How many answers are remembered, and how many replicas they may name together.
const MOST_REMEMBERED: usize = 4096;
const MOST_NAMED: usize = 1 << 20;

/// The replicas of a fleet.
#[derive(Debug, Default)]
pub struct Directory {
    replicas: BTreeMap<ReplicaId, Arc<Replica>>,
    index: Index,
    /// Answers since the last change.
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    answers: HashMap<Query, Matches, foldhash::fast::RandomState>,
    named: usize,
}

impl Directory {
    /// Puts a replica in, in place of an earlier incarnation, or of what it was until now.
    pub fn put(&mut self, replica: Replica) -> Put {
        match self.replicas.get(replica.id()) {
            Some(there) if there.incarnation() > replica.incarnation() => {
                return Put::Superseded(Arc::clone(there));
            }
            Some(there) if **there == replica => return Put::Same,
            Some(there) => self.index.remove(there),
            None => {}
        }
        let replica = Arc::new(replica);
        self.index.insert(&replica);
        self.replicas.insert(replica.id().clone(), Arc::clone(&replica));
        self.forget_answers();
        Put::Changed(replica)
    }

    /// Takes a replica out; none if it is not there.
    pub fn remove(&mut self, id: &ReplicaId) -> Option<Arc<Replica>> {
        let replica = self.replicas.remove(id)?;
        self.index.remove(&replica);
        self.forget_answers();
        Some(replica)
    }

    /// Has these replicas and no others; returns what that changed.
    pub fn replace(&mut self, replicas: impl IntoIterator<Item = Replica>) -> Vec<Change> {
        let mut left: BTreeSet<_> = self.replicas.keys().cloned().collect();
        let mut changes = Vec::new();
        for replica in replicas {
            // Whoever says what there is knows better than what is remembered here.
            if self.get(replica.id()).is_some_and(|there| there.incarnation() > replica.incarnation()) {
                self.remove(replica.id());
            }
            left.remove(replica.id());
            if let Put::Changed(replica) = self.put(replica) {
                changes.push(Change::Put(replica));
            }
        }
        for id in left {
            self.remove(&id);
            changes.push(Change::Gone(id));
        }
        changes
    }

    /// The replica of that name.
    pub fn get(&self, id: &ReplicaId) -> Option<&Arc<Replica>> {
        self.replicas.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Replica>> {
        self.replicas.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.replicas.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.replicas.is_empty()
    }

    /// The replicas that match.
    pub fn matching(&self, query: &Query) -> Matches {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(matches) = remembered.answers.get(query) {
            return Arc::clone(matches);
        }
        let matches: Matches = self.index.matching(query).into();
        remembered.add(query, &matches);
        matches
    }

    /// The query behind a model name: `{model: NAME}` if any capability of the fleet has that model, else
    /// `{type: NAME}`; a version adds `{version: V}`.
    pub fn query_for_model(&self, name: &str, version: &str) -> Result<Query, CapabilityError> {
        catalog::query_for_model(name, version, self.index.has(MODEL, name))
    }

    /// A sentence for a request that no replica matches: the query, and some of what exists.
    pub fn explain_no_match(&self, query: &Query) -> String {
        catalog::explain_no_match(query, self.index.len(), self.index.capabilities(), "by any replica")
    }

    fn forget_answers(&mut self) {
        *self.remembered.get_mut().unwrap_or_else(PoisonError::into_inner) = Remembered::default();
    }
}

impl Remembered {
    fn add(&mut self, query: &Query, matches: &Matches) {
        if self.answers.len() >= MOST_REMEMBERED || self.named + matches.len() > MOST_NAMED {
            *self = Self::default();
        }
        self.named += matches.len();
        self.answers.insert(query.clone(), Arc::clone(matches));
    }
}
