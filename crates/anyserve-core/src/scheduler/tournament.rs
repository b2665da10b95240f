//! Which of many has the first place.
//!
//! Each has a seat; of two neighbours, the one whose place is first goes up a round. When a place changes, only the rounds
//! above its seat are played again: a few steps through one piece of memory.

use super::place::Place;

/// What nobody with a place comes after.
const NOBODY: (Place, u32) = (Place::LAST, u32::MAX);

/// Players, each a number with a place or without one.
#[derive(Debug, Default)]
pub(super) struct Tournament {
    /// The winner is at 1, the rounds follow, the seats are the second half.
    rounds: Vec<(Place, u32)>,
    taken: usize,
    free: Vec<usize>,
}

impl Tournament {
    /// A seat for one more.
    pub(super) fn take_seat(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.taken += 1;
            if self.taken > self.seats() {
                self.grow();
            }
            self.taken - 1
        })
    }

    /// Gives a seat back, which has no place any more.
    pub(super) fn leave_seat(&mut self, seat: usize) {
        self.set(seat, u32::MAX, None);
        self.free.push(seat);
    }

    /// The player on a seat has that place now.
    pub(super) fn set(&mut self, seat: usize, player: u32, place: Option<Place>) {
        let mut node = self.seats() + seat;
        self.rounds[node] = place.map_or(NOBODY, |place| (place, player));
        while node > 1 {
            let winner = self.rounds[node].min(self.rounds[node ^ 1]);
            node /= 2;
            if self.rounds[node] == winner {
                break;
            }
            self.rounds[node] = winner;
        }
    }

    /// The one with the first place.
    pub(super) fn first(&self) -> Option<(Place, u32)> {
        self.rounds.get(1).copied().filter(|&winner| winner != NOBODY)
    }

    /// All that have a place, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (Place, u32)> {
        self.rounds[self.seats()..].iter().copied().filter(|&player| player != NOBODY)
    }

    fn seats(&self) -> usize {
        self.rounds.len() / 2
    }

    fn grow(&mut self) {
        let seats = (2 * self.seats()).max(1);
        let mut rounds = vec![NOBODY; seats];
        rounds.extend_from_slice(&self.rounds[self.seats()..]);
        rounds.resize(2 * seats, NOBODY);
        for node in (1..seats).rev() {
            rounds[node] = rounds[2 * node].min(rounds[2 * node + 1]);
        }
        self.rounds = rounds;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::place::Priority;
    use super::super::types::Time;
    use super::*;

    proptest! {
        #[test]
        fn the_first_place_wins(steps in proptest::collection::vec((0..40_usize, 0..3_u8, 0..500_u64), 0..300)) {
            let mut tournament = Tournament::default();
            // By player: the seat and the place.
            let mut model: BTreeMap<u32, (usize, Option<Place>)> = BTreeMap::new();
            for (index, (choice, kind, millis)) in steps.into_iter().enumerate() {
                let player = u32::try_from(choice).unwrap();
                if kind == 0 {
                    if let Some((seat, _)) = model.remove(&player) {
                        tournament.leave_seat(seat);
                    }
                } else {
                    let (seat, _) = *model.entry(player).or_insert_with(|| (tournament.take_seat(), None));
                    let due = Some(Time(Duration::from_millis(millis)));
                    let place = (kind == 1).then(|| Place::new(Priority::default(), due, index as u64));
                    tournament.set(seat, player, place);
                    model.insert(player, (seat, place));
                }
                let with_place = model.iter().filter_map(|(&player, &(_, place))| Some((place?, player)));
                let mut expected: Vec<_> = with_place.collect();
                expected.sort_unstable();
                prop_assert_eq!(tournament.first(), expected.first().copied());
                let mut all: Vec<_> = tournament.all().collect();
                all.sort_unstable();
                prop_assert_eq!(all, expected);
            }
        }
    }
}
