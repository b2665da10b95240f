//! Who reads the channel: one thread at a time, the leader.
//!
//! A thread that waits for something reads the channel itself; a hand-over from a reading thread would cost it a
//! wake-up, which is most of what a small request costs. While all threads are in handlers nobody would read, so a
//! watcher looks every few milliseconds, and leads for as long as the handlers take.

mod watch;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

use anyserve_channel::{ChannelError, Receiver, Sender, split_payload};
use anyserve_proto::worker::{
    Call, Heartbeat, HungUp, Released, Returned, ToAgent, ToWorker, call, to_agent, to_worker,
};
use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Signal, getpid, kill_process};

use tokio::sync::Notify;

use crate::claims::ClaimFile;
use crate::failure::Failure;
use crate::inbox::{Answered, Assigned, Inbox, Order, State};
use crate::memory::Memory;
use crate::recent::Recent;
pub(crate) use watch::watch;

/// What the threads of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    sender: Sender,
    /// Held by the leader.
    receiver: Mutex<Receiver<ToWorker>>,
    pub(crate) inbox: Inbox,
    pub(crate) claims: ClaimFile,
    pub(crate) memory: Memory,
    pub(crate) recent: Recent,
    runtime: tokio::runtime::Runtime,
    socket: RawFd,
    /// An event loop reads the channel; no thread leads.
    lent: AtomicBool,
    /// That loop's thread, and what it watches beside the socket.
    event_loop: OnceLock<(ThreadId, OwnedFd)>,
    /// Counts the calls.
    calls: AtomicU64,
    /// Somebody waits for a call no longer.
    given_up: Notify,
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
            memory: Memory::new(),
            recent: Recent::default(),
            runtime,
            socket,
            lent: AtomicBool::new(false),
            event_loop: OnceLock::new(),
            calls: AtomicU64::new(0),
            given_up: Notify::new(),
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

    /// Leaves the writing to a later [`Self::flush`]. What is held no longer is told before.
    pub(crate) fn queue(&self, message: to_agent::Message, payload: &[Bytes]) {
        self.queue_released();
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

    /// Tells the agent which leases are over, if any are.
    pub(crate) fn tell_released(&self) {
        if self.queue_released() {
            self.flush();
        }
    }

    fn queue_released(&self) -> bool {
        let leases = self.memory.take_released();
        if leases.is_empty() {
            return false;
        }
        let message = ToAgent { message: Some(to_agent::Message::Released(Released { leases })) };
        // Nothing but numbers: it fits any frame.
        let _ = self.sender.queue(&message, &[]);
        true
    }

    /// Asks the agent for something, and waits for its answer; none if it has not come by then.
    pub(crate) fn call(
        &self,
        what: call::What,
        contents: &[Bytes],
        until: Option<Instant>,
    ) -> Result<Option<Answered>, Failure> {
        let call = self.begin_call(what, contents, false)?;
        let answer = self.next_answer(call, until);
        self.inbox.lock().forget_answer(call);
        Ok(answer)
    }

    /// Asks the agent for something, and returns the number of the call. With `watched`, the event loop is told of what
    /// comes for it.
    pub(crate) fn begin_call(
        &self,
        what: call::What,
        contents: &[Bytes],
        watched: bool,
    ) -> Result<u64, Failure> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.inbox.lock().expect_answer(call, watched)?;
        let (payload, placed) = self.memory.pack(contents);
        let payload_sizes = payload.iter().map(|content| content.len() as u64).collect();
        let message = Call { call, what: Some(what), payload_sizes, placed };
        self.send(to_agent::Message::Call(message), &payload);
        Ok(call)
    }

    /// Waits for an answer to a call; none if it has not come by then, or if nobody waits for it any longer.
    pub(crate) fn next_answer(&self, call: u64, until: Option<Instant>) -> Option<Answered> {
        // A wait without an end still looks around once a year.
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(365 * 24 * 3600));
        let take = |inbox: &mut State| {
            let answer = inbox.take_answer(call);
            (answer.is_some() || !inbox.expects_answer(call)).then_some(answer)
        };
        let found = if self.is_event_loop() {
            self.read_until(until, take)
        } else {
            self.wait_for_window(until, take)
        };
        found.flatten()
    }

    /// Nobody waits for answers to a call any longer: tells the agent, and whoever does.
    pub(crate) fn give_up(&self, call: u64) {
        self.inbox.give_up_answer(call);
        self.given_up.notify_one();
        self.send(to_agent::Message::HungUp(HungUp { calls: vec![call] }), &[]);
    }

    /// True on the thread whose event loop reads the channel.
    fn is_event_loop(&self) -> bool {
        self.event_loop.get().is_some_and(|(thread, _)| *thread == std::thread::current().id())
    }

    /// Reads the channel, in place of the event loop that runs on this thread, until `take` finds what it looks for.
    fn read_until<T>(&self, until: Instant, take: impl Fn(&mut State) -> Option<T>) -> Option<T> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let found = loop {
            let found = take(&mut self.inbox.lock());
            if found.is_some() || until <= Instant::now() {
                break found;
            }
            let one = async { tokio::time::timeout_at(until.into(), self.receive(&mut receiver)).await };
            // Out of time just means another look.
            let _ = self.runtime.block_on(one);
        };
        drop(receiver);
        if let Some((_, nudge)) = self.event_loop.get() {
            // What came with it is for the loop to take. A counter that is full has woken it already.
            let _ = rustix::io::write(nudge, &1_u64.to_ne_bytes());
        }
        found
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
                // Out of time just means another look, and so does that somebody gave up, perhaps this very thread's call.
                Some(until) => tokio::select! {
                    _ = tokio::time::timeout_at(until.into(), one) => {}
                    () = self.given_up.notified() => {}
                },
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
    pub(crate) fn lend_to_loop(&self) -> io::Result<RawFd> {
        let nudge = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        self.lent.store(true, Ordering::SeqCst);
        self.inbox.gather_news();
        let (_, nudge) = self.event_loop.get_or_init(|| (std::thread::current().id(), nudge));
        Ok(nudge.as_raw_fd())
    }

    /// Acts on what has arrived, without waiting for more.
    pub(crate) fn drain(&self) {
        if let Some((_, nudge)) = self.event_loop.get() {
            // It is empty, or it is now.
            let _ = rustix::io::read(nudge, &mut [0; 8]);
        }
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
                let inputs = self.memory.unpack(inputs, &assign.placed)?;
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
            to_worker::Message::Mapped(mapped) => self.memory.mapped(mapped),
            to_worker::Message::Tidy(_) => {
                self.recent.clear();
                self.queue_released();
            }
            to_worker::Message::Unmapped(unmapped) => self.memory.unmapped(unmapped.segment),
            to_worker::Message::Answer(answer) => {
                let contents = split_payload(payload, &answer.payload_sizes)?;
                let contents = self.memory.unpack(contents, &answer.placed)?;
                self.inbox.answer(answer, contents);
            }
        }
        Ok(())
    }
}

/// The agent is gone: nobody is left to answer to, and a handler may hold this process for as long as it likes.
fn end_process() {
    let _ = kill_process(getpid(), Signal::KILL);
}
