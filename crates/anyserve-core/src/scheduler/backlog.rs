//! How much work waits for a pool, and how much of it goes before a request that comes now.
//!
//! Counting that exactly would need an ordered structure with sums; here the work is counted by priority and by how
//! urgent it was at its arrival (in powers of two), with the mean time of arrival. What is as urgent or more goes
//! first; of what is less urgent, the share that has waited long enough to be due first. Every step is of constant time.

use std::time::Duration;

use super::place::Priority;
use super::types::Time;

/// Urgencies: below 1 ms, 2 ms, 4 ms, …, up to 36 hours, and the last for what is due at no time.
pub(super) const URGENCIES: usize = 28;
/// A day.
const LONGEST_NANOS: u64 = 86_400_000_000_000;
const BEST_EFFORT: usize = URGENCIES - 1;

/// What one request adds to a backlog.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    priority: Priority,
    urgency: u8,
    /// How long a slot will be taken, as it was estimated at the arrival; none if nothing had been measured.
    work: Option<Duration>,
}

impl Share {
    pub(super) fn new(priority: Priority, arrived: Time, due: Option<Time>, work: Option<Duration>) -> Self {
        let urgency = due.map_or(BEST_EFFORT, |due| {
            let millis = due.since(arrived).as_millis();
            let log = (u128::BITS - millis.leading_zeros()) as usize;
            log.min(BEST_EFFORT - 1)
        });
        Self { priority, urgency: u8::try_from(urgency).unwrap_or(u8::MAX), work }
    }

    /// 0 for the highest priority.
    pub(super) fn level(&self) -> usize {
        self.priority.index()
    }

    /// How long a slot will be taken.
    pub(super) fn seconds(&self) -> f64 {
        self.work.unwrap_or_default().as_secs_f64()
    }

    fn nanos(&self) -> u64 {
        // A day at most, so that no sum of them is too large.
        u64::try_from(self.work.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX).min(LONGEST_NANOS)
    }

    pub(super) fn urgency(&self) -> usize {
        usize::from(self.urgency)
    }
}

/// The work that waits for one pool.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    levels: [[Waiting; URGENCIES]; Priority::LEVELS],
    totals: [Waiting; Priority::LEVELS],
}

/// Whole numbers, so that what was added and taken away again leaves nothing behind.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    count: u64,
    /// How many of them came before there was an estimate.
    unmeasured: u64,
    work_nanos: u64,
    /// The sum of the times of arrival.
    arrival_nanos: u128,
}

impl Backlog {
    pub(super) fn add(&mut self, share: &Share, arrived: Time) {
        for waiting in self.counters(share) {
            waiting.count += 1;
            waiting.unmeasured += u64::from(share.work.is_none());
            waiting.work_nanos += share.nanos();
            waiting.arrival_nanos += arrived.0.as_nanos();
        }
    }

    pub(super) fn remove(&mut self, share: &Share, arrived: Time) {
        for waiting in self.counters(share) {
            waiting.count -= 1;
            waiting.unmeasured -= u64::from(share.work.is_none());
            waiting.work_nanos -= share.nanos();
            waiting.arrival_nanos -= arrived.0.as_nanos();
        }
    }

    /// The seconds of work that go before a request which arrives now; what came unmeasured counts as much as that.
    pub(super) fn ahead_of(&self, newcomer: &Share, now: Time) -> f64 {
        let level = newcomer.level();
        let usual = newcomer.seconds();
        let above: f64 = self.totals[..level].iter().map(|waiting| waiting.work(usual)).sum();
        let beside = self.levels[level].iter().enumerate().filter(|(_, waiting)| waiting.count > 0);
        let beside = beside.map(|(urgency, waiting)| {
            if urgency <= newcomer.urgency() {
                waiting.work(usual)
            } else if urgency == BEST_EFFORT {
                0.0
            } else {
                waiting.work(usual) * waiting.share_older_than(now, head_start(newcomer.urgency(), urgency))
            }
        });
        above + beside.sum::<f64>()
    }

    /// How many requests wait.
    pub(super) fn count(&self) -> usize {
        let count = self.totals.iter().map(|waiting| waiting.count).sum::<u64>();
        debug_assert_eq!(count, self.levels.iter().flatten().map(|waiting| waiting.count).sum());
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// The work that all of it stands for; what came unmeasured counts as much as that.
    pub(super) fn work(&self, usual: Duration) -> Duration {
        let seconds = self.totals.iter().map(|waiting| waiting.work(usual.as_secs_f64())).sum();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    fn counters(&mut self, share: &Share) -> [&mut Waiting; 2] {
        let level = share.level();
        [&mut self.levels[level][share.urgency()], &mut self.totals[level]]
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
impl Waiting {
    fn work(&self, usual: f64) -> f64 {
        self.work_nanos as f64 * 1e-9 + self.unmeasured as f64 * usual
    }

    /// The share that arrived more than `age` seconds before now, if arrivals were even since the oldest.
    fn share_older_than(&self, now: Time, age: f64) -> f64 {
        let mean_age = now.0.as_secs_f64() - self.arrival_nanos as f64 * 1e-9 / self.count as f64;
        let oldest = 2.0 * mean_age;
        if oldest <= age { 0.0 } else { (oldest - age) / oldest }
    }
}

/// By how many seconds a request of one urgency may come later than one of the other and still be due first.
fn head_start(urgency: usize, other: usize) -> f64 {
    let seconds = |urgency: usize| f64::powi(2.0, i32::try_from(urgency).unwrap_or(i32::MAX)) * 0.75e-3;
    seconds(other) - seconds(urgency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time(Duration::from_millis(millis))
    }

    fn millis(seconds: f64) -> u128 {
        Duration::from_secs_f64(seconds).as_millis()
    }

    fn share(level: u64, arrived: u64, due: Option<u64>) -> Share {
        let work = Some(Duration::from_secs(1));
        Share::new(Priority::new(level).unwrap(), at(arrived), due.map(at), work)
    }

    #[test]
    fn what_goes_first_is_counted() {
        let mut backlog = Backlog::default();
        let shares = [
            share(1, 0, None),
            share(5, 0, Some(100)),
            share(5, 0, Some(10_000)),
            share(5, 0, None),
            share(6, 0, Some(1)),
        ];
        for share in &shares {
            backlog.add(share, at(0));
        }
        let ahead = |level, due| millis(backlog.ahead_of(&share(level, 0, due), at(0)));
        assert_eq!([ahead(1, Some(1)), ahead(2, Some(1)), ahead(5, Some(1))], [0, 1000, 1000]);
        assert_eq!([ahead(5, Some(120)), ahead(5, Some(20_000)), ahead(5, None)], [2000, 3000, 4000]);
        assert_eq!(ahead(9, None), 5000);
        // What is less urgent is due first once it has waited long.
        assert!(backlog.ahead_of(&share(5, 30_000, Some(30_100)), at(30_000)) > 2.5);
        for share in &shares {
            backlog.remove(share, at(0));
        }
        assert_eq!(millis(backlog.ahead_of(&share(9, 0, None), at(0))), 0);
    }

    #[test]
    fn what_came_unmeasured_counts_like_the_newcomer() {
        let mut backlog = Backlog::default();
        backlog.add(&Share::new(Priority::default(), at(0), None, None), at(0));
        let unmeasured = Share::new(Priority::default(), at(0), None, None);
        assert_eq!(millis(backlog.ahead_of(&unmeasured, at(0))), 0);
        assert_eq!(millis(backlog.ahead_of(&share(5, 0, None), at(0))), 1000);
    }
}
