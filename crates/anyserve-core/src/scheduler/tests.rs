//! What the tests share.

mod admission;
mod batches;
mod deadlines;
mod order;
mod order_property;
mod property;
mod workers;

use super::*;
use crate::capability::{Capability, Value};

fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn query(name: &str) -> Query {
    Query::new([("type", Value::from(name))]).unwrap()
}

/// An offer that also matches the query `everything`.
fn offer(name: &str) -> Offer {
    Offer::new(Capability::new([("type", name.into()), ("size", Value::from("s"))]).unwrap())
}

fn everything() -> Query {
    Query::new([("size", Value::from("s"))]).unwrap()
}

/// A scheduler of one pool with these offers, and workers 0, 1, … with one credit each.
fn pool_of(offers: Vec<Offer>, workers: u64) -> Scheduler {
    let mut scheduler = Scheduler::new(100);
    let pool = scheduler.add_pool(offers);
    for worker in 0..workers {
        scheduler.worker_ready(WorkerId(worker), pool, 1, Time::default());
    }
    scheduler
}

fn submit(scheduler: &mut Scheduler, name: &str, now: Time) -> RequestId {
    scheduler.submit(&Ask::new(&query(name)), now).unwrap()
}

fn submit_at_level(scheduler: &mut Scheduler, name: &str, priority: u64, now: Time) -> RequestId {
    scheduler.submit(&Ask { priority: Priority::new(priority), ..Ask::new(&query(name)) }, now).unwrap()
}

fn submit_until(scheduler: &mut Scheduler, name: &str, deadline: Time, now: Time) -> RequestId {
    scheduler.submit(&Ask { deadline: Some(deadline), ..Ask::new(&query(name)) }, now).unwrap()
}

/// All assignments there are.
fn assign(scheduler: &mut Scheduler, now: Time) -> Vec<Assignment> {
    std::iter::from_fn(|| scheduler.next(now)).collect()
}

/// All assignments there are: each with its requests and the number of the worker.
fn given(scheduler: &mut Scheduler, now: Time) -> Vec<(Vec<RequestId>, u64)> {
    assign(scheduler, now).into_iter().map(|given| (given.requests, given.worker.0)).collect()
}

/// Takes assignments one by one, each completed at once; returns the requests in their order.
fn run_all(scheduler: &mut Scheduler, now: Time) -> Vec<RequestId> {
    let mut order = Vec::new();
    while let Some(given) = scheduler.next(now) {
        for &request in &given.requests {
            assert_eq!(scheduler.complete(given.worker, request, now), Some(true));
        }
        order.extend(given.requests);
    }
    order
}

/// Lets a request run that takes so long. Returns when it ends.
fn measure(scheduler: &mut Scheduler, name: &str, took: Duration, now: Time) -> Time {
    let request = submit(scheduler, name, now);
    let given = scheduler.next(now).unwrap();
    let end = now.plus(took);
    assert_eq!(given.requests, [request]);
    scheduler.complete(given.worker, request, end).unwrap();
    end
}

/// Makes a worker's handlers look fast, so that requests may be parked at it.
fn warm_up(scheduler: &mut Scheduler, worker: u64) {
    measure(scheduler, "echo", Duration::from_micros(20), at(0));
    assert!(scheduler.workers[&WorkerId(worker)].parking_places() > 0);
}

/// Compares every counter with what it counts.
fn audit(scheduler: &Scheduler, waiting: &[RequestId]) {
    assert_eq!(scheduler.waiting(), waiting.len());
    for (index, pool) in scheduler.pools.iter().enumerate() {
        let queue_of = |id: &RequestId| scheduler.queues.get(scheduler.requests.get(*id).unwrap().queue);
        for (lane_index, lane) in pool.lanes.iter().enumerate() {
            let offer = OfferId { pool: PoolId(index), index: lane_index };
            let eligible = waiting.iter().filter(|id| queue_of(id).offers.contains(&offer)).count();
            assert_eq!(lane.waiting, eligible, "{offer:?}");
        }
        let eligible =
            waiting.iter().filter(|id| queue_of(id).pools().any(|pool| pool == PoolId(index))).count();
        assert_eq!(pool.backlog.count(), eligible);
        let workers: Vec<_> =
            scheduler.workers.iter().filter(|(_, worker)| worker.pool() == PoolId(index)).collect();
        let loads: BTreeSet<_> = workers.iter().map(|&(&id, worker)| (worker.load(), id)).collect();
        assert!(pool.workers.iter().eq(loads));
        assert_eq!(pool.slots, workers.iter().map(|(_, worker)| worker.concurrency()).sum::<usize>());
    }
}

/// Nothing is left anywhere, and every worker has all its credits.
fn assert_idle(scheduler: &Scheduler) {
    audit(scheduler, &[]);
    assert_eq!((scheduler.unfinished(), scheduler.waiting(), scheduler.timers.len()), (0, 0, 0));
    for worker in scheduler.workers.values() {
        assert_eq!(worker.load(), -i64::try_from(worker.concurrency()).unwrap());
        let offers = scheduler.pools[worker.pool().0].lanes.len();
        assert!((0..offers).all(|offer| worker.room_for(offer, Some(1), Time::default()).is_some()));
    }
}
