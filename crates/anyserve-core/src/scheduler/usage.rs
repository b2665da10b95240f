//! How much of a pool's time each kind of request took lately.
//!
//! What waits is not all that goes before a request: while it waits, more urgent ones come and overtake it. How much of
//! that there is going to be is taken from the recent past.

use super::backlog::{Share, URGENCIES};
use super::place::Priority;
use super::types::Time;

/// After so many seconds all that was before is to count for half.
const PERIOD: f64 = 15.0;

/// Seconds of work that were assigned, by priority and urgency.
#[derive(Debug)]
pub(super) struct Usage {
    /// When the last period began.
    begun: f64,
    /// For how many seconds before that the numbers stand.
    before: f64,
    levels: [[f64; URGENCIES]; Priority::LEVELS],
    totals: [f64; Priority::LEVELS],
    /// The part of the totals that was assigned out of turn, because it had waited too long.
    aged: [f64; Priority::LEVELS],
}

impl Usage {
    pub(super) fn new() -> Self {
        let [totals, aged] = [[0.0; Priority::LEVELS]; 2];
        Self { begun: 0.0, before: 0.0, levels: [[0.0; URGENCIES]; Priority::LEVELS], totals, aged }
    }

    /// Work was assigned to a worker, perhaps out of turn.
    pub(super) fn add(&mut self, share: &Share, aged: bool, now: Time) {
        let passed = now.0.as_secs_f64() - self.begun;
        if passed >= PERIOD {
            self.begin_period(passed, now);
        }
        let (work, level) = (share.seconds(), share.level());
        self.levels[level][share.urgency()] += work;
        self.totals[level] += work;
        self.aged[level] += if aged { work } else { 0.0 };
    }

    /// How many slots are usually taken by what goes before such a request though it comes later.
    pub(super) fn slots_before(&self, share: &Share, now: Time) -> f64 {
        let level = share.level();
        let above: f64 = self.totals[..level].iter().sum();
        let beside: f64 = self.levels[level][..share.urgency()].iter().sum();
        let below: f64 = self.aged[level + 1..].iter().sum();
        let span = self.before + now.0.as_secs_f64() - self.begun;
        (above + beside + below) / span.max(PERIOD)
    }

    fn begin_period(&mut self, passed: f64, now: Time) {
        let span = self.before + passed;
        self.begun = now.0.as_secs_f64();
        // Half of it, and less if nothing happened for long.
        self.before = (span / 2.0).min(PERIOD);
        let kept = self.before / span;
        let all = self.levels.iter_mut().flatten().chain(&mut self.totals).chain(&mut self.aged);
        for work in all {
            *work *= kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_more_urgent_takes_slots_and_fades() {
        let at = |seconds| Time(Duration::from_secs(seconds));
        let share = |level, due: u64, from: u64| {
            let second = Some(Duration::from_secs(1));
            Share::new(Priority::new(level).unwrap(), at(from), Some(at(from + due)), second)
        };
        let mut usage = Usage::new();
        for start in [0, 10_000] {
            // Two slots with what is urgent, and one with what has aged.
            for second in start..start + 200 {
                usage.add(&share(5, 2, second), false, at(second));
                usage.add(&share(5, 2, second), false, at(second));
                usage.add(&share(7, 2, second), true, at(second));
            }
            let now = start + 200;
            let slots = |level, due, now| {
                Duration::from_secs_f64(usage.slots_before(&share(level, due, now), at(now)) + 0.5).as_secs()
            };
            assert_eq!([slots(5, 2, now), slots(5, 20, now), slots(6, 1, now)], [1, 3, 3]);
            assert_eq!([slots(7, 1, now), slots(8, 1, now)], [2, 3]);
            assert_eq!(slots(9, 1, now + 1000), 0);
        }
    }
}
