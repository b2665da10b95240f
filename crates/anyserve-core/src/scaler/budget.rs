//! What the machine has, and who holds it.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::GPUS;
use super::room::{Need, Room};

/// Amounts of named resources; `memory` is in bytes.
pub type Amounts = BTreeMap<String, u64>;

/// What one worker takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// How many GPUs.
    pub gpus: usize,
    /// How much of what else.
    pub amounts: Amounts,
}

/// What one worker holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Its GPUs, by index. A worker that sleeps remembers them, and wakes on the same ones.
    pub gpus: Vec<u32>,
    /// What else it holds.
    pub amounts: Amounts,
    /// Whether the GPUs are its own at present.
    pub(super) holds_gpus: bool,
}

/// What the machine has, and what of it is free.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    gpus: BTreeSet<u32>,
    total: Amounts,
    free: Room,
}

impl Budget {
    /// All of it free.
    pub fn new(gpus: impl IntoIterator<Item = u32>, amounts: Amounts) -> Self {
        let gpus: BTreeSet<u32> = gpus.into_iter().collect();
        Self { gpus: gpus.clone(), total: amounts.clone(), free: Room { gpus, amounts } }
    }

    /// Each thing that there is: its name, how much of it there is, and how much of that is taken.
    pub fn usage(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let gpus = (GPUS, self.gpus.len() as u64, (self.gpus.len() - self.free.gpus.len()) as u64);
        let others = self.total.iter().map(|(name, &total)| {
            let free = self.free.amounts.get(name).copied().unwrap_or_default();
            (name.as_str(), total, total.saturating_sub(free))
        });
        std::iter::once(gpus).chain(others)
    }

    /// How much of a resource there is.
    pub(super) fn total_of(&self, name: &str) -> u64 {
        if name == GPUS { self.gpus.len() as u64 } else { self.total.get(name).copied().unwrap_or_default() }
    }

    /// All of it, as if nobody held anything.
    pub(super) fn all(&self) -> Room {
        Room { gpus: self.gpus.clone(), amounts: self.total.clone() }
    }

    /// What is free.
    pub(super) fn free(&self) -> &Room {
        &self.free
    }

    /// Takes what a new worker needs, of what is free here and in a part of it.
    pub(super) fn take(&mut self, wanted: &Resources, part: &mut Room) -> Option<Grant> {
        let need = Need::start(wanted);
        if !part.fits(&need) || !self.free.fits(&need) {
            return None;
        }
        let gpus: Vec<u32> = part.gpus.intersection(&self.free.gpus).copied().take(wanted.gpus).collect();
        if gpus.len() < wanted.gpus {
            return None;
        }
        let need = Need { gpus: gpus.clone(), any_gpus: 0, ..need };
        self.free.subtract(&need);
        part.subtract(&need);
        Some(Grant { gpus, amounts: wanted.amounts.clone(), holds_gpus: true })
    }

    /// Takes back what a sleeping worker needs to wake, of what is free here and in a part of it. Returns whether it was.
    pub(super) fn retake(&mut self, grant: &mut Grant, wanted: &Resources, part: &mut Room) -> bool {
        let need = Need::wake(grant, wanted);
        if !part.fits(&need) || !self.free.fits(&need) {
            return false;
        }
        self.free.subtract(&need);
        part.subtract(&need);
        for (name, &amount) in &wanted.amounts {
            let held = grant.amounts.entry(name.clone()).or_default();
            *held = amount.max(*held);
        }
        grant.holds_gpus = true;
        true
    }

    /// Frees all of a grant but what is kept.
    pub(super) fn give_back(&mut self, grant: &mut Grant, kept: &Amounts) {
        let freed = Room::freed_by(grant, kept);
        for (name, amount) in &mut grant.amounts {
            *amount -= freed.amounts.get(name).copied().unwrap_or_default();
        }
        grant.holds_gpus = false;
        self.free.add(&freed);
    }
}
