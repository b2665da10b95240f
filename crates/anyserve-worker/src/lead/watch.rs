//! Who reads the channel while all threads are in handlers.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;

/// How often the watcher looks whether a handler has been running since the last time.
const WATCH_PERIOD: Duration = Duration::from_millis(2);

/// How long the watcher reads before it looks whether a handler has ended.
const LEAD_PERIOD: Duration = Duration::from_millis(10);

/// After so many looks that found the worker idle, the watcher sleeps until there is work.
const IDLE_LOOKS: u32 = 50;

/// Leads while handlers run long; runs for as long as the process.
pub(crate) fn watch(shared: &Shared) {
    let (mut seen, mut idle_looks) = (0, 0);
    while !shared.lent.load(Ordering::SeqCst) {
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
    while !shared.inbox.has_waiter() && !shared.lent.load(Ordering::SeqCst) {
        let period = async { tokio::time::timeout(LEAD_PERIOD, shared.receive(&mut receiver)).await };
        // Out of time just means another look.
        let _ = shared.runtime.block_on(period);
    }
    drop(receiver);
    shared.inbox.share();
    shared.inbox.hand_over();
}
