//! Whose resources a want gets.

use std::collections::BTreeMap;

use super::Scaler;
use super::budget::Amounts;
use super::decide::Tick;
use super::grow::Way;
use super::pool::Pool;
use super::room::Room;
use super::wants::{Rank, Want};
use super::worker::{Stage, Worker};
use crate::scheduler::{PoolId, Time, WorkerId};

/// An idle worker goes for another pool at once if it loses at most so many requests for each that waits there. If it loses
/// more, these wait a while, whether somebody else becomes idle who loses less.
const AT_ONCE: f64 = 0.5;

/// Workers that make room together.
#[derive(Debug)]
pub(super) struct Victims {
    pub(super) chosen: Vec<Victim>,
}

/// A worker that may make room.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    pub(super) worker: WorkerId,
    pool: PoolId,
    /// It has something to do, or something waits for it.
    pub(super) busy: bool,
    /// It goes to sleep; otherwise it stops.
    pub(super) sleeps: bool,
    /// It is asleep.
    asleep: bool,
    pub(super) frees: Room,
    /// How many requests would have to wait for it to come back.
    loss: f64,
    used: Time,
}

impl Scaler {
    /// What a worker frees when it sleeps or stops.
    pub(super) fn frees(&self, worker: &Worker, sleeps: bool) -> Room {
        let nothing = Amounts::new();
        let kept = self.pools.get(&worker.pool).and_then(|pool| pool.spec.asleep.as_ref()).filter(|_| sleeps);
        Room::freed_by(&worker.grant, kept.unwrap_or(&nothing))
    }
}

