//! Objects by their keys: at this agent, or at others.

use std::time::{Duration, Instant};

use anyserve_core::Reference;
use anyserve_core::object::is_owner;
use anyserve_proto::objects::{Found, Lookup, Object as Described};
use anyserve_proto::worker::failure::Kind;
use tokio::task::JoinSet;

use super::{ObjectError, Objects};

/// The most keys that are looked up in one call.
const MOST_KEYS: usize = 10_000;

/// How many other agents are asked at a time.
const MOST_ASKED: usize = 16;

/// What other agents have of some keys.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    /// For each key the first object that an agent had.
    pub(crate) found: Vec<Option<Reference>>,
    /// Why others could not be asked.
    pub(crate) failed: Vec<ObjectError>,
}

impl Objects {
    /// The objects of these keys, at this agent or at the one that is named.
    pub(crate) async fn look_up(&self, lookup: Lookup) -> Result<Found, ObjectError> {
        let Lookup { keys, owner, timeout_us } = lookup;
        if keys.len() > MOST_KEYS {
            let count = keys.len();
            return Err(ObjectError::Invalid(format!("{count} keys are over the limit of {MOST_KEYS}")));
        }
        if owner.is_empty() || owner == self.address() {
            return Ok(self.look_up_here(&keys));
        }
        if !is_owner(&owner) {
            return Err(ObjectError::Invalid(format!(
                "owner {owner:.300?} is not HOST:PORT, the address that an agent gives its objects from"
            )));
        }
        let timeout = (timeout_us > 0).then(|| Duration::from_micros(timeout_us));
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let Elsewhere { found, mut failed } = self.lookup_elsewhere(&[owner], keys, until).await;
        if let Some(error) = failed.pop() {
            return Err(error);
        }
        let described = |reference: Option<Reference>| Described {
            reference: reference.as_ref().map(Reference::to_string).unwrap_or_default(),
            ..Described::default()
        };
        Ok(Found { objects: found.into_iter().map(described).collect() })
    }

    /// The same at this agent.
    pub(crate) fn look_up_here(&self, keys: &[String]) -> Found {
        Found { objects: keys.iter().map(|key| self.describe_key(key)).collect() }
    }

    /// Asks other agents for these keys, several at a time, until each key was found or all have answered, at most until
    /// then. `owners` are the addresses of their objects, `HOST:PORT`.
    pub(crate) async fn lookup_elsewhere(
        &self,
        owners: &[String],
        keys: Vec<String>,
        until: Option<Instant>,
    ) -> Elsewhere {
        let keys: std::sync::Arc<[String]> = keys.into();
        let mut elsewhere = Elsewhere { found: vec![None; keys.len()], failed: Vec::new() };
        let (mut left, mut asked) = (owners.iter(), JoinSet::new());
        let began = Instant::now();
        loop {
            while asked.len() < MOST_ASKED
                && let Some(owner) = left.next()
            {
                let (pulls, owner, keys) =
                    (std::sync::Arc::clone(self.pulls()), owner.clone(), std::sync::Arc::clone(&keys));
                asked.spawn(async move { pulls.look_up(&owner, &keys, began, until).await });
            }
            match asked.join_next().await {
                Some(Ok(Ok(found))) => elsewhere.add(found),
                Some(Ok(Err(error))) => elsewhere.failed.push(error),
                // One that panicked has nothing.
                Some(Err(_)) => {}
                None => return elsewhere,
            }
            if elsewhere.found.iter().all(Option::is_some) {
                return elsewhere;
            }
        }
    }
}

impl Elsewhere {
    /// What another agent has.
    fn add(&mut self, found: Vec<Option<Reference>>) {
        for (known, found) in self.found.iter_mut().zip(found) {
            if known.is_none() {
                *known = found;
            }
        }
    }
}

/// An agent that did not answer in time.
pub(super) fn late(owner: &str, waited: Duration) -> ObjectError {
    ObjectError::Pull(format!("{owner} did not say within {waited:?} what it has"), Kind::DeadlineExceeded)
}
