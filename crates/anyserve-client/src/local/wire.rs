//! The socket to the agent, what came by it, and who waits for what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyserve_channel::{ChannelError, Receiver, Sender, split_payload};
use anyserve_proto::LOCAL_CALLS;
use anyserve_proto::local::{ClientCancel, FromClient, from_client};
use anyserve_proto::worker::{Answer, Failure, Placed, Released, ToWorker, answer, to_worker};
use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::memory::Segments;

/// A connection to the agent. It is read by the task that [runs](Self::run) it.
#[derive(Debug)]
pub(super) struct Wire {
    sender: Sender,
    waiting: Mutex<Waiting>,
    pub(super) segments: Segments,
    released: Mutex<Vec<u64>>,
    /// Told of what was released.
    more_released: Notify,
    next: AtomicU64,
    places: Arc<Semaphore>,
    ended: AtomicBool,
}

/// Who waits for answers, by call; none once the connection has ended.
#[derive(Debug, Default)]
struct Waiting {
    calls: HashMap<u64, mpsc::UnboundedSender<Delivery>>,
    ended: bool,
    /// What the agent said when it hung up.
    farewell: Option<Failure>,
}

/// A call under way. The agent hears that nobody waits any more if this is dropped before its [last answer](Self::end).
#[derive(Debug)]
pub(super) struct Call {
    wire: Arc<Wire>,
    pub(super) number: u64,
    answers: mpsc::UnboundedReceiver<Delivery>,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

/// An answer that came. What it lends this process is given back unless it is taken.
#[derive(Debug)]
pub(super) struct Delivery {
    wire: Arc<Wire>,
    answer: Answer,
    payload: Bytes,
}

impl Wire {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            waiting: Mutex::default(),
            segments: Segments::default(),
            released: Mutex::default(),
            more_released: Notify::new(),
            // 0 is nobody's.
            next: AtomicU64::new(1),
            places: Arc::new(Semaphore::new(LOCAL_CALLS)),
            ended: AtomicBool::new(false),
        }
    }

    /// Reads what the agent sends, and sends what waits, until the connection ends.
    pub(super) async fn run(self: Arc<Self>, mut receiver: Receiver<ToWorker>) {
        let reading = async {
            while let Ok(Some((message, payload))) = receiver.receive().await {
                self.handle(message, payload);
            }
        };
        tokio::select! {
            () = reading => {}
            () = self.sender.drive() => {}
            () = self.tell_released() => {}
        }
        self.end();
    }

    /// True once nothing can be asked of the agent any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// What the agent said when it hung up, if it said why.
    pub(super) fn farewell(&self) -> Option<Failure> {
        self.lock().farewell.clone()
    }

    /// From now on, answers to a new call are waited for; as many as may be under way at once.
    pub(super) async fn begin(self: &Arc<Self>) -> Call {
        let (sender, answers) = mpsc::unbounded_channel();
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.lock();
        // Without its sender, it ends at once.
        if !waiting.ended {
            waiting.calls.insert(number, sender);
        }
        drop(waiting);
        Call { wire: Arc::clone(self), number, answers, has_ended: false, _place: place }
    }

    /// Says something to the agent; what is held no longer is told before. Fails on what no frame can hold.
    pub(super) fn send(&self, message: from_client::Message, payload: &[Bytes]) -> Result<(), ChannelError> {
        self.queue_released();
        self.sender.send(&FromClient { message: Some(message) }, payload)
    }

    /// This process holds that no longer. Only notes it: this may run wherever bytes are dropped.
    pub(super) fn release(&self, lease: u64) {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
        self.more_released.notify_one();
    }

    async fn tell_released(&self) {
        loop {
            self.more_released.notified().await;
            self.queue_released();
            self.sender.write();
        }
    }

    fn queue_released(&self) {
        let leases = std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner));
        if !leases.is_empty() {
            let message = Some(from_client::Message::Released(Released { leases }));
            // Nothing but numbers: it fits any frame.
            let _ = self.sender.queue(&FromClient { message }, &[]);
        }
    }

    fn handle(self: &Arc<Self>, message: ToWorker, payload: Bytes) {
        match message.message {
            Some(to_worker::Message::Mapped(mapped)) => self.segments.add(mapped),
            Some(to_worker::Message::Unmapped(unmapped)) => self.segments.remove(unmapped.segment),
            Some(to_worker::Message::Answer(answer)) if answer.call == 0 => {
                if let Some(answer::Result::Failure(failure)) = answer.result {
                    self.lock().farewell = Some(failure);
                }
            }
            Some(to_worker::Message::Answer(answer)) => {
                let number = answer.call;
                let delivery = Delivery { wire: Arc::clone(self), answer, payload };
                let waits = self.lock().calls.get(&number).cloned();
                // Whatever nobody waits for is dropped, and with it what it lends.
                if let Some(waits) = waits {
                    let _ = waits.send(delivery);
                }
            }
            // This process keeps nothing only for later, and nothing else is said to clients.
            _ => {}
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let mut waiting = self.lock();
        waiting.ended = true;
        let calls = std::mem::take(&mut waiting.calls);
        drop(waiting);
        drop(calls);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// The next answer; none once the connection has ended. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        self.answers.recv().await
    }

    /// No more answers are to come.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut waiting = self.wire.lock();
        waiting.calls.remove(&self.number);
        let ended = self.has_ended || waiting.ended;
        drop(waiting);
        if !ended {
            // A number: it fits any frame.
            let _ = self.wire.send(from_client::Message::Cancel(ClientCancel { call: self.number }), &[]);
        }
    }
}

impl Delivery {
    /// True if it brings a response, after which others may come.
    pub(super) fn is_response(&self) -> bool {
        matches!(self.answer.result, Some(answer::Result::Inferred(_)))
    }

    /// What was answered; none is the end of a stream. A place that was allocated is the caller's to give back.
    pub(super) fn take_result(&mut self) -> Option<answer::Result> {
        self.answer.result.take()
    }

    /// The contents that came with it, and where the others are: from now on, it is the caller who gives those back.
    pub(super) fn take_contents(&mut self) -> Result<(Vec<Bytes>, Vec<Placed>), ChannelError> {
        let payload = split_payload(std::mem::take(&mut self.payload), &self.answer.payload_sizes)?;
        Ok((payload, std::mem::take(&mut self.answer.placed)))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(answer::Result::Allocated(place)) = &self.answer.result {
            self.wire.release(place.lease);
        }
        for place in &self.answer.placed {
            self.wire.release(place.lease);
        }
    }
}
