//! The order of requests against a model that looks at all of them each time.

use proptest::prelude::*;

use super::*;

/// What waits, as the model sees it.
#[derive(Clone, Debug)]
struct Waiting {
    id: RequestId,
    number: usize,
    arrived: Time,
    due: Option<Time>,
    priority: Priority,
    lane: usize,
}

impl Waiting {
    /// The order: by priority, then what is due and not late by due time, then by arrival.
    fn key(&self, now: Time) -> (Priority, bool, Option<Time>, usize) {
        let in_time = self.due.filter(|&due| due >= now);
        (self.priority, in_time.is_none(), in_time, self.number)
    }

    fn is_aged(&self, now: Time) -> bool {
        now.since(self.arrived) >= AGEING
    }
}

#[derive(Clone, Debug)]
enum Step {
    Submit { lane: usize, priority: Option<u64>, patience: Option<u64> },
    Run,
    Cancel(usize),
    Die,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let submit = (0..3_usize, proptest::option::of(1..=9_u64), proptest::option::of(1..20_000_u64));
    let step = prop_oneof![
        6 => submit.prop_map(|(lane, priority, patience)| Step::Submit { lane, priority, patience }),
        5 => Just(Step::Run),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::Die),
        2 => (0..2500_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..300)
}

/// One pool, and one worker at a time that never holds more than one request.
struct Model {
    scheduler: Scheduler,
    waiting: Vec<Waiting>,
    now: Time,
    submitted: usize,
    workers: u64,
    /// For each aged request: how many assignments it may still have to wait for.
    patience: Vec<(RequestId, u64)>,
}

const LANES: [(&str, Option<u64>); 3] = [("first", Some(3000)), ("second", Some(9000)), ("third", None)];

impl Model {
    fn new() -> Self {
        let offers = LANES.map(|(name, slo)| Offer { slo: slo.map(millis), ..offer(name) });
        let mut scheduler = Scheduler::new(1000);
        scheduler.add_pool(offers.to_vec());
        scheduler.worker_ready(WorkerId(0), PoolId(0), 1, Time::default());
        Self { scheduler, waiting: Vec::new(), now: at(0), submitted: 0, workers: 1, patience: Vec::new() }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit { lane, priority, patience } => self.submit(lane, priority, patience),
            Step::Run => self.run(),
            Step::Cancel(index) if !self.waiting.is_empty() => {
                let cancelled = self.waiting.remove(index % self.waiting.len());
                assert_eq!(self.scheduler.cancel(cancelled.id), Cancelled::Queued);
            }
            Step::Cancel(_) => {}
            // It had not started the request, which goes back to its place.
            Step::Die => {
                let given = self.scheduler.next(self.now);
                let orphans = self.scheduler.worker_gone(WorkerId(self.workers - 1), 0);
                let requests = given.map(|given| given.requests).unwrap_or_default();
                assert_eq!(orphans, requests.into_iter().map(Orphan::Requeued).collect::<Vec<_>>());
                self.scheduler.worker_ready(WorkerId(self.workers), PoolId(0), 1, Time::default());
                self.workers += 1;
                self.patience.clear();
            }
            Step::Wait(millis) => self.wait(millis),
        }
    }

    fn submit(&mut self, lane: usize, priority: Option<u64>, patience: Option<u64>) {
        let deadline = patience.map(|patience| self.now.plus(millis(patience)));
        let (query, priority) = (query(LANES[lane].0), priority.and_then(Priority::new));
        let ask = Ask { priority, deadline, ..Ask::new(&query) };
        // Some are refused: their wait would be too long.
        if let Ok(id) = self.scheduler.submit(&ask, self.now) {
            let due = LANES[lane].1.map(|slo| self.now.plus(millis(slo))).into_iter().chain(deadline).min();
            let (number, arrived, priority) = (self.submitted, self.now, priority.unwrap_or_default());
            self.waiting.push(Waiting { id, number, arrived, due, priority, lane });
            self.submitted += 1;
        }
    }

    fn run(&mut self) {
        self.grow_impatient();
        let aged_turn = self.scheduler.pools[0].turns % AGED_TURN == AGED_TURN - 1;
        let aged = self.waiting.iter().filter(|waiting| aged_turn && waiting.is_aged(self.now));
        let aged = aged.min_by_key(|waiting| waiting.number);
        let first = aged.or_else(|| self.waiting.iter().min_by_key(|waiting| waiting.key(self.now)));
        let expected = first.map(|waiting| (vec![waiting.id], waiting.lane));
        let given = self.scheduler.next(self.now);
        let found = given.as_ref().map(|given| (given.requests.clone(), given.offer.index));
        assert_eq!(found, expected);
        let Some(given) = given else { return };
        assert_eq!(self.scheduler.next(self.now), None, "it has one credit");
        self.waiting.retain(|waiting| waiting.id != given.requests[0]);
        for (id, left) in &mut self.patience {
            assert!(*left > 0 || *id == given.requests[0], "{id:?} starves");
            *left = left.saturating_sub(1);
        }
        self.wait(20);
        self.scheduler.complete(given.worker, given.requests[0], self.now).unwrap();
    }

    /// Once a request has aged, it waits for at most so many assignments for each that is older, and for itself.
    fn grow_impatient(&mut self) {
        let now = self.now;
        self.patience.retain(|(id, _)| self.waiting.iter().any(|waiting| waiting.id == *id));
        for (older, waiting) in self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.is_aged(now)) {
            if self.patience.iter().all(|(id, _)| *id != waiting.id) {
                let bound = AGED_TURN * (older as u64 + 1) - 1;
                self.patience.push((waiting.id, bound));
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
        for action in self.scheduler.check(self.now) {
            if let Action::Expired(id, None) = action {
                self.waiting.retain(|waiting| waiting.id != id);
            }
        }
    }
}

proptest! {
    #[test]
    fn requests_go_in_the_promised_order_and_none_starves(steps in steps()) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
        while !model.waiting.is_empty() {
            model.run();
        }
        assert_idle(&model.scheduler);
    }
}
