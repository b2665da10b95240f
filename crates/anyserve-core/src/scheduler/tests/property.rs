//! Whatever happens: every request ends once, and every credit comes back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Submit { query: u8, stream: bool, priority: Option<u64>, patience: Option<u64> },
    Complete { worker: usize, request: usize },
    Responded { worker: usize, request: usize },
    Cancel(usize),
    Kill { worker: usize, started: usize },
    Start { pool: bool, concurrency: usize },
    Recall(usize),
    Wait(u64),
    AddPool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = any::<usize>;
    let pair = || any::<(usize, usize)>();
    let submit = (0..8_u8, any::<bool>(), proptest::option::of(1..=9_u64), proptest::option::of(0..9000_u64));
    let step = prop_oneof![
        12 => submit.prop_map(|(query, stream, priority, patience)| Step::Submit {
            query, stream, priority, patience
        }),
        8 => pair().prop_map(|(worker, request)| Step::Complete { worker, request }),
        1 => pair().prop_map(|(worker, request)| Step::Responded { worker, request }),
        2 => some().prop_map(Step::Cancel),
        1 => pair().prop_map(|(worker, started)| Step::Kill { worker, started }),
        2 => (any::<bool>(), 1..4_usize).prop_map(|(pool, concurrency)| Step::Start { pool, concurrency }),
        2 => some().prop_map(Step::Recall),
        3 => (0_u64..4000).prop_map(Step::Wait),
        1 => Just(Step::AddPool),
    ];
    proptest::collection::vec(step, 0..250)
}

fn offers() -> Vec<Offer> {
    vec![
        Offer { timeout: Some(millis(3)), max_queue_size: Some(9), ..offer("echo") },
        Offer { slo: Some(millis(2)), priority: Priority::new(3).unwrap(), ..offer("add") },
        Offer { max_batch_size: 3, max_batch_delay: millis(1), idempotent: true, ..offer("embed") },
        Offer {
            stream: true,
            concurrency: Some(1),
            idempotent: true,
            timeout: Some(millis(4)),
            ..offer("chat")
        },
    ]
}

/// More queries than empty queues are kept.
fn one_of_many_queries(choice: u8) -> Query {
    let size = ("size", Value::from("s"));
    let name = ["echo", "add", "embed", "chat"][usize::from(choice % 4)];
    match choice {
        0..4 => query(name),
        4..7 => Query::new([("type", name.into()), size]).unwrap(),
        _ => everything(),
    }
}

fn pick<T: Copy>(items: &[T], index: usize) -> Option<T> {
    (!items.is_empty()).then(|| items[index % items.len()])
}

/// What the agent knows: who waits for an answer, and what each worker holds.
struct World {
    scheduler: Scheduler,
    micros: u64,
    /// The requests whose clients wait, each with whether it takes a stream.
    open: BTreeMap<RequestId, bool>,
    workers: BTreeMap<u64, Worker>,
}

struct Worker {
    pool: PoolId,
    concurrency: usize,
    held: Vec<Assignment>,
}

impl World {
    fn new() -> Self {
        let mut scheduler = Scheduler::new(30);
        scheduler.add_pool(offers());
        scheduler.add_pool(vec![Offer { max_batch_size: 2, ..offer("echo") }]);
        let mut world = Self { scheduler, micros: 0, open: BTreeMap::new(), workers: BTreeMap::new() };
        world.start(PoolId(0), 2);
        world
    }

    fn now(&self) -> Time {
        Time(Duration::from_micros(self.micros))
    }

    fn start(&mut self, pool: PoolId, concurrency: usize) {
        let id = self.workers.keys().max().map_or(0, |last| last + 1);
        self.scheduler.worker_ready(WorkerId(id), pool, concurrency, Time::default());
        self.workers.insert(id, Worker { pool, concurrency, held: Vec::new() });
    }

    fn worker(&self, index: usize) -> Option<u64> {
        pick(&self.workers.keys().copied().collect::<Vec<_>>(), index)
    }

    fn step(&mut self, step: &Step) {
        self.micros += 5;
        match *step {
            Step::Submit { query, stream, priority, patience } => {
                let deadline = patience.map(|micros| self.now().plus(Duration::from_micros(micros)));
                let (query, priority) = (one_of_many_queries(query), priority.and_then(Priority::new));
                let ask = Ask { query: &query, takes_stream: stream, priority, deadline };
                if let Ok(id) = self.scheduler.submit(&ask, self.now()) {
                    assert_eq!(self.open.insert(id, stream), None);
                }
            }
            Step::Complete { worker, request } => self.complete(worker, request),
            Step::Responded { worker, request } => {
                let held = self.worker(worker).map_or(&[][..], |worker| &self.workers[&worker].held);
                if let Some(id) = held.first().and_then(|batch| pick(&batch.requests, request)) {
                    self.scheduler.responded(id, self.now());
                }
            }
            Step::Cancel(index) => {
                let all: Vec<_> = self.open.keys().copied().collect();
                if let Some(id) = pick(&all, index) {
                    self.open.remove(&id);
                    assert_ne!(self.scheduler.cancel(id), Cancelled::Unknown);
                }
            }
            Step::Kill { worker, started } => {
                if let Some(worker) = self.worker(worker) {
                    self.kill(worker, started);
                }
            }
            Step::Start { pool, concurrency } => self.start(PoolId(usize::from(pool)), concurrency),
            Step::Recall(index) => {
                if let Some(worker) = self.worker(index) {
                    self.give_back(worker);
                }
            }
            Step::Wait(micros) => {
                self.micros += micros;
                self.check();
            }
            Step::AddPool => {
                if self.scheduler.pools.len() < 4 {
                    self.scheduler.add_pool(offers());
                }
            }
        }
        self.assign();
        self.audit();
    }

