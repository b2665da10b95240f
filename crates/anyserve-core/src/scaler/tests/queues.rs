//! What the scheduler tells of its pools is true while pools and workers come and go, and no request is lost by that.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::scheduler::{Assignment, Cancelled, Orphan, Rejection};

const QUERIES: usize = 4;

#[derive(Clone, Debug)]
enum Event {
    Ask(usize),
    Cancel(usize),
    Assign,
    Complete(usize),
    Open(u8),
    Promise,
    Fulfil(usize, u8),
    Change(usize),
    Close(usize),
    Start(usize, usize),
    Pause(usize),
    Resume(usize),
    Kill(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let some = any::<usize>;
    let event = prop_oneof![
        8 => some().prop_map(Event::Ask),
        1 => some().prop_map(Event::Cancel),
        4 => Just(Event::Assign),
        3 => some().prop_map(Event::Complete),
        2 => (0..8_u8).prop_map(Event::Open),
        1 => Just(Event::Promise),
        1 => (some(), 0..8_u8).prop_map(|(pool, names)| Event::Fulfil(pool, names)),
        1 => some().prop_map(Event::Change),
        2 => some().prop_map(Event::Close),
        3 => (some(), 1..4_usize).prop_map(|(pool, concurrency)| Event::Start(pool, concurrency)),
        1 => some().prop_map(Event::Pause),
        1 => some().prop_map(Event::Resume),
        1 => some().prop_map(Event::Kill),
    ];
    proptest::collection::vec(event, 0..120)
}

/// The last one matches everything.
fn query_of(index: usize) -> Query {
    if index % QUERIES < 3 { query("type", NAMES[index % QUERIES]) } else { query("size", "s") }
}

const NAMES: [&str; 3] = ["echo", "add", "chat"];

fn offers_of(names: u8) -> Vec<Offer> {
    let chosen = (0..3).filter(|bit| names >> bit & 1 == 1).map(|bit| NAMES[bit]);
    let offer =
        |name| Offer::new(Capability::new([("type", Value::from(name)), ("size", "s".into())]).unwrap());
    chosen.map(offer).collect()
}

#[derive(Debug, Default)]
struct Pool {
    names: u8,
    closed: bool,
    removed: bool,
}

#[derive(Debug)]
struct Worker {
    pool: PoolId,
    concurrency: usize,
    paused: bool,
    held: Vec<Assignment>,
}

/// What the scheduler should know.
struct World {
    scheduler: Scheduler,
    millis: u64,
    pools: BTreeMap<PoolId, Pool>,
    workers: BTreeMap<WorkerId, Worker>,
    /// What has not ended: its query and its arrival.
    open: BTreeMap<RequestId, (usize, Time)>,
    /// The pools that are left with what waits though they are closed, by query.
    left_with: BTreeMap<usize, PoolId>,
}

fn pick<T: Copy>(items: impl Iterator<Item = T>, index: usize) -> Option<T> {
    let items: Vec<_> = items.collect();
    (!items.is_empty()).then(|| items[index % items.len()])
}

impl World {
    fn now(&self) -> Time {
        at(self.millis)
    }

    fn matching(&self, query: usize) -> BTreeSet<PoolId> {
        let matches = |pool: &Pool| if query < 3 { pool.names >> query & 1 == 1 } else { pool.names > 0 };
        self.pools.iter().filter(|(_, pool)| !pool.closed && matches(pool)).map(|(&id, _)| id).collect()
    }

    fn eligible(&self, query: usize) -> BTreeSet<PoolId> {
        let open = self.matching(query);
        if open.is_empty() { self.left_with.get(&query).copied().into_iter().collect() } else { open }
    }

    fn waiting(&self) -> impl Iterator<Item = (RequestId, usize, Time)> {
        let held: BTreeSet<_> =
            self.workers.values().flat_map(|worker| &worker.held).flat_map(|given| &given.requests).collect();
        self.open
            .iter()
            .filter(move |(id, _)| !held.contains(id))
            .map(|(&id, &(query, arrived))| (id, query, arrived))
    }

