//! Which request goes to which worker next.
//!
//! There is one queue for each distinct query, and each pool of workers knows the queues it can serve. A request is
//! bound to a worker as late as possible: when the worker has a credit for it. The caller reports what happens
//! (`submit`, `complete`, `worker_gone`, …) and then takes assignments by [`Scheduler::next`] until there are none.
//!
//! A worker has one credit for each request it runs at once, and, while its handlers are so fast that the way between
//! agent and worker would dominate, a few more, so that the next request is there when one ends. Such a
//! *parked* request is taken back ([`Action::Recall`]) as soon as it waits behind a handler that turned out slow while
//! another worker is free.

mod queue;
mod worker;

use std::collections::HashMap;
use std::time::Duration;

use crate::capability::{Capability, Query};
use queue::{Queue, Queues};
pub use worker::RECALL_AFTER;
use worker::Worker;

/// A point in time: how long after a moment of the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Duration);

/// A request, by the number that the caller gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A worker process, by the number that the caller gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// A set of identical workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(usize);

/// One capability of a pool, and what holds for its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it serves.
    pub capability: Capability,
    /// A request may run again after the worker died with it.
    pub idempotent: bool,
    /// How long the handler may run before it counts as hung.
    pub timeout: Option<Duration>,
}

/// Send this request to that worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The request.
    pub request: RequestId,
    /// The worker, which has a credit for it.
    pub worker: WorkerId,
    /// Index of the offer in the worker's pool.
    pub offer: usize,
    /// Counts the worker's assignments from 1.
    pub sequence: u64,
}

/// Why a request was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No pool has a capability that the query matches.
    #[error("no capability matches")]
    NoMatch,
    /// As many requests wait as may.
    #[error("{0} requests are waiting already, as many as may")]
    QueueFull(usize),
}

/// Where a cancelled request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// In a queue; it is forgotten.
    Queued,
    /// With this worker, which keeps the credit until it reports back.
    Assigned(WorkerId),
    /// Nowhere: it had ended.
    Unknown,
}

/// What becomes of a request whose worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphan {
    /// It waits again, in its old place.
    Requeued(RequestId),
    /// It may have run, and must not run twice.
    Lost(RequestId),
}

/// What the passing of time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the worker for what it has not started: another one is free.
    Recall(WorkerId),
    /// The handler has run longer than its offer's timeout.
    Hung(WorkerId, RequestId),
}

/// The queues, the pools and their workers.
#[derive(Debug)]
pub struct Scheduler {
    max_waiting: usize,
    pools: Vec<Pool>,
    queues: Queues,
    workers: HashMap<WorkerId, Worker>,
    requests: HashMap<RequestId, Request>,
    arrivals: u64,
}

#[derive(Debug)]
struct Pool {
    offers: Vec<Offer>,
    /// By load, so that the first is the freest.
    workers: std::collections::BTreeSet<(i64, WorkerId)>,
}

#[derive(Debug)]
struct Request {
    queue: usize,
    /// Its place in every queue order: earlier first, also after it was requeued.
    arrival: u64,
    retried: bool,
    /// The client is gone: nobody waits for the answer.
    cancelled: bool,
}

impl Scheduler {
    /// A scheduler that lets at most `max_waiting` requests wait.
    pub fn new(max_waiting: usize) -> Self {
        Self {
            max_waiting,
            pools: Vec::new(),
            queues: Queues::default(),
            workers: HashMap::new(),
            requests: HashMap::new(),
            arrivals: 0,
        }
    }

    /// Adds a pool without workers; requests for its offers may wait from now on.
    pub fn add_pool(&mut self, offers: Vec<Offer>) -> PoolId {
        let pool = PoolId(self.pools.len());
        self.queues.add_pool(pool, &offers);
        self.pools.push(Pool { offers, workers: std::collections::BTreeSet::new() });
        pool
    }

