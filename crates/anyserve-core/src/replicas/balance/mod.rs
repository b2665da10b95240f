//! Which of the replicas that match takes a request.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use anyserve_core::replicas::balance::{Balancer, Choice, Policy};
//! use anyserve_core::scheduler::Time;
//! use anyserve_core::{Replica, ReplicaId};
//!
//! # fn main() -> Result<(), anyserve_core::replicas::ReplicaError> {
//! let replicas = [Arc::new(Replica::new(ReplicaId::new("a")?, "10.0.0.1:8000", 1, [])?)];
//! let balancer = Balancer::new(Policy::PowerOfTwo);
//! let choice = Choice { now: Time(Duration::ZERO), random: 4, key: None, except: &[] };
//! let picked = balancer.pick(&replicas, &choice).expect("there is one");
//! assert_eq!(picked.replica().endpoint(), "10.0.0.1:8000");
//! picked.succeeded();
//! # Ok(())
//! # }
//! ```

mod choose;
mod hash;
mod health;
mod member;
mod policy;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use choose::View;
pub use hash::key_of;
pub use health::Failure;
use member::Members;
pub use member::Picked;
pub use policy::{Policy, UnknownPolicy};

use super::replica::{Replica, ReplicaId};
use crate::scheduler::Time;

/// How many sets of replicas take turns independently of each other.
const TURNS: usize = 64;

/// Spreads requests over replicas: by a policy, by how many requests each has under way, and past those that fail.
///
/// It counts what its own caller sends and nothing else: two clients do not know of each other. It may be shared by
/// threads. What is known of a replica that is neither busy nor failing is forgotten by itself.
#[derive(Debug)]
pub struct Balancer {
    policy: Policy,
    members: Mutex<Members>,
    /// Whose turn it is, by a hash of the replicas that there are to choose from; 0 before the first.
    turns: [AtomicUsize; TURNS],
}

/// What a request brings to the choice.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The time of the caller's clock.
    pub now: Time,
    /// A number that the caller draws anew for each choice.
    pub random: u64,
    /// Requests of one key go to one replica as long as that is there and not overloaded ([`Policy::ConsistentHash`]);
    /// those without a key are spread by [`Policy::PowerOfTwo`]. See [`key_of`].
    pub key: Option<u64>,
    /// Replicas that are not to be picked: those that the request was at before.
    pub except: &'a [ReplicaId],
}

impl Balancer {
    /// One that knows of no requests and no failures yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, members: Mutex::default(), turns: [const { AtomicUsize::new(0) }; TURNS] }
    }

    /// How it chooses.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// One of these replicas, which has a request more from now on; none if all are excepted.
    ///
    /// A replica that failed is passed over for a while, then it gets one request to prove itself. If all of them failed,
    /// the one whose failure is the longest ago is picked.
    pub fn pick(&self, replicas: &[Arc<Replica>], choice: &Choice<'_>) -> Option<Picked> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::new(&members, replicas, choice);
        let index = view.choose(self.policy, &self.turns).or_else(|| view.least_recently_failed())?;
        Some(members.take(&replicas[index], choice.now))
    }

    /// How many requests the replica has under way from here.
    pub fn outstanding(&self, id: &ReplicaId) -> usize {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).outstanding(id)
    }

    /// True if the replica is passed over at that time because it failed.
    pub fn is_ejected(&self, id: &ReplicaId, now: Time) -> bool {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).is_ejected(id, now)
    }
}