impl Tick<'_> {
    /// Those who lose least by making room for a want; none if nobody may.
    pub(super) fn victims(&self, want: &Want, way: &Way, room: &Room) -> Option<Victims> {
        let idle = self.cheapest(want, way, room, false);
        let gains = want.worth * (AT_ONCE + want.urgency.min(1.0));
        if let Some(chosen) = idle.filter(|chosen| loss(chosen) <= gains) {
            return Some(Victims { chosen });
        }
        if want.rank != Rank::Turn {
            return None;
        }
        let chosen = self.cheapest(want, way, room, true)?;
        Some(Victims { chosen })
    }

    /// Those who lose least: first as many as possible go to sleep; if that is not enough, they stop.
    fn cheapest(&self, want: &Want, way: &Way, room: &Room, turn: bool) -> Option<Vec<Victim>> {
        let mut candidates = self.candidates(want, way, turn);
        let own = way.instead_of.and_then(|id| self.scaler.worker(id)).map(|worker| self.victim(worker));
        if let Some(chosen) = self.choose(&candidates, own.as_ref(), way, room) {
            return Some(chosen);
        }
        for victim in &mut candidates {
            self.harden(victim);
        }
        let chosen = self.choose(&candidates, own.as_ref(), way, room)?;
        Some(self.soften(chosen, way, room))
    }

    /// Takes one after the other until there is room, and gives back those that turn out not to be needed.
    fn choose(&self, all: &[Victim], own: Option<&Victim>, way: &Way, room: &Room) -> Option<Vec<Victim>> {
        let mut spare: BTreeMap<PoolId, [usize; 2]> = BTreeMap::new();
        let mut total = room.clone();
        let mut chosen = Vec::new();
        if let Some(own) = own {
            total.add(&own.frees);
        }
        for victim in all {
            if total.fits(&way.need) {
                break;
            }
            let left = spare.entry(victim.pool).or_insert_with(|| self.spare(victim.pool));
            let [awake, any] = if victim.asleep { [0, 1] } else { [1, 1] };
            if victim.frees.helps(&way.need) && left[0] >= awake && left[1] >= any {
                *left = [left[0] - awake, left[1] - any];
                total.add(&victim.frees);
                chosen.push(victim.clone());
            }
        }
        if !total.fits(&way.need) {
            return None;
        }
        for index in (0..chosen.len()).rev() {
            let without = chosen.iter().enumerate().filter(|&(other, _)| other != index);
            let without = without.map(|(_, victim)| victim).chain(own);
            if fits(without, way, room) {
                chosen.remove(index);
            }
        }
        chosen.extend(own.cloned());
        Some(chosen)
    }

    /// Lets those sleep of whom that is enough.
    fn soften(&self, mut chosen: Vec<Victim>, way: &Way, room: &Room) -> Vec<Victim> {
        for index in 0..chosen.len() {
            let before = chosen[index].clone();
            let softer = self.scaler.worker(before.worker).map(|worker| self.victim(worker));
            let Some(softer) = softer.filter(|victim| victim.sleeps && !victim.asleep) else {
                continue;
            };
            chosen[index] = Victim { busy: before.busy, ..softer };
            if !fits(chosen.iter(), way, room) {
                chosen[index] = before;
            }
        }
        chosen
    }

    /// Lets it stop instead of sleep.
    fn harden(&self, victim: &mut Victim) {
        if let Some(worker) = self.scaler.worker(victim.worker).filter(|_| victim.sleeps) {
            victim.sleeps = false;
            victim.frees = self.scaler.frees(worker, false);
            victim.loss = self.loss(worker, false);
        }
    }

    /// Who may make room for a want, those first who lose least; busy ones, too, if it is its turn.
    fn candidates(&self, want: &Want, way: &Way, turn: bool) -> Vec<Victim> {
        let all = || self.scaler.workers.values();
        let evictable = || self.evictable.iter().filter_map(|id| self.scaler.worker(*id));
        let some: Vec<&Worker> = if turn { all().collect() } else { evictable().collect() };
        let others =
            some.into_iter().filter(|worker| worker.pool != want.pool && Some(worker.id) != way.instead_of);
        let victims = others.filter(|worker| self.may_go(worker, turn)).map(|worker| self.victim(worker));
        let is_kept = |victim: &Victim| self.kept_for.iter().any(|need| victim.frees.helps(need));
        let mut candidates: Vec<_> = victims.filter(|victim| !is_kept(victim)).collect();
        candidates.sort_by(|one, other| {
            let by_loss = one.loss.total_cmp(&other.loss).then(one.used.cmp(&other.used));
            by_loss.then(one.worker.cmp(&other.worker))
        });
        candidates
    }

    /// The workers that may make room though it is nobody's turn.
    pub(super) fn evictable(&self) -> Vec<WorkerId> {
        let evictable = self.scaler.workers.values().filter(|worker| self.may_go(worker, false));
        evictable.map(|worker| worker.id).collect()
    }

    /// Whether it is worth while to look for somebody who makes room.
    pub(super) fn may_evict(&self, want: &Want, way: &Way) -> bool {
        let somebody = way.instead_of.is_some() || !self.evictable.is_empty();
        want.rank == Rank::Turn || (somebody && want.rank != Rank::Replacement)
    }

    fn may_go(&self, worker: &Worker, turn: bool) -> bool {
        let pool = &self.scaler.pools[&worker.pool];
        let resident = self.now.since(worker.resident_since);
        if pool.spec.pinned || (worker.stage == Stage::Ready && resident < pool.spec.min_residence) {
            return false;
        }
        match worker.stage {
            Stage::Asleep => true,
            Stage::Ready if turn => resident >= pool.amortised_after(),
            Stage::Ready => !self.is_in_use(worker),
            Stage::Starting | Stage::Draining | Stage::FallingAsleep | Stage::Waking => false,
        }
    }

    /// It has something to do, or something waits for its pool.
    fn is_in_use(&self, worker: &Worker) -> bool {
        self.scheduler.idle_since(worker.id).is_none() || self.demand(worker.pool).waiting > 0
    }

    fn victim(&self, worker: &Worker) -> Victim {
        let asleep = worker.stage == Stage::Asleep;
        let sleeps = !asleep && self.scaler.pools[&worker.pool].spec.asleep.is_some();
        Victim {
            worker: worker.id,
            pool: worker.pool,
            busy: !asleep && self.is_in_use(worker),
            sleeps,
            asleep,
            frees: self.scaler.frees(worker, sleeps),
            loss: self.loss(worker, sleeps),
            used: self.scheduler.idle_since(worker.id).unwrap_or(self.now),
        }
    }

    /// How many requests would come while it comes back, times what that is worth.
    fn loss(&self, worker: &Worker, sleeps: bool) -> f64 {
        let pool: &Pool = &self.scaler.pools[&worker.pool];
        let comes_back = match (worker.stage, sleeps) {
            (Stage::Asleep, _) => pool.start_time().saturating_sub(pool.wake_time()),
            (_, true) => pool.wake_time(),
            (_, false) => pool.start_time(),
        };
        #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
        let workers = self.census(worker.pool).awake().max(1) as f64;
        pool.spec.eviction_cost * pool.rate(self.now) * comes_back.as_secs_f64() / workers
    }

    /// How many of a pool's workers may go: of those that are awake, and of all.
    fn spare(&self, id: PoolId) -> [usize; 2] {
        let (census, min) = (self.census(id), self.scaler.pools[&id].min());
        let awake = census.awake() + census.worn;
        [awake.saturating_sub(min), census.staying().saturating_sub(min)]
    }
}

fn loss(victims: &[Victim]) -> f64 {
    victims.iter().map(|victim| victim.loss).sum()
}

fn fits<'a>(victims: impl Iterator<Item = &'a Victim>, way: &Way, room: &Room) -> bool {
    let mut total = room.clone();
    victims.for_each(|victim| total.add(&victim.frees));
    total.fits(&way.need)
}