    /// What a pool serves.
    pub fn offers(&self, pool: PoolId) -> &[Offer] {
        &self.pools[pool.0].offers
    }

    /// Adds a worker that runs up to `concurrency` requests at once.
    pub fn worker_ready(&mut self, id: WorkerId, pool: PoolId, concurrency: usize) {
        let worker = Worker::new(pool, concurrency.max(1));
        self.pools[pool.0].workers.insert((worker.load(), id));
        self.workers.insert(id, worker);
    }

    /// Queues a request.
    pub fn submit(&mut self, id: RequestId, query: &Query) -> Result<(), Rejection> {
        if self.queues.waiting() >= self.max_waiting {
            return Err(Rejection::QueueFull(self.max_waiting));
        }
        let pools = &self.pools;
        let offers = pools.iter().enumerate().map(|(index, pool)| (PoolId(index), &pool.offers[..]));
        let queue = self.queues.find(query, offers).ok_or(Rejection::NoMatch)?;
        self.arrivals += 1;
        let request = Request { queue, arrival: self.arrivals, retried: false, cancelled: false };
        self.queues.hold(queue);
        self.queues.push(queue, request.arrival, id);
        self.requests.insert(id, request);
        Ok(())
    }

    /// The next assignment to carry out, if a request waits that a worker has a credit for.
    pub fn next(&mut self, now: Time) -> Option<Assignment> {
        let (_, _, pool, worker_id) = self
            .pools
            .iter()
            .enumerate()
            .filter_map(|(index, pool)| {
                let &(load, worker) = pool.workers.first()?;
                let arrival = self.queues.oldest(PoolId(index))?;
                self.workers[&worker].has_credit(now).then_some((load >= 0, arrival, index, worker))
            })
            .min()?;
        let (request_id, offer) = self.queues.pop(PoolId(pool))?;
        let timeout = self.pools[pool].offers[offer].timeout;
        let sequence =
            self.with_worker(worker_id, |worker| worker.assign(request_id, offer, timeout, now))?;
        Some(Assignment { request: request_id, worker: worker_id, offer, sequence })
    }

    /// A worker is done with a request; returns whether anybody still waits for it.
    ///
    /// None if the worker does not hold that request.
    pub fn complete(&mut self, worker: WorkerId, request: RequestId, now: Time) -> Option<bool> {
        self.with_worker(worker, |worker| worker.complete(request, now))??;
        self.forget(request).map(|request| !request.cancelled)
    }

    /// A worker answered a recall or a cancellation: it will not start these requests.
    ///
    /// Returns false if it did not hold one of them.
    pub fn returned(&mut self, worker: WorkerId, requests: &[RequestId], now: Time) -> bool {
        let given_back = self.with_worker(worker, |worker| {
            let honest = requests.iter().all(|&request| worker.holds(request));
            worker.recalled();
            honest.then(|| {
                requests.iter().filter(|&&request| worker.give_back(request, now)).collect::<Vec<_>>()
            })
        });
        let Some(given_back) = given_back.flatten() else {
            return false;
        };
        for &request in given_back {
            self.requeue(request);
        }
        true
    }

    /// Nobody waits for the request any longer.
    pub fn cancel(&mut self, id: RequestId) -> Cancelled {
        let Some(request) = self.requests.get_mut(&id) else {
            return Cancelled::Unknown;
        };
        if self.queues.remove(request.queue, request.arrival) {
            self.forget(id);
            return Cancelled::Queued;
        }
        request.cancelled = true;
        let holder = self.workers.iter().find(|(_, worker)| worker.holds(id));
        holder.map_or(Cancelled::Unknown, |(&worker, _)| Cancelled::Assigned(worker))
    }

