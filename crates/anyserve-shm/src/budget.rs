//! How many bytes there are for all, and what each is sure of.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Half of all is divided among those who take part, at least as if they were so many; the other half is whoever's.
const FEWEST_SHARES: u64 = 4;

/// A number of bytes that several take from, each of whom is sure of a share.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    limit: u64,
    state: Mutex<State>,
    on_free: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    accounts: HashMap<u64, Usage>,
    next: u64,
}

#[derive(Debug)]
struct Usage {
    bytes: u64,
    /// It may take more: a part is kept for it.
    open: bool,
}

/// One of those who take from a [`Budget`]. It is [closed](Self::close) when it is dropped.
#[derive(Debug)]
pub struct Account {
    budget: Budget,
    id: u64,
}

/// Bytes that were taken; they are given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    account: u64,
    bytes: u64,
}

/// There are not enough bytes left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} bytes were asked for, and {free} of {limit} are free for it")]
pub struct Exhausted {
    /// How many were asked for.
    pub asked: u64,
    /// How many the account could have had.
    pub free: u64,
    /// How many there are in all.
    pub limit: u64,
}

impl Budget {
    /// So many bytes; `on_free` is called, without any lock of this crate held, whenever some are given back, or could be
    /// by whoever holds a [`Slot`](crate::Slot) alone.
    pub fn new(limit: u64, on_free: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { limit, state: Mutex::default(), on_free: Box::new(on_free) }))
    }

    /// How many bytes there are in all.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// How many are taken.
    pub fn used(&self) -> u64 {
        self.lock().used
    }

    /// Someone else who takes from it.
    pub fn open_account(&self) -> Account {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.accounts.insert(id, Usage { bytes: 0, open: true });
        Account { budget: self.clone(), id }
    }

    /// True if that account has more than it is sure of, or is closed: what it holds may have to make room.
    pub fn is_over_share(&self, account: u64) -> bool {
        let state = self.lock();
        let share = state.share(self.0.limit);
        state.accounts.get(&account).is_none_or(|usage| !usage.open || usage.bytes > share)
    }

    /// There may be room, if somebody lets go of what he alone holds now.
    pub(crate) fn tell_free(&self) {
        (self.0.on_free)();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What each open account is sure of.
    fn share(&self, limit: u64) -> u64 {
        let open = self.accounts.values().filter(|usage| usage.open).count() as u64;
        limit / (2 * open.max(FEWEST_SHARES))
    }

    /// How many bytes the account may have now.
    fn free_for(&self, account: u64, limit: u64) -> u64 {
        let free = limit - self.used;
        let share = self.share(limit);
        let kept = |(&id, usage): (&u64, &Usage)| {
            if id == account || !usage.open { 0 } else { share.saturating_sub(usage.bytes) }
        };
        let kept_for_others: u64 = self.accounts.iter().map(kept).sum();
        let own = self.accounts.get(&account).map_or(0, |usage| share.saturating_sub(usage.bytes));
        free.saturating_sub(kept_for_others).max(own.min(free))
    }
}

impl Account {
    /// Its number, as in [`Budget::is_over_share`].
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many bytes it has taken.
    pub fn used(&self) -> u64 {
        self.budget.lock().accounts.get(&self.id).map_or(0, |usage| usage.bytes)
    }

    /// How many bytes it could have if nobody else had taken any.
    pub fn limit(&self) -> u64 {
        let limit = self.budget.limit();
        let state = self.budget.lock();
        let others = state.accounts.iter().filter(|&(&id, usage)| id != self.id && usage.open).count() as u64;
        limit - state.share(limit) * others
    }

    /// Takes so many bytes.
    pub fn charge(&self, bytes: u64) -> Result<Charge, Exhausted> {
        let limit = self.budget.limit();
        let mut state = self.budget.lock();
        let free = state.free_for(self.id, limit);
        if bytes > free {
            return Err(Exhausted { asked: bytes, free, limit });
        }
        state.used += bytes;
        if let Some(usage) = state.accounts.get_mut(&self.id) {
            usage.bytes += bytes;
        }
        drop(state);
        Ok(Charge { budget: self.budget.clone(), account: self.id, bytes })
    }

