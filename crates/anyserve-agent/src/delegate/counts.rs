//! How many requests went to which replica, and how they ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyserve_core::ReplicaId;

/// Replicas that are counted apart; what goes to others is counted together.
const MOST_COUNTED: usize = 1024;

/// The name under which the others are counted.
const OTHERS: &str = "others";

/// By replica.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<String, PeerCounts>>);

/// Of one replica: how many requests had that outcome, the name of a gRPC status in lower case.
pub(crate) type PeerCounts = BTreeMap<&'static str, u64>;

impl Counts {
    /// A request that was passed on has ended.
    pub(super) fn ended(&self, replica: &ReplicaId, outcome: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.len() >= MOST_COUNTED;
        let name = if full && !counts.contains_key(replica.as_str()) { OTHERS } else { replica.as_str() };
        if let Some(of_replica) = counts.get_mut(name) {
            *of_replica.entry(outcome).or_default() += 1;
        } else {
            counts.insert(name.to_owned(), BTreeMap::from([(outcome, 1)]));
        }
    }

    /// All of them.
    pub(crate) fn get(&self) -> BTreeMap<String, PeerCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