    /// A worker is gone. `claimed` is the sequence number of the last assignment that it started.
    pub fn worker_gone(&mut self, id: WorkerId, claimed: u64) -> Vec<Orphan> {
        let Some(worker) = self.workers.remove(&id) else {
            return Vec::new();
        };
        let pool = &mut self.pools[worker.pool().0];
        pool.workers.remove(&(worker.load(), id));
        let mut orphans = Vec::new();
        for held in worker.into_held() {
            let started = held.sequence <= claimed;
            let idempotent = self.pools[held.pool.0].offers[held.offer].idempotent;
            let Some(request) = self.requests.get_mut(&held.request) else {
                continue;
            };
            let again = !started || (idempotent && !request.retried);
            if request.cancelled || !again {
                if !request.cancelled {
                    orphans.push(Orphan::Lost(held.request));
                }
                self.forget(held.request);
                continue;
            }
            request.retried |= started;
            self.requeue(held.request);
            orphans.push(Orphan::Requeued(held.request));
        }
        orphans
    }

    /// What is to be done because time went by.
    pub fn check(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        for (&id, worker) in &self.workers {
            actions.extend(worker.hung(now).map(|request| Action::Hung(id, request)));
            let free_elsewhere = || {
                worker.parked().any(|request| {
                    let queue = self.requests.get(&request).map(|request| request.queue);
                    queue.is_some_and(|queue| self.has_free_worker(self.queues.get(queue)))
                })
            };
            if worker.is_stalled(now) && free_elsewhere() {
                actions.push(Action::Recall(id));
            }
        }
        for action in &actions {
            if let Action::Recall(worker) = action
                && let Some(worker) = self.workers.get_mut(worker)
            {
                worker.recall();
            }
        }
        actions
    }

    /// When [`Self::check`] should be called next, if time alone can ask for anything.
    pub fn next_check(&self, now: Time) -> Option<Time> {
        self.workers
            .values()
            .filter_map(|worker| {
                let alone = self.pools.len() == 1 && self.pools[worker.pool().0].workers.len() == 1;
                worker.next_check(now, !alone)
            })
            .min()
    }

    /// How many requests wait in queues.
    pub fn waiting(&self) -> usize {
        self.queues.waiting()
    }

    /// How many requests are queued or with a worker.
    pub fn unfinished(&self) -> usize {
        self.requests.len()
    }

    /// How many workers are ready.
    pub fn ready_workers(&self) -> usize {
        self.workers.len()
    }

    /// The offer that `query` leads to, and whether a worker is ready for it; the first such pool's.
    pub fn lookup(&self, query: &Query) -> Option<(&Offer, bool)> {
        let mut found = self.pools.iter().filter_map(|pool| {
            let offer = pool.offers.iter().find(|offer| query.matches(&offer.capability))?;
            Some((offer, !pool.workers.is_empty()))
        });
        let first = found.next()?;
        Some((first.0, first.1 || found.any(|(_, ready)| ready)))
    }

    /// The timeout of the offer under which a worker holds a request.
    pub fn timeout(&self, worker: WorkerId, request: RequestId) -> Option<Duration> {
        self.workers.get(&worker)?.timeout(request)
    }

    fn has_free_worker(&self, queue: &Queue) -> bool {
        queue.eligible().any(|pool| {
            let freest = self.pools[pool.0].workers.first();
            freest.is_some_and(|&(load, _)| load < 0)
        })
    }

    /// Puts a request back in its old place, or forgets it if nobody waits for it.
    fn requeue(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        if request.cancelled {
            self.forget(id);
        } else {
            self.queues.push(request.queue, request.arrival, id);
        }
    }

    /// A request has ended.
    fn forget(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.queues.release(request.queue);
        Some(request)
    }

    /// Changes a worker and keeps its pool's order by load true.
    fn with_worker<T>(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let worker = self.workers.get_mut(&id)?;
        let before = worker.load();
        let out = change(worker);
        let after = worker.load();
        if before != after {
            let workers = &mut self.pools[worker.pool().0].workers;
            workers.remove(&(before, id));
            workers.insert((after, id));
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests;