    /// The budget it takes from.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Its share is free for the others from now on; what it took stays taken until the charges are dropped.
    pub fn close(&self) {
        let mut state = self.budget.lock();
        let empty = state.accounts.get_mut(&self.id).is_none_or(|usage| {
            usage.open = false;
            usage.bytes == 0
        });
        if empty {
            state.accounts.remove(&self.id);
        }
        drop(state);
        self.budget.tell_free();
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close();
    }
}

impl Charge {
    /// Whose it is.
    pub fn account(&self) -> u64 {
        self.account
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// So many of its bytes as a charge of their own; none if it has fewer.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Option<Self> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(Self { budget: self.budget.clone(), account: self.account, bytes })
    }

    /// Takes so many bytes more, for the same account.
    pub(crate) fn grow(&mut self, account: &Account, bytes: u64) -> Result<(), Exhausted> {
        let mut more = account.charge(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes == 0 {
            // All of it is in other charges by now.
            return;
        }
        let mut state = self.budget.lock();
        state.used -= self.bytes;
        let gone = state.accounts.get_mut(&self.account).is_some_and(|usage| {
            usage.bytes -= self.bytes;
            !usage.open && usage.bytes == 0
        });
        if gone {
            state.accounts.remove(&self.account);
        }
        drop(state);
        self.budget.tell_free();
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Budget").field("limit", &self.0.limit).field("used", &self.used()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_that_takes_all_it_can_leaves_the_others_their_share() {
        let budget = Budget::new(800, || ());
        let (greedy, modest) = (budget.open_account(), budget.open_account());
        // Each of the two is sure of 800 / (2 * 4).
        assert_eq!((greedy.limit(), modest.limit()), (700, 700));
        let taken: Vec<_> = std::iter::from_fn(|| greedy.charge(10).ok()).collect();
        assert_eq!(taken.len(), 70);
        let exhausted = greedy.charge(10).unwrap_err();
        assert_eq!(exhausted, Exhausted { asked: 10, free: 0, limit: 800 });
        let kept = modest.charge(100).unwrap();
        assert!(modest.charge(1).is_err());
        assert!(budget.is_over_share(greedy.id()));
        assert!(!budget.is_over_share(modest.id()));
        drop((kept, modest));
        assert!(greedy.charge(100).is_ok());
    }

    #[test]
    fn what_a_closed_account_took_stays_taken() {
        let budget = Budget::new(100, || ());
        let account = budget.open_account();
        let (id, charge) = (account.id(), account.charge(60).unwrap());
        drop(account);
        assert_eq!(budget.used(), 60);
        assert!(budget.is_over_share(id));
        drop(charge);
        assert_eq!(budget.used(), 0);
        assert!(budget.lock().accounts.is_empty());
    }

    #[test]
    fn a_charge_in_parts_is_given_back_in_parts() {
        let budget = Budget::new(100, || ());
        let account = budget.open_account();
        let mut whole = account.charge(60).unwrap();
        assert!(whole.split(61).is_none());
        let part = whole.split(20).unwrap();
        whole.grow(&account, 10).unwrap();
        assert_eq!((whole.bytes(), part.bytes(), budget.used()), (50, 20, 70));
        drop(whole);
        assert_eq!((budget.used(), account.used()), (20, 20));
        drop((part, account));
        assert!(budget.lock().accounts.is_empty());
    }

    proptest! {
        #[test]
        fn never_more_than_there_is(steps in prop::collection::vec((0..5_usize, 0..400_u64), 1..100)) {
            let budget = Budget::new(1000, || ());
            let accounts: Vec<_> = (0..5).map(|_| budget.open_account()).collect();
            let mut charges = Vec::new();
            for (account, bytes) in steps {
                let sure = 100_u64.saturating_sub(accounts[account].used());
                match accounts[account].charge(bytes) {
                    Ok(charge) => charges.push(charge),
                    Err(_) => prop_assert!(bytes > sure),
                }
                if bytes % 7 == 0 && !charges.is_empty() {
                    charges.swap_remove(0);
                }
                let sum: u64 = charges.iter().map(Charge::bytes).sum();
                prop_assert!(sum <= 1000);
                prop_assert_eq!(sum, budget.used());
            }
        }
    }
}
