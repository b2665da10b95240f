//! Who reads the channel: one thread at a time, the leader.
//!
//! A thread that waits for something reads the channel itself; a hand-over from a reading thread would cost it a
//! wake-up, which is most of what a small request costs. While all threads are in handlers nobody would read, so a
//! watcher looks every few milliseconds, and leads for as long as the handlers take.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::Duration;

use anyserve_channel::{ChannelError, Receiver, Sender, split_payload};
use anyserve_proto::worker::{Returned, ToAgent, ToWorker, to_agent, to_worker};
use bytes::Bytes;
use rustix::process::{Signal, getpid, kill_process};

use crate::claims::ClaimFile;
use crate::inbox::{Assigned, Inbox, State};

/// How often the watcher looks whether a handler has been running since the last time.
const WATCH_PERIOD: Duration = Duration::from_millis(2);

/// How long the watcher reads before it looks whether a handler has ended.
const LEAD_PERIOD: Duration = Duration::from_millis(10);

/// After so many looks that found the worker idle, the watcher sleeps until there is work.
const IDLE_LOOKS: u32 = 50;

/// What the threads of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    sender: Sender,
    /// Held by the leader.
    receiver: Mutex<Receiver<ToWorker>>,
    pub(crate) inbox: Inbox,
    pub(crate) claims: ClaimFile,
    runtime: tokio::runtime::Runtime,
    /// True while a thread that waits for work leads.
    idle: AtomicBool,
    /// Moves whenever a thread takes work or comes back for more.
    progress: AtomicU64,
    watcher: OnceLock<Thread>,
    watcher_sleeps: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        sender: Sender,
        receiver: Receiver<ToWorker>,
        claims: ClaimFile,
        runtime: tokio::runtime::Runtime,
    ) -> Self {
        Self {
            sender,
            receiver: Mutex::new(receiver),
            inbox: Inbox::default(),
            claims,
            runtime,
            idle: AtomicBool::new(false),
            progress: AtomicU64::new(0),
            watcher: OnceLock::new(),
            watcher_sleeps: AtomicBool::new(false),
        }
    }

    pub(crate) fn set_watcher(&self, watcher: Thread) {
        let _ = self.watcher.set(watcher);
    }

    /// Sends a message; it is with the kernel when this returns.
    pub(crate) fn send(&self, message: to_agent::Message, payload: &[Bytes]) {
        let message = ToAgent { message: Some(message) };
        // What no frame can hold is caught where a response is checked against the agent's limit.
        let _ = self.sender.send(&message, payload);
        if self.sender.has_pending() {
            self.runtime.block_on(self.sender.flush());
        }
    }

    /// Waits until `take` finds what it looks for; none once the worker is to stop.
    pub(crate) fn wait_for<T>(&self, take: impl Fn(&mut State) -> Option<T>) -> Option<T> {
        let found = self.wait(take);
        // Ordered against the watcher, which looks at them the other way round before it sleeps.
        self.progress.fetch_add(1, Ordering::SeqCst);
        if self.watcher_sleeps.load(Ordering::SeqCst)
            && let Some(watcher) = self.watcher.get()
        {
            watcher.unpark();
        }
        found
    }

    fn wait<T>(&self, take: impl Fn(&mut State) -> Option<T>) -> Option<T> {
        loop {
            let mut inbox = self.inbox.lock();
            if let Some(found) = take(&mut inbox) {
                return Some(found);
            }
            if inbox.is_stopping() {
                return None;
            }
            // Tried with the inbox locked, so that the watcher cannot give up the lead unseen in between.
            let Some(mut receiver) = self.try_lead() else {
                self.inbox.wait(inbox);
                continue;
            };
            drop(inbox);
            self.idle.store(true, Ordering::Relaxed);
            self.runtime.block_on(self.receive(&mut receiver));
            self.idle.store(false, Ordering::Relaxed);
        }
    }

    fn try_lead(&self) -> Option<MutexGuard<'_, Receiver<ToWorker>>> {
        match self.receiver.try_lock() {
            Ok(receiver) => Some(receiver),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Receives what has arrived, at least one message, and acts on it. If there will be no more, the process ends.
    async fn receive(&self, receiver: &mut Receiver<ToWorker>) {
        if !matches!(self.try_receive(receiver).await, Ok(true)) {
            // Nobody is left to answer to, and a handler may hold this process for as long as it likes.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }

    /// The same; false if the agent is gone.
    async fn try_receive(&self, receiver: &mut Receiver<ToWorker>) -> Result<bool, ChannelError> {
        let mut next = receiver.receive().await?;
        if next.is_none() {
            return Ok(false);
        }
        while let Some((message, payload)) = next {
            self.handle(message, payload)?;
            next = receiver.buffered()?;
        }
        self.sender.flush().await;
        Ok(true)
    }

    fn handle(&self, message: ToWorker, payload: Bytes) -> Result<(), ChannelError> {
        let returned = |requests| {
            let message = to_agent::Message::Returned(Returned { requests });
            self.sender.send(&ToAgent { message: Some(message) }, &[])
        };
        let Some(message) = message.message else {
            return Ok(());
        };
        match message {
            to_worker::Message::Welcome(welcome) => self.inbox.welcome(welcome.max_message_size),
            to_worker::Message::Assign(assign) => {
                let inputs = split_payload(payload, &assign.payload_sizes)?;
                self.inbox.push(Assigned::new(assign, inputs));
            }
            to_worker::Message::Recall(_) => returned(self.inbox.take_unstarted())?,
            to_worker::Message::Cancel(cancel) => {
                if self.inbox.cancel(cancel.request) {
                    returned(vec![cancel.request])?;
                }
            }
            to_worker::Message::Stop(_) => self.inbox.stop(),
        }
        Ok(())
    }
}

/// Leads while handlers run long; runs for as long as the process.
pub(crate) fn watch(shared: &Shared) {
    let (mut seen, mut idle_looks) = (0, 0);
    loop {
        std::thread::sleep(WATCH_PERIOD);
        let progress = shared.progress.load(Ordering::Relaxed);
        if shared.idle.load(Ordering::Relaxed) {
            idle_looks += 1;
        } else {
            idle_looks = 0;
            if progress == seen {
                lead_for_a_while(shared);
            }
        }
        seen = progress;
        if idle_looks == IDLE_LOOKS {
            idle_looks = 0;
            shared.watcher_sleeps.store(true, Ordering::SeqCst);
            if shared.progress.load(Ordering::SeqCst) == seen {
                std::thread::park();
            }
            shared.watcher_sleeps.store(false, Ordering::SeqCst);
        }
    }
}

/// Reads the channel until a thread waits for work.
fn lead_for_a_while(shared: &Shared) {
    let mut receiver = shared.receiver.lock().unwrap_or_else(PoisonError::into_inner);
    while !shared.inbox.has_waiter() {
        let period = async { tokio::time::timeout(LEAD_PERIOD, shared.receive(&mut receiver)).await };
        // Out of time just means another look.
        let _ = shared.runtime.block_on(period);
    }
    drop(receiver);
    shared.inbox.wake_waiter();
}
