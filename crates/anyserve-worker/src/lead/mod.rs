//! Who reads the channel: one thread at a time, the leader.
//!
//! A thread that waits for something reads the channel itself; a hand-over from a reading thread would cost it a
//! wake-up, which is most of what a small request costs. While all threads are in handlers nobody would read, so a
//! watcher looks every few milliseconds, and leads for as long as the handlers take.

mod watch;

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::Instant;

use anyserve_channel::{ChannelError, Receiver, Sender, split_payload};
use anyserve_proto::worker::{Heartbeat, Returned, ToAgent, ToWorker, to_agent, to_worker};
use bytes::Bytes;
use rustix::process::{Signal, getpid, kill_process};

use crate::claims::ClaimFile;
use crate::inbox::{Assigned, Inbox, Order, State};
pub(crate) use watch::watch;

/// What the threads of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    sender: Sender,
    /// Held by the leader.
    receiver: Mutex<Receiver<ToWorker>>,
    pub(crate) inbox: Inbox,
    pub(crate) claims: ClaimFile,
    runtime: tokio::runtime::Runtime,
    socket: RawFd,
    /// An event loop reads the channel; no thread leads.
    lent: AtomicBool,
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
        socket: RawFd,
    ) -> Self {
        Self {
            sender,
            receiver: Mutex::new(receiver),
            inbox: Inbox::default(),
            claims,
            runtime,
            socket,
            lent: AtomicBool::new(false),
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
        self.queue(message, payload);
        self.flush();
    }

    /// Leaves the writing to a later [`Self::flush`].
    pub(crate) fn queue(&self, message: to_agent::Message, payload: &[Bytes]) {
        let message = ToAgent { message: Some(message) };
        // What no frame can hold is caught where a response is checked against the agent's limit.
        let _ = self.sender.queue(&message, payload);
    }

    /// Everything queued is with the kernel when this returns.
    pub(crate) fn flush(&self) {
        self.sender.write();
        if self.sender.has_pending() {
            self.runtime.block_on(self.sender.flush());
        }
    }

    /// Sends a sign of life, unless other messages wait to be sent: they are one too.
    pub(crate) fn beat(&self) {
        let message = ToAgent { message: Some(to_agent::Message::Heartbeat(Heartbeat {})) };
        self.sender.send_or_drop(&message);
    }

    /// The socket to watch for an event loop that calls [`Self::drain`].
    pub(crate) fn socket(&self) -> RawFd {
        self.socket
    }

    /// Waits until `take` finds what it looks for; none once the worker is to stop.
    pub(crate) fn wait_for_work<T>(&self, take: impl Fn(&mut State) -> Option<T>) -> Option<T> {
        let found = loop {
            let mut inbox = self.inbox.lock();
            let found = take(&mut inbox);
            if found.is_some() || inbox.is_stopping() {
                break found;
            }
            // Tried with the inbox locked, so that the watcher cannot give up the lead unseen in between.
            match self.try_lead() {
                None => self.inbox.wait_for_work(inbox),
                Some(receiver) => {
                    drop(inbox);
                    self.lead(receiver, None);
                }
            }
        };
        self.note_progress();
        found
    }

    /// Waits until `take` finds what it looks for, at most until then.
    pub(crate) fn wait_for_window<T>(
        &self,
        until: Instant,
        take: impl Fn(&mut State) -> Option<T>,
    ) -> Option<T> {
        loop {
            let mut inbox = self.inbox.lock();
            let found = take(&mut inbox);
            if found.is_some() || until <= Instant::now() {
                drop(inbox);
                self.note_progress();
                return found;
            }
            match self.try_lead() {
                None => self.inbox.wait_for_window(inbox, until),
                Some(receiver) => {
                    drop(inbox);
                    self.lead(receiver, Some(until));
                }
            }
        }
    }

    /// Receives once, and wakes those that it brought something for.
    fn lead(&self, mut receiver: MutexGuard<'_, Receiver<ToWorker>>, until: Option<Instant>) {
        self.idle.store(true, Ordering::Relaxed);
        self.runtime.block_on(async {
            let one = self.receive(&mut receiver);
            match until {
                None => one.await,
                // Out of time just means another look.
                Some(until) => drop(tokio::time::timeout_at(until.into(), one).await),
            }
        });
        self.idle.store(false, Ordering::Relaxed);
        drop(receiver);
        self.inbox.share();
        self.inbox.hand_over();
    }

    fn note_progress(&self) {
        // Ordered against the watcher, which looks at them the other way round before it sleeps.
        self.progress.fetch_add(1, Ordering::SeqCst);
        if self.watcher_sleeps.load(Ordering::SeqCst)
            && let Some(watcher) = self.watcher.get()
        {
            watcher.unpark();
        }
    }

    fn try_lead(&self) -> Option<MutexGuard<'_, Receiver<ToWorker>>> {
        if self.lent.load(Ordering::SeqCst) {
            return None;
        }
        match self.receiver.try_lock() {
            Ok(receiver) => Some(receiver),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Receives what has arrived, at least one message, and acts on it. If there will be no more, the process ends.
    async fn receive(&self, receiver: &mut Receiver<ToWorker>) {
        if !matches!(self.try_receive(receiver).await, Ok(true)) {
            end_process();
        }
    }

    /// The same; false if the agent is gone.
    async fn try_receive(&self, receiver: &mut Receiver<ToWorker>) -> Result<bool, ChannelError> {
        // What could not be written when it was said.
        self.sender.flush().await;
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

    /// From now on an event loop reads the channel by [`Self::drain`].
    pub(crate) fn lend_to_loop(&self) {
        self.lent.store(true, Ordering::SeqCst);
        self.inbox.gather_news();
    }

    /// Acts on what has arrived, without waiting for more.
    pub(crate) fn drain(&self) {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let drained = self.runtime.block_on(async {
            // Lets the runtime see what the loop saw: that the socket is readable.
            tokio::task::yield_now().await;
            while let Some(next) = receiver.try_receive()? {
                let Some((message, payload)) = next else {
                    return Ok(false);
                };
                self.handle(message, payload)?;
            }
            Ok::<_, ChannelError>(true)
        });
        if !matches!(drained, Ok(true)) {
            end_process();
        }
        self.flush();
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
            to_worker::Message::Welcome(welcome) => self.inbox.welcome(&welcome),
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
            to_worker::Message::Consumed(consumed) => self.inbox.consumed(&consumed),
            // A level that is not said is the light one.
            to_worker::Message::Sleep(sleep) => self.inbox.order(Order::Sleep { level: sleep.level.max(1) }),
            to_worker::Message::Wake(_) => self.inbox.order(Order::Wake),
            to_worker::Message::Stop(_) => self.inbox.stop(),
        }
        Ok(())
    }
}

/// The agent is gone: nobody is left to answer to, and a handler may hold this process for as long as it likes.
fn end_process() {
    let _ = kill_process(getpid(), Signal::KILL);
}
