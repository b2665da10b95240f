//! The simulation: arrivals, first responses and ends, in the order of their time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use anyserve_bench_scheduler::Random;
use anyserve_bench_scheduler::trace::Request;
use anyserve_core::scheduler::{Ask, Offer, Priority, RequestId, Time, WorkerId};
use anyserve_core::{Capability, Query, Scheduler, Value};

/// The model of a worker: it serves so many requests at once, and each takes its time whatever the others do.
const WORKERS: usize = 4;
const CONCURRENCY: usize = 8;
const PREFILL_PER_TOKEN: Duration = Duration::from_micros(250);
const DECODE_PER_TOKEN: Duration = Duration::from_millis(20);

/// How many requests run at once.
pub(crate) const CAPACITY: usize = WORKERS * CONCURRENCY;

/// One request in five is of the batch class.
const BATCH_SHARE: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Interactive,
    Batch,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    /// First come, first served; nobody is refused.
    Fifo,
    /// First come, first served; so many may wait.
    ShortFifo(usize),
    /// With priority and SLO.
    Anyserve,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    fates: Vec<Fate>,
    length: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Fate {
    class: Class,
    /// Until it was assigned; none if it was refused.
    wait: Option<Duration>,
    met: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End(WorkerId, RequestId),
    FirstResponse(RequestId),
    Arrival(usize),
}

impl Class {
    const ALL: [Self; 2] = [Self::Interactive, Self::Batch];

    /// The target time from arrival to first response.
    pub(crate) fn slo(self) -> Duration {
        match self {
            Self::Interactive => Duration::from_secs(2),
            Self::Batch => Duration::from_secs(30),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Interactive => "chat",
            Self::Batch => "summarize",
        }
    }

    fn offer(self, policy: Policy) -> Offer {
        let capability = Capability::new([("type", Value::from(self.name()))]).expect("the key is fine");
        let offer = Offer { stream: true, ..Offer::new(capability) };
        match (policy, self) {
            (Policy::Fifo | Policy::ShortFifo(_), _) => offer,
            (Policy::Anyserve, Self::Interactive) => Offer { slo: Some(self.slo()), ..offer },
            (Policy::Anyserve, Self::Batch) => {
                Offer { slo: Some(self.slo()), priority: Priority::new(7).unwrap_or_default(), ..offer }
            }
        }
    }
}

/// The time that a request takes its slot.
pub(crate) fn service(request: &Request) -> Duration {
    prefill(request) + DECODE_PER_TOKEN * request.generated_tokens
}

fn prefill(request: &Request) -> Duration {
    PREFILL_PER_TOKEN * request.context_tokens
}

/// Serves all requests.
pub(crate) fn run(requests: &[Request], policy: Policy) -> Outcome {
    let limit = if let Policy::ShortFifo(limit) = policy { limit } else { usize::MAX };
    let mut scheduler = Scheduler::new(limit);
    let pool = scheduler.add_pool(Class::ALL.map(|class| class.offer(policy)).to_vec());
    (0..WORKERS as u64)
        .for_each(|worker| scheduler.worker_ready(WorkerId(worker), pool, CONCURRENCY, Time::default()));
    let mut random = Random(7);
    let fates = requests.iter().map(|_| {
        let class = Class::ALL[usize::from(random.below(BATCH_SHARE) == 0)];
        Fate { class, wait: None, met: false }
    });
    let length = requests.last().map_or(Duration::ZERO, |last| last.arrival);
    let mut outcome = Outcome { fates: fates.collect(), length };
    let queries =
        Class::ALL.map(|class| Query::new([("type", Value::from(class.name()))]).expect("as above"));
    let arrivals = requests.iter().enumerate();
    let mut events: BinaryHeap<_> =
        arrivals.map(|(index, request)| Reverse((Time(request.arrival), Event::Arrival(index)))).collect();
    let mut indexes = HashMap::new();
    // No request has a deadline, no handler a timeout and nothing is batched: there is no timer to look at.
    while let Some(Reverse((now, event))) = events.pop() {
        match event {
            Event::Arrival(index) => {
                let query = &queries[outcome.fates[index].class as usize];
                let ask = Ask { takes_stream: true, ..Ask::new(query) };
                indexes.extend(scheduler.submit(&ask, now).map(|id| (id, index)));
            }
            Event::FirstResponse(id) => scheduler.responded(id, now),
            Event::End(worker, id) => {
                scheduler.complete(worker, id, now);
                indexes.remove(&id);
            }
        }
        while let Some(given) = scheduler.next(now) {
            for id in given.requests {
                let index = indexes[&id];
                let (request, fate) = (&requests[index], &mut outcome.fates[index]);
                let wait = now.since(Time(request.arrival));
                fate.wait = Some(wait);
                fate.met = wait + prefill(request) <= fate.class.slo();
                events.push(Reverse((now.plus(prefill(request)), Event::FirstResponse(id))));
                events.push(Reverse((now.plus(service(request)), Event::End(given.worker, id))));
            }
        }
    }
    outcome
}

impl Outcome {
    pub(crate) fn met_of_all(&self) -> f64 {
        self.share(|_| true, |fate| fate.met)
    }

    pub(crate) fn met_of_admitted(&self, class: Option<Class>) -> f64 {
        self.share(
            |fate| fate.wait.is_some() && class.is_none_or(|class| fate.class == class),
            |fate| fate.met,
        )
    }

    pub(crate) fn refused(&self) -> f64 {
        self.share(|_| true, |fate| fate.wait.is_none())
    }

    /// Requests per second that met their SLO.
    pub(crate) fn goodput(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no trace has 2^52 requests")]
        let met = self.fates.iter().filter(|fate| fate.met).count() as f64;
        met / self.length.as_secs_f64()
    }

    /// A quantile of the waits of those that were admitted.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no trace has 2^52 requests"
    )]
    pub(crate) fn wait(&self, quantile: f64) -> Duration {
        let mut waits: Vec<_> = self.fates.iter().filter_map(|fate| fate.wait).collect();
        waits.sort_unstable();
        let index = (waits.len() as f64 * quantile) as usize;
        waits.get(index.min(waits.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    #[expect(clippy::cast_precision_loss, reason = "no trace has 2^52 requests")]
    fn share(&self, of: impl Fn(&Fate) -> bool, which: impl Fn(&Fate) -> bool) -> f64 {
        let all: Vec<_> = self.fates.iter().filter(|fate| of(fate)).collect();
        let some = all.iter().filter(|fate| which(fate)).count();
        some as f64 / all.len().max(1) as f64
    }
}
