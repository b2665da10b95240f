//! Where a request stands in every order: one number, decided when it comes.

use super::types::Time;

/// The lowest priority.
const LOWEST: u8 = 9;

/// How urgent a request is: 1 is the highest, 9 the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// How many priorities there are.
    pub const LEVELS: usize = LOWEST as usize;

    /// The priority of that number; none unless it is 1 to 9.
    pub fn new(level: u64) -> Option<Self> {
        u8::try_from(level).ok().filter(|level| (1..=LOWEST).contains(level)).map(Self)
    }

    /// 1 for the highest.
    pub fn level(self) -> u64 {
        self.0.into()
    }

    /// 0 for the highest.
    pub(super) fn index(self) -> usize {
        usize::from(self.0) - 1
    }
}

impl Default for Priority {
    /// In the middle.
    fn default() -> Self {
        Self(LOWEST.div_ceil(2))
    }
}

/// A request's place; smaller goes first.
///
/// By priority; then those that have a due time and can still make it, the earliest first; then the others, in the
/// order of their arrival. Packed into one number, because comparing places is most of what the queues do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub(super) struct Place(u128);

/// 18 years of nanoseconds.
const TIME_BITS: u32 = 59;
const NUMBER_BITS: u32 = 60;
const BEST_EFFORT: u128 = 1 << (TIME_BITS + NUMBER_BITS);

impl Place {
    /// No request has it.
    pub(super) const LAST: Self = Self(u128::MAX);

    /// The place of a request that should be answered at `due`, or as soon as may be.
    pub(super) fn new(priority: Priority, due: Option<Time>, number: u64) -> Self {
        let time = due.map_or(BEST_EFFORT, |due| (due.0.as_nanos().min((1 << TIME_BITS) - 1)) << NUMBER_BITS);
        let level = u128::from(priority.0) << (TIME_BITS + NUMBER_BITS + 1);
        Self(level | time | u128::from(number))
    }

    /// Counts the requests in the order of their arrival.
    pub(super) fn number(self) -> u64 {
        u64::try_from(self.0 & ((1 << NUMBER_BITS) - 1)).unwrap_or(u64::MAX)
    }

    /// True if it is due at some time, and that time has passed.
    pub(super) fn is_late(self, now: Time) -> bool {
        let due = (self.0 >> NUMBER_BITS) & ((1 << TIME_BITS) - 1);
        self.0 & BEST_EFFORT == 0 && due < now.0.as_nanos()
    }

    /// The place of the same request among those that cannot be in time any more.
    pub(super) fn without_due(self) -> Self {
        let level = self.0 >> (TIME_BITS + NUMBER_BITS + 1) << (TIME_BITS + NUMBER_BITS + 1);
        Self(level | BEST_EFFORT | u128::from(self.number()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn places_are_by_priority_then_due_then_arrival() {
        let priority = |level| Priority::new(level).unwrap();
        let at = |millis| Some(Time(Duration::from_millis(millis)));
        let places = [
            Place::new(priority(1), at(90), 7),
            Place::new(priority(1), None, 6),
            Place::new(priority(2), at(10), 5),
            Place::new(priority(2), at(20), 3),
            Place::new(priority(2), at(20), 4),
            Place::new(priority(2), None, 1),
            Place::new(priority(2), None, 2),
        ];
        assert!(places.is_sorted());
        let late = places[2];
        assert!(!late.is_late(Time(Duration::from_millis(10))));
        assert!(late.is_late(Time(Duration::from_millis(11))));
        assert!(places[6] < late.without_due() && !late.without_due().is_late(Time(Duration::MAX)));
        assert_eq!(late.without_due(), Place::new(priority(2), None, 5));
    }

    #[test]
    fn priorities_are_one_to_nine() {
        assert_eq!(Priority::new(5), Some(Priority::default()));
        for bad in [0, 10, u64::MAX] {
            assert_eq!(Priority::new(bad), None);
        }
    }
}
