//! The policies against what they promise; time and chance are made up.

mod hashing;
mod health;
mod spreading;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::replicas::Replica;

fn id(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

fn replica(name: &str, incarnation: u64) -> Arc<Replica> {
    Arc::new(Replica::new(id(name), "localhost:8000", incarnation, []).unwrap())
}

/// `r0`, `r1` and so on.
fn replicas(count: usize) -> Vec<Arc<Replica>> {
    (0..count).map(|number| replica(&format!("r{number}"), 1)).collect()
}

fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

/// Picks one after the other, each with a number of its own.
struct Picking<'a> {
    balancer: &'a Balancer,
    replicas: &'a [Arc<Replica>],
    random: u64,
}

impl<'a> Picking<'a> {
    fn new(balancer: &'a Balancer, replicas: &'a [Arc<Replica>]) -> Self {
        Self { balancer, replicas, random: 0 }
    }

    fn pick(&mut self, millis: u64, key: Option<u64>, except: &[ReplicaId]) -> Option<Picked> {
        self.random += 1;
        let choice = Choice { now: at(millis), random: self.random.wrapping_mul(0x51_7c_c1), key, except };
        self.balancer.pick(self.replicas, &choice)
    }

    fn any(&mut self, millis: u64) -> Picked {
        self.pick(millis, None, &[]).unwrap()
    }

    /// The names of those that such many requests, one after the other, go to.
    fn names(&mut self, millis: u64, count: usize) -> Vec<String> {
        (0..count).map(|_| self.any(millis).replica().id().to_string()).collect()
    }
}

#[test]
fn policies_go_by_name() {
    for policy in Policy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    let unknown = "random".parse::<Policy>().unwrap_err().to_string();
    for policy in Policy::ALL {
        assert!(unknown.contains(policy.as_str()), "{unknown}");
    }
}

#[test]
fn what_is_excepted_is_not_picked() {
    let replicas = replicas(3);
    for policy in Policy::ALL {
        let balancer = Balancer::new(policy);
        let mut picking = Picking::new(&balancer, &replicas);
        for key in 0..50 {
            let picked = picking.pick(0, Some(key), &[id("r0"), id("r2")]).unwrap();
            assert_eq!(picked.replica().id(), &id("r1"), "{policy}");
        }
        assert!(picking.pick(0, Some(1), &[id("r0"), id("r1"), id("r2")]).is_none());
        assert!(balancer.pick(&[], &Choice { now: at(0), random: 1, key: None, except: &[] }).is_none());
    }
}

#[test]
fn requests_count_until_they_end() {
    let replicas = replicas(1);
    let balancer = Balancer::new(Policy::PowerOfTwo);
    let mut picking = Picking::new(&balancer, &replicas);
    let (one, other) = (picking.any(0), picking.any(0));
    assert_eq!(balancer.outstanding(&id("r0")), 2);
    drop(one);
    assert_eq!(balancer.outstanding(&id("r0")), 1);
    drop(other);
    assert_eq!(balancer.outstanding(&id("r0")), 0);
}
