//! Carrying out wants: out of what is free, out of what comes free, and at the expense of others.

use super::decide::{Plan, Tick};
use super::pool::Promise;
use super::room::{Need, Room};
use super::types::Reason;
use super::victims::Victims;
use super::wants::{Rank, Want};
use super::worker::Stage;
use crate::scheduler::WorkerId;

/// A way to one worker more, and what it takes.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Wake this one; otherwise start another.
    pub(super) wakes: Option<WorkerId>,
    pub(super) need: Need,
    /// This worker, which sleeps, has to go: with another there would be too many.
    pub(super) instead_of: Option<WorkerId>,
}

impl Plan {
    /// Keeps what is needed, or as much of it as there is: what is free last, because others can use it now.
    fn reserve(&mut self, need: &Need) {
        let missing = self.coming.subtract(need);
        self.free.subtract(&missing);
    }

    /// Whether there is room in what is free and in what comes free together.
    fn fits(&self, need: &Need) -> bool {
        self.free.fits_with(&self.coming, need)
    }

    /// What is free or comes free.
    fn all(&self) -> Room {
        let mut all = self.free.clone();
        all.add(&self.coming);
        all
    }
}

impl Tick<'_> {
    /// Carries out what can be carried out of all wants.
    pub(super) fn grow(&mut self) {
        let mut wants = self.wants();
        if wants.is_empty() {
            return;
        }
        let attainable = self.attainable();
        self.evictable = self.evictable();
        self.give_turns(&mut wants, &attainable);
        wants.sort_by(Want::order);
        for want in wants {
            self.satisfy(&want, &attainable);
        }
    }

    fn satisfy(&mut self, want: &Want, attainable: &Room) {
        let ways = self.ways(want);
        if ways.iter().any(|way| self.go(want, way)) {
            return;
        }
        if let Some(way) = ways.iter().find(|way| way.instead_of.is_none() && self.plan.fits(&way.need)) {
            self.plan.reserve(&way.need);
            return;
        }
        // What was to come for it has gone elsewhere.
        if let Some(pool) = self.scaler.pools.get_mut(&want.pool) {
            pool.promise = None;
        }
        let attainable = || ways.iter().filter(|way| attainable.fits(&way.need));
        let evicting = || attainable().filter(|way| self.may_evict(want, way));
        let all = if evicting().next().is_some() { self.plan.all() } else { Room::default() };
        let found = evicting().find_map(|way| Some((way, self.victims(want, way, &all)?)));
        if let Some((way, victims)) = found {
            self.evict(want, victims);
            self.plan.reserve(&way.need);
        } else if let (Some(way), true) = (attainable().next(), want.rank <= Rank::Turn) {
            self.plan.reserve(&way.need);
            self.kept_for.push(way.need.clone());
        }
    }

    /// The ways to one worker more, the best first.
    pub(super) fn ways(&self, want: &Want) -> Vec<Way> {
        let (pool, census) = (&self.scaler.pools[&want.pool], self.census(want.pool));
        let resources = &pool.spec.resources;
        let asleep = || self.scaler.workers_of(want.pool).filter(|worker| worker.stage == Stage::Asleep);
        let fresh = asleep().filter(|worker| !worker.worn);
        let mut ways: Vec<_> = fresh
            .map(|worker| Way {
                wakes: Some(worker.id),
                need: Need::wake(&worker.grant, resources),
                instead_of: None,
            })
            .collect();
        let many = census.staying() - census.worn >= pool.spec.max;
        let instead_of = asleep().map(|worker| worker.id).next().filter(|_| many);
        if !many || instead_of.is_some() {
            ways.push(Way { wakes: None, need: Need::start(resources), instead_of });
        }
        ways
    }

    /// Goes a way if what it takes is free. Returns whether it was.
    fn go(&mut self, want: &Want, way: &Way) -> bool {
        if way.instead_of.is_some() || !self.plan.free.fits(&way.need) {
            return false;
        }
        let scaler = &mut *self.scaler;
        let (Some(pool), free) = (scaler.pools.get(&want.pool), &mut self.plan.free) else {
            return false;
        };
        let resources = &pool.spec.resources;
        let decision = if let Some(id) = way.wakes {
            let worker = scaler.workers.get_mut(&id);
            let taken = worker.is_some_and(|worker| scaler.budget.retake(&mut worker.grant, resources, free));
            if taken { scaler.wake(id, want.reason.clone(), self.now) } else { None }
        } else {
            let grant = scaler.budget.take(resources, free);
            grant.map(|grant| scaler.start(want.pool, grant, want.reason.clone(), self.now))
        };
        let gone = decision.is_some();
        self.decisions.extend(decision);
        gone
    }

    /// Makes room for a want.
    fn evict(&mut self, want: &Want, victims: Victims) {
        let name = self.scaler.pools[&want.pool].spec.name.clone();
        let turn = want.rank == Rank::Turn;
        for victim in victims.chosen {
            let reason = if victim.busy {
                Reason::Turn { pool: name.clone(), waited: want.waited }
            } else {
                Reason::Evicted(name.clone())
            };
            self.plan.coming.add(&victim.frees);
            if victim.sleeps {
                self.sleep(victim.worker, reason);
            } else {
                self.stop(victim.worker, reason);
            }
        }
        if let Some(pool) = self.scaler.pools.get_mut(&want.pool) {
            pool.promise = Some(Promise { since: self.now, turn });
        }
    }

    /// What there would be for one worker if all others that may ever go were gone.
    fn attainable(&self) -> Room {
        let mut room = self.scaler.budget.all();
        for (id, pool) in &self.scaler.pools {
            let stays =
                if pool.spec.pinned && !pool.held && !pool.retiring { usize::MAX } else { pool.min() };
            let staying = self.scaler.workers_of(*id).filter(|worker| worker.stage != Stage::Draining);
            for worker in staying.take(stays) {
                room.without(&worker.grant);
            }
        }
        room
    }
}
