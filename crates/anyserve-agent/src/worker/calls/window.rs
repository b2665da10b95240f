//! How far the answers to a call may be ahead of what the worker has taken of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::dispatch::{WINDOW_BYTES, WINDOW_RESPONSES};

/// What was sent of one stream, and the worker has not taken.
#[derive(Debug, Default)]
pub(super) struct Window {
    ahead: Mutex<Ahead>,
    opened: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    answers: u32,
    bytes: u64,
}

impl Window {
    /// Waits for room, and takes it. The last answer may go over the limit of bytes.
    pub(super) async fn claim(&self, bytes: u64) {
        loop {
            {
                let mut ahead = self.lock();
                if ahead.answers < WINDOW_RESPONSES && ahead.bytes < WINDOW_BYTES {
                    ahead.answers += 1;
                    ahead.bytes = ahead.bytes.saturating_add(bytes);
                    return;
                }
            }
            // Kept for the next who waits, should it have come in between.
            self.opened.notified().await;
        }
    }

    /// The worker has taken so much.
    pub(super) fn open(&self, answers: u32, bytes: u64) {
        let mut ahead = self.lock();
        ahead.answers = ahead.answers.saturating_sub(answers);
        ahead.bytes = ahead.bytes.saturating_sub(bytes);
        drop(ahead);
        self.opened.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_window_is_waited_for() {
        let window = Window::default();
        for _ in 0..WINDOW_RESPONSES {
            window.claim(1).await;
        }
        let (next, ()) = tokio::join!(window.claim(WINDOW_BYTES), async { window.open(1, 1) });
        assert_eq!(next, ());
        // More bytes than may be are ahead: one answer taken does not change that.
        window.open(40, 40);
        let short = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(short, window.claim(0)).await.is_err());
        window.open(1, WINDOW_BYTES);
        window.claim(0).await;
    }
}
