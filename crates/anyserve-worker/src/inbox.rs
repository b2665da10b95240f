//! What the agent assigned and no handler has taken yet.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_proto::worker::Assign;
use bytes::Bytes;

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
    changed: Condvar,
}

/// The assignments in order, and the word to stop.
#[derive(Debug, Default)]
pub(crate) struct State {
    unstarted: VecDeque<Assigned>,
    /// The cancellation flags of what handlers have taken and not yet answered.
    running: HashMap<u64, Arc<AtomicBool>>,
    /// The largest response that the agent takes, once it has answered the hello.
    max_message_size: Option<u64>,
    stopping: bool,
    /// Threads that wait for the leader to bring something.
    waiting: usize,
}

impl Assigned {
    pub(crate) fn new(assign: Assign, inputs: Vec<Bytes>) -> Self {
        let deadline = assign.timeout_us.map(|left| Instant::now() + Duration::from_micros(left));
        Self { assign, inputs, deadline, cancelled: Arc::default() }
    }
}

impl Inbox {
    pub(crate) fn push(&self, assigned: Assigned) {
        let mut state = self.lock();
        state.unstarted.push_back(assigned);
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.changed.notify_one();
        }
    }

    /// Waits until something arrives or the leader gives up the lead.
    pub(crate) fn wait(&self, mut state: MutexGuard<'_, State>) {
        state.waiting += 1;
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner).waiting -= 1;
    }

    pub(crate) fn has_waiter(&self) -> bool {
        self.lock().waiting > 0
    }

    /// Lets a thread that waits look again.
    pub(crate) fn wake_waiter(&self) {
        if self.has_waiter() {
            self.changed.notify_one();
        }
    }

    /// Forgets a request that was answered.
    pub(crate) fn finished(&self, request: u64) {
        self.lock().running.remove(&request);
    }

    /// Takes back everything that no handler has taken.
    pub(crate) fn take_unstarted(&self) -> Vec<u64> {
        self.lock().unstarted.drain(..).map(|assigned| assigned.assign.request).collect()
    }

    /// Takes a request back and returns true, or lets its handler know.
    pub(crate) fn cancel(&self, request: u64) -> bool {
        let mut state = self.lock();
        let index = state.unstarted.iter().position(|assigned| assigned.assign.request == request);
        if let Some(index) = index {
            return state.unstarted.remove(index).is_some();
        }
        if let Some(flag) = state.running.get(&request) {
            flag.store(true, Ordering::Relaxed);
        }
        false
    }

    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    pub(crate) fn welcome(&self, max_message_size: u64) {
        self.lock().max_message_size = Some(max_message_size);
        self.changed.notify_all();
    }

    pub(crate) fn max_message_size(&self) -> u64 {
        self.lock().max_message_size.unwrap_or(u64::MAX)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the next assignment.
    pub(crate) fn take(&mut self) -> Option<Assigned> {
        let assigned = self.unstarted.pop_front()?;
        self.running.insert(assigned.assign.request, Arc::clone(&assigned.cancelled));
        Some(assigned)
    }

    /// True once the agent has answered the hello.
    pub(crate) fn is_welcome(&self) -> bool {
        self.max_message_size.is_some()
    }

    /// True once the agent wants the worker to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }
}
