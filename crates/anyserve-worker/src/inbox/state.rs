//! What the threads of a worker know together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyserve_proto::worker::failure::Kind;
use anyserve_proto::worker::{Answer, Assign};
use bytes::Bytes;

use crate::failure::Failure;
use crate::window::{Limits, Window};

/// An assignment as it arrived.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) assign: Assign,
    pub(crate) inputs: Vec<Bytes>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// The batches in order, and what else the agent wants.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) unstarted: VecDeque<Vec<Assigned>>,
    /// A batch of which more requests are to come.
    pub(super) incomplete: Vec<Assigned>,
    /// What handlers have taken and not yet answered.
    pub(super) running: HashMap<u64, Running>,
    /// What the agent allows, once it has answered the hello.
    pub(super) limits: Option<Limits>,
    /// Running requests that changed, once an event loop looks at them.
    pub(super) news: Option<News>,
    /// What the agent wants of a worker that has nothing to do.
    pub(super) order: Option<Order>,
    pub(super) stopping: bool,
    /// The calls that are waited for, and the answers that have come.
    pub(super) calls: HashMap<u64, Expected>,
    /// Threads that wait for the leader to bring work, and those that wait until they may send.
    pub(super) waiting_for_work: usize,
    pub(super) waiting_for_window: usize,
}

/// A call that is under way.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// What has come and nobody has taken: one answer, or as many as the window of a stream holds.
    answers: VecDeque<Answered>,
    /// The event loop is told when something comes.
    watched: bool,
}

/// The agent's answer to a call, and its contents.
pub(crate) type Answered = (Answer, Vec<Bytes>);

/// What the agent wants of a worker that has nothing to do. Nothing new comes before [`crate::Worker::settled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Give back what is only needed for serving.
    Sleep {
        /// 1 keeps what makes waking fast, 2 gives back all it can.
        level: u32,
    },
    /// Be ready to serve again.
    Wake,
}

/// What a thread that waits for work gets.
#[derive(Debug)]
pub(crate) enum Taken {
    Batch(Vec<Assigned>),
    Order(Order),
}

/// What an event loop has to know beside the batches.
#[derive(Debug, Default)]
pub struct News {
    /// Nobody waits for these any longer.
    pub cancelled: Vec<u64>,
    /// The windows of these streams opened.
    pub opened: Vec<u64>,
    /// Something came for these calls, of those that are watched.
    pub answered: Vec<u64>,
    /// What the agent wants of a worker that has nothing to do.
    pub order: Option<Order>,
}

/// A request with a handler.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) window: Window,
    /// How often the window was opened.
    pub(super) openings: u64,
}

impl Assigned {
    pub(crate) fn new(assign: Assign, inputs: Vec<Bytes>) -> Self {
        let deadline = assign.timeout_us.map(|left| Instant::now() + Duration::from_micros(left));
        Self { assign, inputs, deadline, cancelled: Arc::default() }
    }
}

impl State {
    /// Takes the next batch, or the order that the agent gave while there was none.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let batch = self.take_batch().map(Taken::Batch);
        batch.or_else(|| self.order.take().map(Taken::Order))
    }

    /// Takes the next batch.
    pub(crate) fn take_batch(&mut self) -> Option<Vec<Assigned>> {
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

    /// What changed since the last look.
    pub(crate) fn take_news(&mut self) -> News {
        let news = self.news.as_mut().map(std::mem::take).unwrap_or_default();
        News { order: self.order.take(), ..news }
    }

    /// A call is made, and its answer will be waited for.
    pub(crate) fn expect_answer(&mut self, call: u64, watched: bool) -> Result<(), Failure> {
        if self.limits.is_none() {
            let message = "the worker is not ready: objects and calls are for handlers, not for the start";
            return Err(Failure::new(Kind::Unavailable, message));
        }
        self.calls.insert(call, Expected { answers: VecDeque::new(), watched });
        Ok(())
    }

    /// An answer came. One that nobody waits for any longer is dropped.
    pub(super) fn answered(&mut self, answer: Answer, contents: Vec<Bytes>) {
        let Some(expected) = self.calls.get_mut(&answer.call) else {
            return;
        };
        if let Some(news) = self.news.as_mut().filter(|_| expected.watched) {
            news.answered.push(answer.call);
        }
        expected.answers.push_back((answer, contents));
    }

    /// The next answer, if it has come.
    pub(crate) fn take_answer(&mut self, call: u64) -> Option<Answered> {
        self.calls.get_mut(&call)?.answers.pop_front()
    }

    /// True while somebody waits for answers to the call.
    pub(crate) fn expects_answer(&self, call: u64) -> bool {
        self.calls.contains_key(&call)
    }

    /// Nobody waits for answers any longer.
    pub(crate) fn forget_answer(&mut self, call: u64) {
        self.calls.remove(&call);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(request: u64) -> Assigned {
        Assigned::new(Assign { request, ..Default::default() }, Vec::new())
    }

    #[test]
    fn an_order_is_taken_once_and_behind_the_batches() {
        let mut state = State { order: Some(Order::Wake), ..State::default() };
        state.unstarted.push_back(vec![assigned(1)]);
        assert!(matches!(state.take(), Some(Taken::Batch(batch)) if batch.len() == 1));
        assert!(state.take_batch().is_none(), "an order is no batch");
        assert!(matches!(state.take(), Some(Taken::Order(Order::Wake))));
        assert!(state.take().is_none());
    }

    #[test]
    fn an_order_is_among_the_news() {
        let order = Some(Order::Sleep { level: 2 });
        let mut state = State { order, news: Some(News::default()), ..State::default() };
        assert_eq!(state.take_news().order, order);
        assert_eq!(state.take_news().order, None);
    }
}
