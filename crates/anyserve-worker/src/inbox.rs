//! What the agent assigned and no handler has taken yet, and what is known of what handlers have taken.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_proto::worker::{Assign, Consumed, Welcome};
use bytes::Bytes;

use crate::window::{Limits, Window};

/// An assignment as it arrived.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) assign: Assign,
    pub(crate) inputs: Vec<Bytes>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// What arrived and is not dealt with yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// For threads that wait for work, or for the agent's word.
    work: Condvar,
    /// For threads that wait until they may send.
    windows: Condvar,
}

/// The batches in order, and the word to stop.
#[derive(Debug, Default)]
pub(crate) struct State {
    unstarted: VecDeque<Vec<Assigned>>,
    /// A batch of which more requests are to come.
    incomplete: Vec<Assigned>,
    /// What handlers have taken and not yet answered.
    running: HashMap<u64, Running>,
    /// What the agent allows, once it has answered the hello.
    limits: Option<Limits>,
    /// Running requests that changed, once an event loop looks at them.
    news: Option<News>,
    stopping: bool,
    /// Threads that wait for the leader to bring work, and those that wait until they may send.
    waiting_for_work: usize,
    waiting_for_window: usize,
}

/// Running requests that changed since the last look.
#[derive(Debug, Default)]
pub struct News {
    /// Nobody waits for these any longer.
    pub cancelled: Vec<u64>,
    /// The windows of these streams opened.
    pub opened: Vec<u64>,
}

/// A request with a handler.
#[derive(Debug)]
struct Running {
    cancelled: Arc<AtomicBool>,
    window: Window,
    /// How often the window was opened.
    openings: u64,
}

impl Assigned {
    pub(crate) fn new(assign: Assign, inputs: Vec<Bytes>) -> Self {
        let deadline = assign.timeout_us.map(|left| Instant::now() + Duration::from_micros(left));
        Self { assign, inputs, deadline, cancelled: Arc::default() }
    }
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
        for _ in 0..state.unstarted.len().min(state.waiting_for_work) {
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

impl State {
    /// Takes the next batch.
    pub(crate) fn take(&mut self) -> Option<Vec<Assigned>> {
        let batch = self.unstarted.pop_front()?;
        for assigned in &batch {
            let cancelled = Arc::clone(&assigned.cancelled);
            let running = Running { cancelled, window: Window::default(), openings: 0 };
            self.running.insert(assigned.assign.request, running);
        }
        Some(batch)
    }

    /// Puts back what was taken too much.
    pub(crate) fn put_back(&mut self, batch: Vec<Assigned>) {
        for assigned in &batch {
            self.running.remove(&assigned.assign.request);
        }
        if !batch.is_empty() {
            self.unstarted.push_front(batch);
        }
    }

    /// Counts a response of `bytes` bytes towards the request's window; false if there is no room for it.
    pub(crate) fn claim_window(&mut self, request: u64, bytes: u64) -> bool {
        let limits = self.limits.unwrap_or_default();
        // What is not running has no window to keep.
        self.running.get_mut(&request).is_none_or(|running| running.window.claim(bytes, &limits))
    }

    /// How often the window of a request was opened.
    pub(crate) fn window_openings(&self, request: u64) -> u64 {
        self.running.get(&request).map_or(0, |running| running.openings)
    }

    /// What changed for running requests since the last look.
    pub(crate) fn take_news(&mut self) -> News {
        self.news.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// True once the agent has answered the hello.
    pub(crate) fn is_welcome(&self) -> bool {
        self.limits.is_some()
    }

    /// True once the agent wants the worker to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }
}