    fn complete(&mut self, worker: usize, request: usize) {
        let Some(id) = self.worker(worker) else { return };
        let worker = self.workers.get_mut(&id).unwrap();
        let started = worker.held.len().min(worker.concurrency);
        let Some(batch) = worker.held[..started].get_mut(request % started.max(1)) else { return };
        let request = batch.requests.swap_remove(request % batch.requests.len());
        worker.held.retain(|batch| !batch.requests.is_empty());
        let wanted = self.scheduler.complete(WorkerId(id), request, self.now());
        assert_eq!(wanted, Some(self.open.remove(&request).is_some()));
        assert_eq!(self.scheduler.complete(WorkerId(id), request, self.now()), None);
    }

    fn kill(&mut self, id: u64, started: usize) {
        let held = self.workers.remove(&id).unwrap().held;
        let sequences: Vec<_> = held.iter().map(|batch| batch.sequence).collect();
        let claimed = pick(&sequences, started).unwrap_or(0);
        let mut all: BTreeSet<_> = held.iter().flat_map(|batch| &batch.requests).copied().collect();
        for orphan in self.scheduler.worker_gone(WorkerId(id), claimed) {
            let (Orphan::Lost(request) | Orphan::Requeued(request)) = orphan;
            assert!(all.remove(&request) && self.open.contains_key(&request));
            if let Orphan::Lost(request) = orphan {
                self.open.remove(&request);
            }
        }
        assert!(all.iter().all(|request| !self.open.contains_key(request)), "nobody waits for the others");
    }

    /// The worker returns what it has not started.
    fn give_back(&mut self, id: u64) {
        let worker = self.workers.get_mut(&id).unwrap();
        let parked = worker.held.split_off(worker.concurrency.min(worker.held.len()));
        let requests: Vec<_> = parked.into_iter().flat_map(|batch| batch.requests).collect();
        assert!(self.scheduler.returned(WorkerId(id), &requests, self.now()));
    }

    fn check(&mut self) {
        let now = self.now();
        let mut hung = BTreeSet::new();
        for action in self.scheduler.check(now) {
            match action {
                Action::Recall(worker) => self.give_back(worker.0),
                Action::Expired(request, holder) => {
                    assert!(self.open.remove(&request).is_some());
                    let held =
                        |worker: &Worker| worker.held.iter().any(|batch| batch.requests.contains(&request));
                    let found =
                        self.workers.iter().find(|(_, worker)| held(worker)).map(|(&id, _)| WorkerId(id));
                    assert_eq!(found, holder);
                }
                Action::Overrun(_, request) => _ = self.open.remove(&request),
                Action::Hung(worker, _) => _ = hung.insert(worker.0),
            }
        }
        for worker in hung {
            self.kill(worker, usize::MAX);
        }
    }

    fn assign(&mut self) {
        while let Some(given) = self.scheduler.next(self.now()) {
            let offer = self.scheduler.offer(given.offer);
            let worker = self.workers.get_mut(&given.worker.0).unwrap();
            assert_eq!(worker.pool, given.offer.pool);
            assert!((1..=offer.max_batch_size).contains(&given.requests.len()));
            for request in &given.requests {
                assert!(self.open[request] || !offer.stream);
                assert_eq!(self.scheduler.offer_for(*request), Some(given.offer));
            }
            let parked = worker.held.len() >= worker.concurrency;
            assert!(
                !parked || given.requests.len() == offer.max_batch_size,
                "a part of a batch is not parked"
            );
            assert!(worker.held.len() < worker.concurrency + 16);
            let beside = worker.held.iter().filter(|batch| batch.offer == given.offer).count();
            let limit = offer.concurrency.filter(|&limit| limit < worker.concurrency);
            assert!(limit.is_none_or(|limit| beside < limit));
            worker.held.push(given);
        }
    }

    fn audit(&self) {
        let held: Vec<_> =
            self.workers.values().flat_map(|worker| &worker.held).flat_map(|batch| &batch.requests).collect();
        let distinct: BTreeSet<_> = held.iter().copied().collect();
        assert_eq!(held.len(), distinct.len(), "a request is in two places");
        let waiting: Vec<_> = self.open.keys().filter(|id| !distinct.contains(id)).copied().collect();
        audit(&self.scheduler, &waiting);
        assert_eq!(self.scheduler.unfinished(), waiting.len() + held.len());
    }

    /// Lets everything run to its end.
    fn finish(&mut self) {
        for pool in 0..self.scheduler.pools.len() {
            self.start(PoolId(pool), 1);
        }
        // Past every deadline and delay, and not past the grace of what was told to give up.
        self.micros += 10_000;
        self.check();
        self.assign();
        while let Some(index) = self.workers.values().position(|worker| !worker.held.is_empty()) {
            self.micros += 1000;
            self.complete(index, 0);
            self.assign();
        }
        assert!(self.open.is_empty());
    }
}

proptest! {
    #[test]
    fn every_request_ends_once_and_every_credit_comes_back(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.finish();
        assert_idle(&world.scheduler);
    }
}
