//! From pairs to the capabilities that have them, and from capabilities to the replicas that offer them.

use std::collections::HashMap;
use std::sync::Arc;

use super::replica::Replica;
use crate::capability::{Capability, Query};

/// Numbers of offers, in ascending order.
type Numbers = Vec<u32>;

/// All capabilities that any replica has, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    offers: Vec<Offer>,
    /// Places in `offers` that nobody has.
    free: Numbers,
    numbers: HashMap<Capability, u32>,
    /// By key, then by value.
    having: HashMap<String, HashMap<String, Numbers>>,
}

#[derive(Clone, Debug)]
struct Offer {
    capability: Capability,
    replicas: Vec<Arc<Replica>>,
}

impl Index {
    pub(super) fn insert(&mut self, replica: &Arc<Replica>) {
        for capability in replica.capabilities() {
            let number = self.numbers.get(capability).copied().unwrap_or_else(|| self.add(capability));
            self.offers[number as usize].replicas.push(Arc::clone(replica));
        }
    }

    pub(super) fn remove(&mut self, replica: &Replica) {
        for capability in replica.capabilities() {
            let Some(&number) = self.numbers.get(capability) else { continue };
            let replicas = &mut self.offers[number as usize].replicas;
            if let Some(place) = replicas.iter().position(|other| other.id() == replica.id()) {
                replicas.swap_remove(place);
            }
            if replicas.is_empty() {
                self.forget(number);
            }
        }
    }

    /// The replicas that match, each once, by id.
    pub(super) fn matching(&self, query: &Query) -> Vec<Arc<Replica>> {
        let numbers = self.numbers_of(query);
        let mut replicas: Vec<_> =
            numbers.iter().flat_map(|&number| &self.offers[number as usize].replicas).cloned().collect();
        // Numbers are compared faster than names, and most of a replica's many mentions are gone by then.
        replicas.sort_unstable_by_key(Arc::as_ptr);
        replicas.dedup_by_key(|replica| Arc::as_ptr(replica));
        replicas.sort_unstable_by(|one, other| one.id().cmp(other.id()));
        replicas
    }

    /// True if a capability has that pair.
    pub(super) fn has(&self, key: &str, value: &str) -> bool {
        self.numbers_with(key, value).is_some()
    }

    /// All capabilities, those that came first before the others.
    pub(super) fn capabilities(&self) -> impl Iterator<Item = &Capability> {
        let offered = self.offers.iter().filter(|offer| !offer.replicas.is_empty());
        offered.map(|offer| &offer.capability)
    }

    /// How many capabilities there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    fn add(&mut self, capability: &Capability) -> u32 {
        let offer = Offer { capability: capability.clone(), replicas: Vec::new() };
        let number = if let Some(number) = self.free.pop() {
            self.offers[number as usize] = offer;
            number
        } else {
            self.offers.push(offer);
            u32::try_from(self.offers.len() - 1).expect("offers take far more memory than their numbers")
        };
        for (key, value) in capability.pairs() {
            let numbers = self.having.entry(key.clone()).or_default().entry(value.clone()).or_default();
            if let Err(place) = numbers.binary_search(&number) {
                numbers.insert(place, number);
            }
        }
        self.numbers.insert(capability.clone(), number);
        number
    }

    fn forget(&mut self, number: u32) {
        let capability = self.offers[number as usize].capability.clone();
        for (key, value) in capability.pairs() {
            let Some(values) = self.having.get_mut(key) else { continue };
            if let Some(numbers) = values.get_mut(value) {
                if let Ok(place) = numbers.binary_search(&number) {
                    numbers.remove(place);
                }
                if numbers.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.having.remove(key);
            }
        }
        self.numbers.remove(&capability);
        self.free.push(number);
    }

    /// The offers that have every pair of the query.
    fn numbers_of(&self, query: &Query) -> Numbers {
        let lists: Option<Vec<&Numbers>> =
            query.pairs().iter().map(|(key, value)| self.numbers_with(key, value)).collect();
        // A pair that nothing has, and there is no match.
        let Some(mut lists) = lists else { return Numbers::new() };
        // From the shortest on, so that what is left is never longer than that.
        lists.sort_unstable_by_key(|list| list.len());
        let Some((first, others)) = lists.split_first() else { return Numbers::new() };
        others.iter().fold((*first).clone(), |left, list| intersection(left, list))
    }

    fn numbers_with(&self, key: &str, value: &str) -> Option<&Numbers> {
        self.having.get(key)?.get(value)
    }
}

/// What is in both; `short` is not much longer than `long`.
fn intersection(mut short: Numbers, long: &[u32]) -> Numbers {
    let mut rest = long;
    short.retain(|&number| {
        // From where the last one was: steps that double, then a search within the last of them.
        let mut step = 1;
        while step < rest.len() && rest[step] < number {
            step *= 2;
        }
        let within = rest.len().min(step + 1);
        let place = rest[..within].partition_point(|&other| other < number);
        rest = &rest[place..];
        rest.first() == Some(&number)
    });
    short
}
