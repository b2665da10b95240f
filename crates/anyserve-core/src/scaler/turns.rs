//! Whose turn it is: so that nobody waits for ever though others are busy for ever.

use std::time::Duration;

use super::decide::Tick;
use super::pool::Promise;
use super::room::Room;
use super::wants::{Rank, Want};
use super::worker::{Stage, Worker};

/// Of all workers that are awake, one in so many may have its place by turn, but has not yet amortised its start: so that,
/// when there is too much to do for all, most of the machine serves what is asked for most.
const WORKERS_PER_TURN: usize = 4;

/// A turn that takes longer than this, because those who make room have a lot to finish, is no reason to deny others.
const LONGEST_TURN: Duration = Duration::from_secs(60);

impl Tick<'_> {
    /// Those that have waited longest have a turn, if not too many have. What cannot have a worker at all is left out.
    pub(super) fn give_turns(&self, wants: &mut [Want], attainable: &Room) {
        let is_overdue = |want: &&mut Want| want.overdue && want.rank != Rank::Promised;
        let mut overdue: Vec<_> = wants.iter_mut().filter(is_overdue).collect();
        if overdue.is_empty() {
            return;
        }
        overdue.sort_by_key(|want| (std::cmp::Reverse(want.waited), want.pool));
        let fits = |want: &&mut Want| self.ways(want).iter().any(|way| attainable.fits(&way.need));
        for want in overdue.into_iter().filter(fits).take(self.turns_left()) {
            want.rank = Rank::Turn;
        }
    }

    /// How many wants more may have a turn.
    fn turns_left(&self) -> usize {
        let is_turn = |promise: &Promise| promise.turn && self.now.since(promise.since) < LONGEST_TURN;
        let to_come = self.scaler.pools.values().filter_map(|pool| pool.promise).filter(is_turn);
        let awake = |worker: &&Worker| matches!(worker.stage, Stage::Starting | Stage::Waking | Stage::Ready);
        let (mut turns, mut all) = (to_come.count(), 0);
        for worker in self.scaler.workers.values().filter(awake) {
            all += 1;
            let resident = self.now.since(worker.resident_since);
            let amortised = || resident >= self.scaler.pools[&worker.pool].amortised_after();
            turns += usize::from(worker.by_turn && (worker.stage != Stage::Ready || !amortised()));
        }
        (all / WORKERS_PER_TURN).max(1).saturating_sub(turns)
    }
}
