//! What the passing of time asks for.

use std::time::Duration;

use super::Scheduler;
use super::types::{Action, RequestId, Time, WorkerId};

/// How long a handler that was told to give up may go on beside others, before its worker is ended.
const OVERRUN_GRACE: Duration = Duration::from_secs(5);

/// What happens at a point in time, unless something happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The client stops waiting.
    Deadline(RequestId),
    /// A batch has run as long as it may.
    RunsOut(WorkerId, u64),
}

impl Scheduler {
    /// What is to be done because time went by.
    pub fn check(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(&(time, timer)) = self.timers.first() {
            if time > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Deadline(request) => actions.extend(self.expire(request)),
                Timer::RunsOut(worker, sequence) => self.run_out(worker, sequence, now, &mut actions),
            }
        }
        self.recall_stalled(now, &mut actions);
        actions
    }

    /// When [`Self::check`] should be called next, or [`Self::next`] may have something new, through time alone.
    pub fn next_check(&self, now: Time) -> Option<Time> {
        let timer = self.timers.first().map(|&(time, _)| time);
        // With one worker there is nobody else to take what is parked at it.
        let stall = if self.workers.len() > 1 {
            self.workers.values().filter_map(|worker| worker.stalls(now)).min()
        } else {
            None
        };
        let mut next = timer.into_iter().chain(stall).min();
        for index in 0..self.delayed.len() {
            let offer = self.delayed[index];
            let ripens = self.pools[offer.pool.0].lanes[offer.index].ripens(&self.requests);
            if let Some(ripens) = ripens.filter(|&ripens| ripens > now && !self.closing) {
                next = Some(next.map_or(ripens, |next| next.min(ripens)));
            }
        }
        next
    }

    fn expire(&mut self, id: RequestId) -> Option<Action> {
        let request = self.requests.get_mut(id)?;
        request.deadline = None;
        match request.holder {
            None => {
                self.leave_queue(id);
                self.forget(id);
                Some(Action::Expired(id, None))
            }
            Some(_) if request.cancelled => None,
            Some((worker, _)) => {
                request.cancelled = true;
                Some(Action::Expired(id, Some(worker)))
            }
        }
    }

    fn run_out(&mut self, id: WorkerId, sequence: u64, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let alone = worker.concurrency() == 1;
        let Some(batch) = worker.batch_mut(sequence) else {
            return;
        };
        if alone || batch.overran {
            batch.runs_out = None;
            actions.extend(batch.requests.iter().map(|&request| Action::Hung(id, request)));
            return;
        }
        batch.overran = true;
        let grace = now.plus(OVERRUN_GRACE);
        batch.runs_out = Some(grace);
        self.timers.insert((grace, Timer::RunsOut(id, sequence)));
        for request in batch.requests.clone() {
            if let Some(request) = self.requests.get_mut(request) {
                request.cancelled = true;
            }
            actions.push(Action::Overrun(id, request));
        }
    }

    fn recall_stalled(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.workers.len() < 2 {
            return;
        }
        let mut stalled = Vec::new();
        for (&id, worker) in &self.workers {
            let free_elsewhere = || {
                worker.parked().flat_map(|batch| &batch.requests).any(|request| {
                    let queue = self.requests.get(*request).map(|request| request.queue);
                    queue.is_some_and(|queue| self.has_free_worker(self.queues.get(queue)))
                })
            };
            if worker.is_stalled(now) && free_elsewhere() {
                stalled.push(id);
            }
        }
        for id in stalled {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.set_recalling(true);
                actions.push(Action::Recall(id));
            }
        }
    }
}
