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

/// The assignments in order, and the word to stop.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    unstarted: VecDeque<Assigned>,
    /// The cancellation flags of what handlers have taken and not yet answered.
    running: HashMap<u64, Arc<AtomicBool>>,
    /// The largest response that the agent takes, once it has answered the hello.
    max_message_size: Option<u64>,
    stopping: bool,
}

impl Assigned {
    pub(crate) fn new(assign: Assign, inputs: Vec<Bytes>) -> Self {
        let deadline = assign.timeout_us.map(|left| Instant::now() + Duration::from_micros(left));
        Self { assign, inputs, deadline, cancelled: Arc::default() }
    }
}

impl Inbox {
    pub(crate) fn push(&self, assigned: Assigned) {
        self.lock().unstarted.push_back(assigned);
        self.changed.notify_one();
    }

    /// Waits for the next assignment; none once the worker is to stop.
    pub(crate) fn next(&self) -> Option<Assigned> {
        let waiting = |state: &mut State| state.unstarted.is_empty() && !state.stopping;
        let state = self.changed.wait_while(self.lock(), waiting);
        state.unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn try_next(&self) -> Option<Assigned> {
        self.lock().take()
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

    /// Waits for the agent's answer to the hello; none if it says stop instead.
    pub(crate) fn wait_for_welcome(&self) -> Option<()> {
        let waiting = |state: &mut State| state.max_message_size.is_none() && !state.stopping;
        let state = self.changed.wait_while(self.lock(), waiting);
        state.unwrap_or_else(PoisonError::into_inner).max_message_size.map(|_| ())
    }

    pub(crate) fn max_message_size(&self) -> u64 {
        self.lock().max_message_size.unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Assigned> {
        let assigned = self.unstarted.pop_front()?;
        self.running.insert(assigned.assign.request, Arc::clone(&assigned.cancelled));
        Some(assigned)
    }
}
