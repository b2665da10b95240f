//! Whether a replica gets requests, from how the last ones went.

use std::time::Duration;

use crate::scheduler::Time;

/// So many failures in a row, and the replica is passed over.
const FAILURES: u32 = 3;
/// How long the first time; twice as long each further time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a replica failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection, or it broke, or the replica is shutting down. Once is enough to pass it over.
    Refused,
    /// No answer came in time, or the answer was that there can be none at the moment.
    Failed,
}

/// Whether a replica gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    /// It failed a while ago; one request may show how it is now.
    OnTrial,
    /// It failed a moment ago, or is being tried.
    Ejected,
}

/// How the last requests of a replica went.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failures since the last success.
    failures: u32,
    /// How often it was passed over since the last success.
    pauses: u32,
    /// Until when it is passed over.
    until: Option<Time>,
    last_failure: Option<Time>,
    /// A request is on its way that shows how it is now.
    trying: bool,
}

impl Health {
    pub(super) fn standing(&self, now: Time) -> Standing {
        match self.until {
            None => Standing::Good,
            Some(until) if now < until || self.trying => Standing::Ejected,
            Some(_) => Standing::OnTrial,
        }
    }

    /// True if the next request tells nothing new of it: forgetting it changes nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.failures == 0 && self.until.is_none()
    }

    pub(super) fn last_failure(&self) -> Option<Time> {
        self.last_failure
    }

    /// Called when it gets a request; true if that is the one which it is tried by.
    pub(super) fn picked(&mut self, now: Time) -> bool {
        let trial = self.standing(now) == Standing::OnTrial;
        self.trying |= trial;
        trial
    }

    /// The request that it was tried by has ended, however it went.
    pub(super) fn trial_ended(&mut self) {
        self.trying = false;
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failed(&mut self, failure: Failure, now: Time) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = self.last_failure.max(Some(now));
        // Those that were under way when it failed say nothing new.
        let is_news = self.until.is_none_or(|until| now >= until);
        let enough = failure == Failure::Refused || self.failures >= FAILURES || self.until.is_some();
        if is_news && enough {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(16)).min(LONGEST_PAUSE);
            self.pauses = self.pauses.saturating_add(1);
            self.until = Some(now.plus(pause));
        }
    }
}
