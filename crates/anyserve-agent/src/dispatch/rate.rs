//! How often something happens, lately.

use std::time::Duration;

use anyserve_core::scheduler::Time;

/// What happened so long ago counts for a third.
const MEMORY: Duration = Duration::from_secs(10);

/// Events in each second, of which older ones count less.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    per_second: f64,
    at: Time,
}

impl Rate {
    /// It happened once more.
    pub(super) fn count(&mut self, now: Time) {
        self.per_second = self.get(now) + 1.0 / MEMORY.as_secs_f64();
        self.at = now;
    }

    /// How often it happens.
    pub(super) fn get(&self, now: Time) -> f64 {
        self.per_second * (-now.since(self.at).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}
