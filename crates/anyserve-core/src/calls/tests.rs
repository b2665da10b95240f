//! Circles, one by one, and all small worlds against a model that tries everything.

mod model;
mod world;

use world::{World, pool};

/// A request that runs there and calls what one of these pools serves.
#[test]
fn a_worker_that_calls_itself_is_a_circle() {
    let mut world = World::new(vec![pool(1, 1)], 0);
    let worker = world.add_worker(0);
    let request = world.run(worker);
    let call = world.call(&[request], &[0]);
    assert_eq!(world.calls.circle(&world), Some(call));
    assert!(!world.calls.has_room(call, &world));
    world.calls.ended(call);
    assert_eq!(world.calls.circle(&world), None);
    assert!(world.calls.is_empty());
}

#[test]
fn another_slot_is_a_way_out() {
    for (concurrency, workers, max) in [(2, 1, 1), (1, 2, 2), (1, 1, 2)] {
        let mut world = World::new(vec![pool(concurrency, max)], 0);
        let first = world.add_worker(0);
        for _ in 1..workers {
            world.add_worker(0);
        }
        let request = world.run(first);
        world.call(&[request], &[0]);
        assert_eq!(world.calls.circle(&world), None, "{concurrency} {workers} {max}");
    }
}

#[test]
fn who_waits_for_who_waits_for_me_is_a_circle() {
    let mut world = World::new(vec![pool(1, 1), pool(1, 1)], 0);
    let (one, two) = (world.add_worker(0), world.add_worker(1));
    let first = world.run(one);
    let (_, second) = world.call_that_runs(&[first], two);
    let back = world.call(&[second], &[0]);
    assert_eq!(world.calls.circle(&world), Some(back));
    // What runs ends when its own call does.
    world.calls.ended(back);
    assert_eq!(world.calls.circle(&world), None);
}

#[test]
fn two_that_wait_for_each_others_slots_are_a_circle_of_which_the_last_call_fails() {
    let mut world = World::new(vec![pool(1, 1), pool(1, 1)], 0);
    let (one, two) = (world.add_worker(0), world.add_worker(1));
    let (first, second) = (world.run(one), world.run(two));
    world.call(&[first], &[1]);
    assert_eq!(world.calls.circle(&world), None);
    let last = world.call(&[second], &[0]);
    assert_eq!(world.calls.circle(&world), Some(last));
}

#[test]
fn a_handler_with_another_call_may_go_on_until_that_has_ended() {
    let mut world = World::new(vec![pool(1, 1)], 0);
    let worker = world.add_worker(0);
    let request = world.run(worker);
    let elsewhere = world.call_elsewhere(&[request]);
    let own = world.call(&[request], &[0]);
    assert_eq!(world.calls.circle(&world), None);
    world.calls.ended(elsewhere);
    assert_eq!(world.calls.circle(&world), Some(own));
}

#[test]
fn a_machine_that_is_full_of_those_who_wait_is_a_circle() {
    // One unit, which the first pool's worker holds while it calls the second's.
    let mut world = World::new(vec![pool(1, 2), pool(1, 2)], 1);
    let worker = world.add_worker(0);
    let request = world.run(worker);
    let call = world.call(&[request], &[1]);
    assert_eq!(world.calls.circle(&world), Some(call));
    world.units = 2;
    assert_eq!(world.calls.circle(&world), None);
}

#[test]
fn a_batch_keeps_its_slot_until_all_of_it_has_ended() {
    let mut world = World::new(vec![pool(1, 1), pool(1, 1)], 0);
    let (one, two) = (world.add_worker(0), world.add_worker(1));
    let batch = world.run_batch(one, 2);
    let other = world.run(two);
    world.call(&[batch[0]], &[1]);
    let last = world.call(&[other], &[0]);
    assert_eq!(world.calls.circle(&world), Some(last));
}

#[test]
fn the_calls_of_a_batch_end_with_the_last_of_it() {
    let mut world = World::new(vec![pool(1, 1), pool(1, 1)], 0);
    let one = world.add_worker(0);
    let batch = world.run_batch(one, 2);
    let call = world.call(&batch, &[1]);
    assert_eq!(world.calls.caller_ended(batch[0]), []);
    assert_eq!(world.calls.caller_ended(batch[1]), [call]);
    world.calls.ended(call);
    assert!(world.calls.is_empty());
}
