//! The part of dispatch that time drives: taking parked requests back, and ending handlers that hang.

use std::time::Duration;

use anyserve_core::scheduler::{Action, Time};

use super::Dispatcher;

/// Nothing that became due while the ticker slept is noticed later than this.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

impl Dispatcher {
    /// Acts on what time asks for; runs for as long as the agent does, and sleeps while nothing can become due.
    pub(crate) async fn run_ticker(&self) {
        loop {
            self.tick.notified().await;
            while let Some(next) = self.act() {
                let sleep = next.0.saturating_sub(self.now().0).min(LONGEST_SLEEP);
                tokio::time::sleep(sleep).await;
            }
        }
    }

    /// Acts on what is due; returns when to look again, if time alone can bring more.
    fn act(&self) -> Option<Time> {
        let now = self.now();
        let mut state = self.lock();
        for action in state.scheduler.check(now) {
            match action {
                Action::Recall(worker) => state.recall(worker),
                Action::Hung(worker, request) => state.hung(worker, request),
            }
        }
        let next = state.scheduler.next_check(now);
        state.ticking = next.is_some();
        next
    }
}
