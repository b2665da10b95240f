//! What the agent assigned and no handler has taken yet, and what is known of what handlers have taken.

mod state;

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyserve_proto::worker::{Answer, Consumed, Welcome};
use bytes::Bytes;

use crate::window::Limits;
pub(crate) use state::{Answered, Assigned, State, Taken};
pub use state::{News, Order};

/// What arrived and is not dealt with yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// For threads that wait for work, or for the agent's word.
    work: Condvar,
    /// For threads that wait until they may send, or for an answer.
    windows: Condvar,
}

impl Inbox {
    /// Adds what the agent assigned; [`Self::share`] wakes those that wait for it.
    pub(crate) fn push(&self, assigned: Assigned) {
        let mut state = self.lock();
        let complete = !assigned.assign.more;
        state.incomplete.push(assigned);
        if complete {
            let batch = std::mem::take(&mut state.incomplete);
            state.unstarted.push_back(batch);
        }
    }

    /// Waits for work, until something may have come.
    pub(crate) fn wait_for_work(&self, mut state: MutexGuard<'_, State>) {
        state.waiting_for_work += 1;
        self.work.wait(state).unwrap_or_else(PoisonError::into_inner).waiting_for_work -= 1;
    }

    /// Waits until a window may have opened, at most until then.
    pub(crate) fn wait_for_window(&self, mut state: MutexGuard<'_, State>, until: Instant) {
        state.waiting_for_window += 1;
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.windows.wait_timeout(state, left);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting_for_window -= 1;
    }

    pub(crate) fn has_waiter(&self) -> bool {
        let state = self.lock();
        state.waiting_for_work + state.waiting_for_window > 0
    }

    /// Wakes as many threads as there is work for.
    pub(crate) fn share(&self) {
        let state = self.lock();
        let work = state.unstarted.len() + usize::from(state.order.is_some());
        for _ in 0..work.min(state.waiting_for_work) {
            self.work.notify_one();
        }
    }

    /// Wakes one thread, to lead.
    pub(crate) fn hand_over(&self) {
        let state = self.lock();
        if state.waiting_for_work > 0 {
            self.work.notify_one();
        } else if state.waiting_for_window > 0 {
            self.windows.notify_one();
        }
    }

    /// From now on an event loop looks at what changes.
    pub(crate) fn gather_news(&self) {
        self.lock().news.get_or_insert_default();
    }

    /// Forgets a request that was answered.
    pub(crate) fn finished(&self, request: u64) {
        let mut state = self.lock();
        state.running.remove(&request);
        if state.waiting_for_window > 0 {
            // Another thread may wait to send more of it.
            self.windows.notify_all();
        }
    }

    /// Takes back everything that no handler has taken.
    pub(crate) fn take_unstarted(&self) -> Vec<u64> {
        let batches = std::mem::take(&mut self.lock().unstarted);
        batches.iter().flatten().map(|assigned| assigned.assign.request).collect()
    }

    /// Takes a request back and returns true, or lets its handler know.
    pub(crate) fn cancel(&self, request: u64) -> bool {
        let mut state = self.lock();
        let is_it = |assigned: &Assigned| assigned.assign.request == request;
        let found = state.unstarted.iter().position(|batch| batch.iter().any(is_it));
        if let Some(index) = found {
            let batch = &mut state.unstarted[index];
            batch.retain(|assigned| !is_it(assigned));
            if batch.is_empty() {
                state.unstarted.remove(index);
            }
            return true;
        }
        if let Some(running) = state.running.get(&request) {
            running.cancelled.store(true, Ordering::Relaxed);
            if let Some(news) = &mut state.news {
                news.cancelled.push(request);
            }
            // It may wait for its stream's window.
            self.windows.notify_all();
        }
        false
    }

    /// The client took responses of a stream.
    pub(crate) fn consumed(&self, consumed: &Consumed) {
        let mut state = self.lock();
        if let Some(running) = state.running.get_mut(&consumed.request) {
            running.window.open(consumed.responses, consumed.bytes);
            running.openings += 1;
            if let Some(news) = &mut state.news {
                news.opened.push(consumed.request);
            }
            self.windows.notify_all();
        }
    }

    /// The agent answered a call; wakes the thread that made it.
    pub(crate) fn answer(&self, answer: Answer, contents: Vec<Bytes>) {
        let mut state = self.lock();
        state.answered(answer, contents);
        if state.waiting_for_window > 0 {
            self.windows.notify_all();
        }
    }

    /// Nobody waits for a call any longer; wakes who does.
    pub(crate) fn give_up_answer(&self, call: u64) {
        let mut state = self.lock();
        state.forget_answer(call);
        if state.waiting_for_window > 0 {
            self.windows.notify_all();
        }
    }

    /// The agent wants something of the worker; [`Self::share`] wakes the thread that does it.
    pub(crate) fn order(&self, order: Order) {
        self.lock().order = Some(order);
    }

    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.work.notify_all();
    }

    pub(crate) fn welcome(&self, welcome: &Welcome) {
        self.lock().limits = Some(Limits::from(welcome));
        self.work.notify_all();
    }

    pub(crate) fn limits(&self) -> Limits {
        self.lock().limits.unwrap_or_default()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
