//! How long to wait before the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double from try to try, each of them off by chance: those who lost a registry together do not come back
/// together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        // A hasher with new keys is as random as this needs.
        let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
        whole.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }

    /// It worked: the next time starts from the shortest wait.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