    fn happens(&mut self, event: &Event) {
        self.millis += 7;
        let pools = self.pools.iter().filter(|(_, pool)| !pool.removed).map(|(&id, _)| id);
        let (pools, workers): (Vec<_>, Vec<_>) = (pools.collect(), self.workers.keys().copied().collect());
        let (pool, worker) =
            (|index| pick(pools.iter().copied(), index), |index| pick(workers.iter().copied(), index));
        match *event {
            Event::Ask(index) => self.ask(index % QUERIES),
            Event::Cancel(index) => {
                let waiting = pick(self.waiting().map(|(id, ..)| id), index);
                if let Some(id) = waiting {
                    assert_eq!(self.scheduler.cancel(id), Cancelled::Queued);
                    self.open.remove(&id);
                }
            }
            Event::Assign => self.assign(),
            Event::Complete(index) => _ = worker(index).map(|id| self.complete(id)),
            Event::Open(names) if self.pools.len() < 12 => {
                let id = self.scheduler.add_pool(offers_of(names));
                self.pools.insert(id, Pool::default());
                self.offer(id, names);
            }
            Event::Promise if self.pools.len() < 12 => {
                let id = self.scheduler.add_pool(Vec::new());
                self.pools.insert(id, Pool::default());
            }
            Event::Fulfil(index, names) => {
                let has_workers = |id| self.workers.values().any(|worker| worker.pool == id);
                if let Some(id) = pool(index).filter(|id| !self.pools[id].closed && !has_workers(*id)) {
                    let unserved = self.scheduler.set_offers(id, offers_of(names)).unwrap();
                    self.offer(id, names);
                    self.forget_unserved(unserved);
                }
            }
            Event::Change(index) => {
                if let Some(id) = pool(index).filter(|id| self.pools[id].names > 0) {
                    let mut offers = offers_of(self.pools[&id].names);
                    offers[0].slo = Some(seconds(3));
                    assert_eq!(self.scheduler.set_offers(id, offers), Some(Vec::new()));
                    if self.workers.values().any(|worker| worker.pool == id) {
                        assert_eq!(
                            self.scheduler.set_offers(id, vec![offer("other")]),
                            None,
                            "it has workers"
                        );
                    }
                }
            }
            Event::Close(index) => _ = pool(index).map(|id| self.close(id)),
            Event::Start(index, concurrency) => _ = pool(index).map(|id| self.start(id, concurrency)),
            Event::Pause(index) => {
                if let Some(id) = worker(index) {
                    self.scheduler.pause(id);
                    self.workers.get_mut(&id).unwrap().paused = true;
                }
            }
            Event::Resume(index) => {
                if let Some(id) = worker(index) {
                    self.scheduler.resume(id);
                    self.workers.get_mut(&id).unwrap().paused = false;
                }
            }
            Event::Kill(index) => _ = worker(index).map(|id| self.kill(id)),
            Event::Open(_) | Event::Promise => {}
        }
        self.audit();
    }

    fn ask(&mut self, query: usize) {
        match self.scheduler.submit(&Ask::new(&query_of(query)), self.now()) {
            Ok(id) => {
                assert!(!self.matching(query).is_empty());
                self.open.insert(id, (query, self.now()));
            }
            Err(rejection) => {
                assert_eq!(rejection, Rejection::NoMatch);
                assert!(self.matching(query).is_empty());
            }
        }
    }

    fn offer(&mut self, id: PoolId, names: u8) {
        self.pools.get_mut(&id).unwrap().names = names;
        for query in 0..QUERIES {
            if !self.matching(query).is_empty() {
                self.left_with.remove(&query);
            }
        }
    }

