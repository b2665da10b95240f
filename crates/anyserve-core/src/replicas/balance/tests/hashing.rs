//! Keys stay where they are, and nobody gets too many.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEYS: u64 = 10_000;

/// Where each key goes while nothing is under way.
fn homes(replicas: &[Arc<Replica>]) -> Vec<String> {
    let balancer = Balancer::new(Policy::ConsistentHash);
    let mut picking = Picking::new(&balancer, replicas);
    let key = |number: u64| Some(key_of(format!("session-{number}").as_bytes()));
    (0..KEYS).map(|number| picking.pick(0, key(number), &[]).unwrap().replica().id().to_string()).collect()
}

#[test]
fn a_key_always_goes_to_the_same_replica_and_keys_spread_evenly() {
    let replicas = replicas(10);
    let homes_of_keys = homes(&replicas);
    assert_eq!(homes_of_keys, homes(&replicas));
    let mut counts = BTreeMap::new();
    for home in homes_of_keys {
        *counts.entry(home).or_insert(0) += 1;
    }
    assert!(counts.len() == 10 && counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
}

#[test]
fn only_the_keys_of_a_replica_that_goes_move() {
    let ten = replicas(10);
    let nine: Vec<_> = ten.iter().filter(|replica| replica.id() != &id("r3")).cloned().collect();
    let mut moved = 0;
    for (before, after) in homes(&ten).iter().zip(homes(&nine)) {
        if before == "r3" {
            moved += 1;
        } else {
            assert_eq!(*before, after);
        }
    }
    assert!((850..1150).contains(&moved), "{moved} of {KEYS}");
}

#[test]
fn the_hash_is_the_same_in_every_version() {
    // Clients of several versions share a fleet.
    assert_eq!(key_of(b"session-1"), 0x1688_595d_cf49_184d);
    assert_eq!(hash::affinity(1, "r0"), 0xb85c_fe5d_47a1_9f76);
}

#[test]
fn a_replica_that_failed_leaves_its_keys_to_others_for_a_while() {
    let replicas = replicas(5);
    let balancer = Balancer::new(Policy::ConsistentHash);
    let mut picking = Picking::new(&balancer, &replicas);
    let home = picking.pick(0, Some(1), &[]).unwrap();
    home.failed(Failure::Refused, at(0));
    let name = home.replica().id().clone();
    drop(home);
    assert_ne!(picking.pick(100, Some(1), &[]).unwrap().replica().id(), &name);
    assert_eq!(picking.pick(1_000, Some(1), &[]).unwrap().replica().id(), &name);
}

proptest! {
    #[test]
    fn nobody_has_over_one_and_a_quarter_of_its_share(
        keys in prop::collection::vec((0..6_u64, prop::option::of(0..40_usize)), 1..200),
        count in 1..8_usize,
    ) {
        let replicas = replicas(count);
        let balancer = Balancer::new(Policy::ConsistentHash);
        let mut picking = Picking::new(&balancer, &replicas);
        let mut under_way = Vec::new();
        for (key, end) in keys {
            if let Some(end) = end && end < under_way.len() {
                drop(under_way.swap_remove(end));
            }
            let picked = picking.pick(0, Some(key), &[]).unwrap();
            let load = balancer.outstanding(picked.replica().id());
            under_way.push(picked);
            prop_assert!(load <= (5 * under_way.len()).div_ceil(4 * count), "{} of {}", load, under_way.len());
        }
    }
}
