//! Calls that block, without another thread on their way.
//!
//! A thread that waits for a future on a runtime of several threads hands each request to one of them and is woken by
//! it again: two changes of thread for each call, which cost more than everything else that a client does. Here the
//! thread that calls also reads and writes the connection.
//!
//! ```no_run
//! use anyserve_client::blocking::Blocking;
//! use anyserve_client::{CallOptions, Client};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let blocking = Blocking::new()?;
//! let client = blocking.within(|| Client::new("localhost:8000"))?;
//! let response = blocking.run(client.infer(Default::default(), &CallOptions::default()))?;
//! # Ok(())
//! # }
//! ```

mod spinning;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use spinning::{Pace, Spinning};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// So long after the last call the connections are looked after by a thread of their own.
const IDLE: Duration = Duration::from_millis(20);
/// So long after the last call it may well be that a connection was closed in the meantime.
const REST: Duration = Duration::from_millis(1);
/// What that thread needs; debug builds are generous with it.
const STACK: usize = 1 << 20;

/// A place for connections whose callers drive them.
///
/// May be shared by threads: while several call, one of them drives the connections for all. While nobody calls, a thread
/// answers what servers ask on them (pings, the wish to close), so it is as if they were driven all the time.
#[derive(Debug)]
pub struct Blocking {
    shared: Arc<Shared>,
    keeper: OnceLock<Thread>,
}

#[derive(Debug)]
struct Shared {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    /// How many threads call.
    callers: AtomicUsize,
    /// When the last call ended, in microseconds after `made`.
    last: AtomicU64,
    made: Instant,
    /// The keeper drives the connections.
    kept: AtomicBool,
    /// Asks the keeper to let go.
    wanted: Notify,
    closed: AtomicBool,
    pace: Pace,
}

/// A thread that calls, for as long as it does.
struct Caller<'a>(&'a Shared);

impl Blocking {
    /// A place without connections yet. Fails if the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shared = Shared {
            runtime: Some(runtime),
            callers: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            made: Instant::now(),
            kept: AtomicBool::new(false),
            wanted: Notify::new(),
            closed: AtomicBool::new(false),
            pace: Pace::default(),
        };
        Ok(Self { shared: Arc::new(shared), keeper: OnceLock::new() })
    }

    /// Makes something whose connections are to be driven here.
    pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        let _context = self.shared.runtime().enter();
        make()
    }

    /// Waits for a call that uses connections made [within](Self::within).
    ///
    /// While answers come fast, the thread looks for them without sleeping, for at most a millisecond, and lets other
    /// threads have its core in between: to be woken can take longer than the whole call.
    ///
    /// # Panics
    /// In a task of a tokio runtime: such tasks must not block.
    pub fn run<F: Future>(&self, call: F) -> F::Output {
        self.keeper.get_or_init(|| keep(&self.shared));
        let _caller = self.shared.enter();
        let alone = self.shared.callers.load(Ordering::Relaxed) == 1;
        let rested = self.shared.idle() > REST;
        self.shared.runtime().block_on(async {
            if rested {
                see_what_has_come().await;
            }
            let output = Spinning::new(call, &self.shared.pace, alone).await;
            // A task that has used up its budget is put off to the end of the turn. If the turn ended here, with this
            // call, the task would never be woken, and whoever else waits for it would wait for ever.
            tokio::task::yield_now().await;
            output
        })
    }
}

impl Shared {
    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only dropping takes it")
    }

    fn enter(&self) -> Caller<'_> {
        self.callers.fetch_add(1, Ordering::SeqCst);
        // Either the keeper sees that there is a caller, or the caller sees the keeper.
        if self.kept.load(Ordering::SeqCst) {
            self.wanted.notify_one();
        }
        Caller(self)
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// For how long nobody has called.
    fn idle(&self) -> Duration {
        Duration::from_micros(self.clock().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    /// Drives the connections until somebody calls.
    fn drive(&self) {
        self.kept.store(true, Ordering::SeqCst);
        if self.callers.load(Ordering::SeqCst) == 0 {
            self.runtime().block_on(async {
                self.wanted.notified().await;
                // As where a call ends: what was put off to the end of the turn is not to be forgotten.
                tokio::task::yield_now().await;
            });
        }
        self.kept.store(false, Ordering::SeqCst);
    }
}

/// Starts the thread that drives the connections while nobody calls.
fn keep(shared: &Arc<Shared>) -> Thread {
    let shared = Arc::clone(shared);
    let keeper =
        thread::Builder::new().name("anyserve-client".to_owned()).stack_size(STACK).spawn(move || {
            while !shared.closed.load(Ordering::SeqCst) {
                if shared.callers.load(Ordering::Relaxed) > 0 || shared.idle() < IDLE {
                    thread::park_timeout(IDLE);
                } else {
                    shared.drive();
                }
            }
        });
    // Without it connections are not looked after while idle: they may be cut, and are made again.
    keeper.map_or_else(|_| thread::current(), |keeper| keeper.thread().clone())
}

/// Lets connections find out that they were closed, before a request is sent on one: it could not be told from one that
/// the server has begun.
async fn see_what_has_come() {
    // The sockets are looked at first, and those who wait for them have their turn after that.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.last.store(self.0.clock(), Ordering::Relaxed);
        self.0.callers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.wanted.notify_one();
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping it would wait, which a task of another runtime must not do.
            runtime.shutdown_background();
        }
    }
}