    /// Nothing else is forgotten than what nothing can serve any more.
    fn forget_unserved(&mut self, told: Vec<RequestId>) {
        let unserved = self.waiting().filter(|&(_, query, _)| self.eligible(query).is_empty());
        let unserved: BTreeSet<_> = unserved.map(|(id, ..)| id).collect();
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), unserved);
        self.open.retain(|id, _| !unserved.contains(id));
    }

    fn close(&mut self, id: PoolId) {
        let before: Vec<_> = (0..QUERIES).map(|query| self.matching(query)).collect();
        self.scheduler.close_pool(id);
        self.pools.get_mut(&id).unwrap().closed = true;
        for (query, before) in before.into_iter().enumerate() {
            if before.len() == 1 && before.contains(&id) {
                self.left_with.insert(query, id);
            }
        }
    }

    fn start(&mut self, pool: PoolId, concurrency: usize) {
        let id = WorkerId(self.workers.keys().last().map_or(0, |last| last.0 + 1));
        self.scheduler.worker_ready(id, pool, concurrency, self.now());
        self.workers.insert(id, Worker { pool, concurrency, paused: false, held: Vec::new() });
    }

    fn assign(&mut self) {
        while let Some(given) = self.scheduler.next(self.now()) {
            let (query, _) = self.open[&given.requests[0]];
            assert!(self.eligible(query).contains(&given.offer.pool), "{given:?}");
            let worker = self.workers.get_mut(&given.worker).unwrap();
            assert!(!worker.paused && worker.pool == given.offer.pool);
            worker.held.push(given);
        }
    }

    fn complete(&mut self, id: WorkerId) {
        if let Some(given) = self.workers.get_mut(&id).unwrap().held.pop() {
            assert_eq!(self.scheduler.complete(id, given.requests[0], self.now()), Some(true));
            self.open.remove(&given.requests[0]);
        }
    }

    fn complete_all(&mut self) {
        for worker in self.workers.keys().copied().collect::<Vec<_>>() {
            while !self.workers[&worker].held.is_empty() {
                self.complete(worker);
            }
        }
        self.audit();
    }

    /// It dies before it has started anything: all that it had waits again.
    fn kill(&mut self, id: WorkerId) {
        let held = self.workers.remove(&id).unwrap().held;
        let requests: BTreeSet<_> =
            held.iter().map(|given| Orphan::Requeued(given.requests[0])).map(orphan).collect();
        let orphans: BTreeSet<_> = self.scheduler.worker_gone(id, 0).into_iter().map(orphan).collect();
        assert_eq!(orphans, requests);
        let unserved = self.scheduler.take_unserved();
        self.forget_unserved(unserved);
    }

    fn audit(&mut self) {
        let waiting: Vec<_> = self.waiting().collect();
        assert_eq!((self.scheduler.waiting(), self.scheduler.unfinished()), (waiting.len(), self.open.len()));
        let takes =
            |pool: &PoolId| self.workers.values().any(|worker| worker.pool == *pool && !worker.paused);
        for (&id, pool) in &self.pools {
            let own: Vec<_> =
                waiting.iter().filter(|&&(_, query, _)| self.eligible(query).contains(&id)).collect();
            let demand = self.scheduler.demand(id);
            assert_eq!(demand.waiting, own.len(), "{id:?} {pool:?}");
            assert_eq!(demand.oldest, own.iter().map(|&&(.., arrived)| arrived).min(), "{id:?}");
            let slots = self.workers.values().filter(|worker| worker.pool == id && !worker.paused);
            assert_eq!(demand.slots, slots.map(|worker| worker.concurrency).sum::<usize>());
            let only: Vec<_> = own
                .iter()
                .filter(|&&&(_, query, _)| self.eligible(query).len() == 1)
                .map(|&&(id, ..)| id)
                .collect();
            assert_eq!(
                self.scheduler.waiting_only_for(id).into_iter().collect::<BTreeSet<_>>(),
                only.into_iter().collect()
            );
        }
        for &(id, query, _) in &waiting {
            let stranded = self.scheduler.stranded(id).map(|pools| pools.into_iter().collect());
            let eligible = self.eligible(query);
            assert_eq!(stranded, (!eligible.iter().any(takes)).then_some(eligible));
        }
        let mut shared: Vec<_> = self
            .scheduler
            .shared_queues()
            .map(|(count, pools)| (count, pools.collect::<BTreeSet<_>>()))
            .collect();
        let expected = (0..QUERIES).map(|query| {
            (waiting.iter().filter(|&&(_, found, _)| found == query).count(), self.eligible(query))
        });
        let mut expected: Vec<_> = expected.filter(|(count, pools)| *count > 0 && pools.len() > 1).collect();
        shared.sort();
        expected.sort();
        assert_eq!(shared, expected);
        self.remove_spent();
    }

    fn remove_spent(&mut self) {
        let used: BTreeSet<_> = self.workers.values().map(|worker| worker.pool).collect();
        let needed: BTreeSet<_> = self.open.values().flat_map(|&(query, _)| self.eligible(query)).collect();
        for (&id, pool) in self.pools.iter_mut().filter(|(_, pool)| !pool.removed) {
            let spent = pool.closed && !used.contains(&id) && !needed.contains(&id);
            assert_eq!(self.scheduler.is_spent(id), spent, "{id:?}");
            if spent {
                self.scheduler.remove_pool(id);
                (pool.removed, pool.names) = (true, 0);
                self.left_with.retain(|_, left| *left != id);
            }
        }
    }

    /// Everything that waits can be served to its end, and nothing is left.
    fn finish(&mut self) {
        self.complete_all();
        while !self.open.is_empty() {
            let query = self.open.values().next().unwrap().0;
            let pool = *self.eligible(query).first().expect("whoever waits, waits for somebody");
            self.start(pool, 100);
            self.assign();
            self.complete_all();
        }
        for worker in self.workers.keys().copied().collect::<Vec<_>>() {
            self.kill(worker);
        }
        for pool in self.pools.keys().copied().collect::<Vec<_>>() {
            self.close(pool);
        }
        self.audit();
        assert!(self.pools.values().all(|pool| pool.removed));
    }
}

fn orphan(orphan: Orphan) -> (bool, RequestId) {
    match orphan {
        Orphan::Lost(id) => (true, id),
        Orphan::Requeued(id) => (false, id),
    }
}

proptest! {
    #[test]
    fn what_is_told_of_pools_is_true_and_nothing_is_lost(events in events()) {
        let mut world = World {
            scheduler: Scheduler::new(1000),
            millis: 0,
            pools: BTreeMap::new(),
            workers: BTreeMap::new(),
            open: BTreeMap::new(),
            left_with: BTreeMap::new(),
        };
        for event in &events {
            world.happens(event);
        }
        world.finish();
    }
}
