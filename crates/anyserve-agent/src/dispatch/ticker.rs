//! The part of dispatch that time drives: deadlines, batches that waited long enough, parked requests to take back,
//! handlers that hang.

use anyserve_core::scheduler::{Action, Time};

use super::Dispatcher;

impl Dispatcher {
    /// Acts on what time asks for; runs for as long as the agent does, and sleeps while nothing can become due.
    pub(crate) async fn run_ticker(&self) {
        loop {
            match self.act() {
                None => self.tick.notified().await,
                Some(next) => {
                    let until = tokio::time::sleep_until((self.epoch + next.0).into());
                    tokio::select! {
                        () = until => {}
                        // Something is due sooner.
                        () = self.tick.notified() => {}
                    }
                }
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
                Action::Expired(request, worker) => state.expired(request, worker, now),
                Action::Overrun(worker, request) => state.overrun(worker, request, now),
                Action::Hung(worker, request) => state.hung(worker, request, now),
            }
        }
        state.assign_all(now);
        self.announce_quiet(&state);
        state.wakes = state.scheduler.next_check(now);
        state.wakes
    }
}
