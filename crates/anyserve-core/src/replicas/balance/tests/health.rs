//! Replicas that fail are passed over, for a while.

use super::*;

/// What two replicas have when `r0` has failed so often at time 0.
fn failed(failure: Failure, times: usize) -> (Balancer, Vec<Arc<Replica>>) {
    let replicas = replicas(2);
    let balancer = Balancer::new(Policy::LeastOutstanding);
    for _ in 0..times {
        fail(&balancer, &replicas, 0, failure);
    }
    (balancer, replicas)
}

/// A request to `r0` that fails.
fn fail(balancer: &Balancer, replicas: &[Arc<Replica>], millis: u64, failure: Failure) {
    let picked = Picking::new(balancer, &replicas[..1]).any(millis);
    picked.failed(failure, at(millis));
}

fn gets_requests(balancer: &Balancer, replicas: &[Arc<Replica>], millis: u64) -> bool {
    !balancer.is_ejected(&id("r0"), at(millis))
        && Picking::new(balancer, replicas).names(millis, 40).contains(&"r0".to_owned())
}

#[test]
fn one_refusal_or_three_failures_in_a_row_are_enough() {
    let (balancer, replicas) = failed(Failure::Refused, 1);
    assert!(!gets_requests(&balancer, &replicas, 1));
    let (balancer, replicas) = failed(Failure::Failed, 2);
    assert!(gets_requests(&balancer, &replicas, 1));
    fail(&balancer, &replicas, 1, Failure::Failed);
    assert!(!gets_requests(&balancer, &replicas, 1));
}

#[test]
fn a_success_between_failures_makes_them_forgotten() {
    let (balancer, replicas) = failed(Failure::Failed, 2);
    Picking::new(&balancer, &replicas[..1]).any(0).succeeded();
    fail(&balancer, &replicas, 0, Failure::Failed);
    assert!(gets_requests(&balancer, &replicas, 1));
}

#[test]
fn after_a_pause_one_request_shows_how_it_is() {
    let (balancer, replicas) = failed(Failure::Refused, 1);
    let mut picking = Picking::new(&balancer, &replicas);
    assert!(picking.names(499, 40).iter().all(|name| name == "r1"));
    let trial = loop {
        let picked = picking.any(500);
        if picked.replica().id() == &id("r0") {
            break picked;
        }
    };
    assert!(picking.names(500, 40).iter().all(|name| name == "r1"), "one is enough");
    trial.succeeded();
    drop(trial);
    assert!(gets_requests(&balancer, &replicas, 500));
}

#[test]
fn pauses_grow_up_to_half_a_minute() {
    let (balancer, replicas) = failed(Failure::Refused, 1);
    let mut now = 0;
    for pause in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        assert!(balancer.is_ejected(&id("r0"), at(now + pause - 1)), "{pause}");
        assert!(!balancer.is_ejected(&id("r0"), at(now + pause)), "{pause}");
        now += pause;
        fail(&balancer, &replicas, now, Failure::Failed);
    }
}

#[test]
fn requests_that_fail_together_count_as_one_failure() {
    let (balancer, _) = failed(Failure::Refused, 20);
    assert!(!balancer.is_ejected(&id("r0"), at(500)));
}

#[test]
fn a_trial_that_nobody_waits_for_is_followed_by_another() {
    let (balancer, replicas) = failed(Failure::Refused, 1);
    let trial = Picking::new(&balancer, &replicas[..1]).any(500);
    assert!(balancer.is_ejected(&id("r0"), at(500)));
    drop(trial);
    assert!(!balancer.is_ejected(&id("r0"), at(500)));
}

#[test]
fn if_all_failed_the_one_whose_failure_is_the_longest_ago_is_picked() {
    let (balancer, replicas) = failed(Failure::Refused, 1);
    let mut other = Picking::new(&balancer, &replicas[1..]);
    other.any(10).failed(Failure::Refused, at(10));
    let mut picking = Picking::new(&balancer, &replicas);
    assert_eq!(picking.names(20, 3), ["r0", "r0", "r0"]);
    assert_eq!(picking.pick(20, None, &[id("r0")]).unwrap().replica().id(), &id("r1"));
    fail(&balancer, &replicas, 30, Failure::Refused);
    assert_eq!(picking.names(40, 3), ["r1", "r1", "r1"]);
}

#[test]
fn another_start_of_a_replica_has_a_clean_slate() {
    let (balancer, mut replicas) = failed(Failure::Refused, 1);
    replicas[0] = replica("r0", 2);
    assert!(Picking::new(&balancer, &replicas).names(1, 40).contains(&"r0".to_owned()));
}

#[test]
fn replicas_of_which_nothing_is_to_be_known_are_forgotten() {
    let balancer = Balancer::new(Policy::PowerOfTwo);
    for number in 0..10_000 {
        let one = [replica(&format!("pod-{number}"), 1)];
        Picking::new(&balancer, &one).any(0).succeeded();
    }
    assert!(balancer.members.lock().unwrap().len() <= 128);
}
