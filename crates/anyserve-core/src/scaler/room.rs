//! Room for workers: what is free, what comes free, and what they need of it.

use std::collections::BTreeSet;

use super::budget::{Amounts, Grant, Resources};

/// GPUs by index, and amounts of other resources.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    pub(super) gpus: BTreeSet<u32>,
    pub(super) amounts: Amounts,
}

/// What a worker needs to start or to wake.
#[derive(Clone, Debug, Default)]
pub(super) struct Need {
    /// These GPUs.
    pub(super) gpus: Vec<u32>,
    /// So many GPUs, whichever.
    pub(super) any_gpus: usize,
    pub(super) amounts: Amounts,
}

impl Need {
    pub(super) fn start(wanted: &Resources) -> Self {
        Self { gpus: Vec::new(), any_gpus: wanted.gpus, amounts: wanted.amounts.clone() }
    }

    /// What a worker that sleeps lacks.
    pub(super) fn wake(grant: &Grant, wanted: &Resources) -> Self {
        let gpus = if grant.holds_gpus { Vec::new() } else { grant.gpus.clone() };
        let missing = wanted.amounts.iter().map(|(name, &amount)| {
            let held = grant.amounts.get(name).copied().unwrap_or_default();
            (name.clone(), amount.saturating_sub(held))
        });
        Self { gpus, any_gpus: 0, amounts: missing.collect() }
    }
}

impl Room {
    /// What a worker frees if it keeps so much.
    pub(super) fn freed_by(grant: &Grant, kept: &Amounts) -> Self {
        let gpus = grant.gpus.iter().copied().filter(|_| grant.holds_gpus).collect();
        let amounts = grant.amounts.iter().map(|(name, &amount)| {
            let keeps = kept.get(name).copied().unwrap_or_default();
            (name.clone(), amount.saturating_sub(keeps))
        });
        Self { gpus, amounts: amounts.collect() }
    }

    pub(super) fn fits(&self, need: &Need) -> bool {
        self.fits_with(&Self::default(), need)
    }

    /// Whether there is room here and in other room together.
    pub(super) fn fits_with(&self, other: &Self, need: &Need) -> bool {
        let here = |gpu| self.gpus.contains(gpu) || other.gpus.contains(gpu);
        self.gpus.len() + other.gpus.len() >= need.any_gpus + need.gpus.len()
            && need.gpus.iter().all(here)
            && need.amounts.iter().all(|(name, &amount)| amount <= self.amount(name) + other.amount(name))
    }

    /// Whether anything here is of use to that need.
    pub(super) fn helps(&self, need: &Need) -> bool {
        let gpus = need.gpus.iter().any(|gpu| self.gpus.contains(gpu));
        let any_gpus = need.any_gpus > 0 && !self.gpus.is_empty();
        gpus || any_gpus || need.amounts.iter().any(|(name, &amount)| amount > 0 && self.amount(name) > 0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.gpus.extend(&other.gpus);
        for (name, amount) in &other.amounts {
            *self.amounts.entry(name.clone()).or_default() += amount;
        }
    }

    /// Takes what is needed, or as much of it as is here. Returns what is missing.
    pub(super) fn subtract(&mut self, need: &Need) -> Need {
        let mut missing = need.clone();
        missing.gpus.retain(|gpu| !self.gpus.remove(gpu));
        while missing.any_gpus > 0 && self.gpus.pop_last().is_some() {
            missing.any_gpus -= 1;
        }
        for (name, lacks) in &mut missing.amounts {
            if let Some(here) = self.amounts.get_mut(name) {
                let taken = (*lacks).min(*here);
                *here -= taken;
                *lacks -= taken;
            }
        }
        missing
    }

    /// Takes out what a worker holds.
    pub(super) fn without(&mut self, grant: &Grant) {
        let gpus = if grant.holds_gpus { grant.gpus.clone() } else { Vec::new() };
        self.subtract(&Need { gpus, any_gpus: 0, amounts: grant.amounts.clone() });
    }

    fn amount(&self, name: &str) -> u64 {
        self.amounts.get(name).copied().unwrap_or_default()
    }
}
