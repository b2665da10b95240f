//! The sign of life that the agent gets whatever the application does.

use std::io;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::lead::Shared;

/// How often.
const PERIOD: Duration = Duration::from_secs(1);

/// Starts the thread that sends it, for as long as the process runs. Woken, it tells the agent at once which leases are
/// over.
///
/// A thread of its own, because any other may be held up: by the application's imports, by a handler, or by the GIL.
/// It shares nothing with them but the moment in which a message is written.
pub(crate) fn start(shared: Arc<Shared>) -> io::Result<Thread> {
    let beat = move || {
        let mut last = Instant::now();
        loop {
            std::thread::park_timeout(PERIOD.saturating_sub(last.elapsed()));
            shared.tell_released();
            if last.elapsed() >= PERIOD {
                last = Instant::now();
                shared.recent.tidy();
                shared.beat();
            }
        }
    };
    let started = std::thread::Builder::new().name("anyserve-heart".to_owned()).spawn(beat)?;
    Ok(started.thread().clone())
}
