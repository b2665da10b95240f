//! How even the policies spread requests.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Requests that are under way at once, of which one by chance ends before the next one starts: how many each replica
/// has at most and at least, over a long time.
fn extremes(policy: Policy, replicas: &[Arc<Replica>], at_once: usize) -> (usize, usize) {
    let balancer = Balancer::new(policy);
    let mut picking = Picking::new(&balancer, replicas);
    let mut under_way: Vec<_> = (0..at_once).map(|_| picking.any(0)).collect();
    let mut ends = hash::Draw(7);
    let (mut most, mut least) = (0, usize::MAX);
    for _ in 0..5_000 {
        under_way.swap_remove(ends.below(at_once));
        under_way.push(picking.any(0));
        for replica in replicas {
            let load = balancer.outstanding(replica.id());
            (most, least) = (most.max(load), least.min(load));
        }
    }
    (most, least)
}

#[test]
fn two_choices_are_nearly_as_even_as_all() {
    let replicas = replicas(10);
    let (most, least) = extremes(Policy::PowerOfTwo, &replicas, 200);
    assert!(most <= 28 && least >= 10, "{least}..{most} of 20 on average");
    let (most, _) = extremes(Policy::LeastOutstanding, &replicas, 200);
    assert!(most <= 21, "{most} of 20 on average");
}

#[test]
fn idle_replicas_all_get_requests() {
    let replicas = replicas(5);
    for policy in [Policy::PowerOfTwo, Policy::LeastOutstanding, Policy::ConsistentHash] {
        let balancer = Balancer::new(policy);
        let mut counts = BTreeMap::new();
        for name in Picking::new(&balancer, &replicas).names(0, 5_000) {
            *counts.entry(name).or_insert(0) += 1;
        }
        assert!(counts.len() == 5 && counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}

#[test]
fn turns_go_round_within_each_set_of_replicas() {
    let all = replicas(4);
    let balancer = Balancer::new(Policy::RoundRobin);
    let (mut one, mut other) = (Picking::new(&balancer, &all[..2]), Picking::new(&balancer, &all[1..]));
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        ones.extend(one.names(0, 1));
        others.extend(other.names(0, 1));
    }
    for (names, count) in [(ones, 2), (others, 3)] {
        for turn in names.windows(count + 1) {
            assert_eq!(turn[0], turn[count], "{names:?}");
            assert_ne!(turn[0], turn[1], "{names:?}");
        }
    }
}

#[test]
fn the_turns_of_one_that_failed_go_to_all_others() {
    let replicas = replicas(4);
    let balancer = Balancer::new(Policy::RoundRobin);
    let mut picking = Picking::new(&balancer, &replicas);
    let first = picking.any(0);
    first.failed(Failure::Refused, at(0));
    let mut counts = BTreeMap::new();
    for name in picking.names(1, 3_000) {
        *counts.entry(name).or_insert(0) += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn the_least_busy_is_the_least_busy(steps in prop::collection::vec(prop::option::of(0..20_usize), 1..200)) {
        let replicas = replicas(5);
        let balancer = Balancer::new(Policy::LeastOutstanding);
        let mut picking = Picking::new(&balancer, &replicas);
        let mut under_way = Vec::new();
        for step in steps {
            match step {
                Some(index) if index < under_way.len() => drop(under_way.swap_remove(index)),
                _ => {
                    let least = replicas.iter().map(|one| balancer.outstanding(one.id())).min().unwrap();
                    let picked = picking.any(0);
                    prop_assert_eq!(balancer.outstanding(picked.replica().id()), least + 1);
                    under_way.push(picked);
                }
            }
        }
    }
}
