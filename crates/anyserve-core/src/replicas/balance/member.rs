//! What is known of each replica: its requests under way, and how the last ones went.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::health::{Failure, Health, Standing};
use crate::replicas::replica::{Replica, ReplicaId};
use crate::scheduler::Time;

/// From how many on it is worth looking for some to forget.
const FEW: usize = 64;

/// The replicas that something is known of.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_id: HashMap<ReplicaId, Arc<Member>, foldhash::fast::RandomState>,
    /// How many there may be before some are forgotten.
    enough: usize,
}

#[derive(Debug)]
pub(super) struct Member {
    incarnation: u64,
    outstanding: AtomicUsize,
    health: Mutex<Health>,
}

/// A replica that was picked for a request, which counts as under way until this is dropped.
#[derive(Debug)]
pub struct Picked {
    replica: Arc<Replica>,
    member: Arc<Member>,
    /// It is the request that shows whether the replica is well again.
    trial: bool,
}

impl Members {
    /// Gives the replica a request more.
    pub(super) fn take(&mut self, replica: &Arc<Replica>, now: Time) -> Picked {
        let member = match self.by_id.get(replica.id()) {
            Some(member) if member.incarnation == replica.incarnation() => Arc::clone(member),
            // Another start of it: what was known is over.
            _ => self.add(replica),
        };
        member.outstanding.fetch_add(1, Ordering::Relaxed);
        let trial = member.health().picked(now);
        Picked { replica: Arc::clone(replica), member, trial }
    }

    pub(super) fn outstanding(&self, id: &ReplicaId) -> usize {
        self.by_id.get(id).map_or(0, |member| member.outstanding.load(Ordering::Relaxed))
    }

    pub(super) fn is_ejected(&self, id: &ReplicaId, now: Time) -> bool {
        self.by_id.get(id).is_some_and(|member| member.health().standing(now) == Standing::Ejected)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Its requests under way; none if it must not have another.
    pub(super) fn load(&self, replica: &Replica, now: Time) -> Option<usize> {
        let Some(member) = self.of(replica) else { return Some(0) };
        let usable = member.health().standing(now) != Standing::Ejected;
        usable.then(|| member.outstanding.load(Ordering::Relaxed))
    }

    pub(super) fn last_failure(&self, replica: &Replica) -> Option<Time> {
        self.of(replica)?.health().last_failure()
    }

    fn of(&self, replica: &Replica) -> Option<&Arc<Member>> {
        self.by_id.get(replica.id()).filter(|member| member.incarnation == replica.incarnation())
    }

    fn add(&mut self, replica: &Replica) -> Arc<Member> {
        if self.by_id.len() >= self.enough.max(FEW) {
            self.by_id.retain(|_, member| Arc::strong_count(member) > 1 || !member.health().is_clean());
            self.enough = self.by_id.len() * 2;
        }
        let member = Arc::new(Member {
            incarnation: replica.incarnation(),
            outstanding: AtomicUsize::new(0),
            health: Mutex::default(),
        });
        self.by_id.insert(replica.id().clone(), Arc::clone(&member));
        member
    }
}

impl Member {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Picked {
    /// Which one it is.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// The replica has answered, if only that it is busy or that the request is wrong.
    pub fn succeeded(&self) {
        self.member.health().succeeded();
    }

    /// The replica has failed.
    pub fn failed(&self, failure: Failure, now: Time) {
        self.member.health().failed(failure, now);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.member.outstanding.fetch_sub(1, Ordering::Relaxed);
        if self.trial {
            self.member.health().trial_ended();
        }
    }
}
