//! When to decide again.

use super::Scaler;
use super::decide::Look;
use super::wants::patience;
use super::worker::{Stage, Worker};
use crate::Scheduler;
use crate::scheduler::Time;

impl Scaler {
    /// When time alone could bring another decision.
    pub fn next_check(&self, scheduler: &Scheduler, now: Time) -> Option<Time> {
        let wanting = self.pools.iter().filter(|(_, pool)| pool.wants_since.is_some());
        let mut someone_waits = false;
        let wanting = wanting.flat_map(|(&id, pool)| {
            someone_waits = true;
            let look = Look { pool: id, demand: scheduler.demand(id) };
            let overdue = pool.wants_since.map(|since| since.plus(patience(pool, &look)));
            [Some(pool.backs_off_until), overdue].into_iter().flatten()
        });
        let mut times: Vec<Time> = wanting.collect();
        times.extend(self.pools.values().map(|pool| pool.backs_off_until));
        for worker in self.workers.values().filter(|worker| worker.stage == Stage::Ready) {
            self.add_times_of(worker, scheduler, someone_waits, now, &mut times);
        }
        times.into_iter().filter(|&time| time > now).min()
    }

    /// When a worker has been idle, or resident, for as long as it is kept.
    fn add_times_of(
        &self,
        worker: &Worker,
        scheduler: &Scheduler,
        someone_waits: bool,
        now: Time,
        times: &mut Vec<Time>,
    ) {
        let Some(pool) = self.pools.get(&worker.pool) else {
            return;
        };
        let kept_until = worker.resident_since.plus(pool.spec.min_residence);
        if let Some(timeout) = pool.spec.idle_timeout {
            // One that is busy may be idle from now on.
            let idle = scheduler.idle_since(worker.id).unwrap_or(now);
            times.push(idle.max(worker.resident_since).plus(timeout.max(pool.spec.min_residence)));
        }
        if someone_waits {
            times.extend([kept_until, worker.resident_since.plus(pool.amortised_after())]);
        }
    }
}
