//! Decisions about workers, and how they are carried out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_core::scaler::{Decision, Grant, Reason, Stage, Step};
use anyserve_core::scheduler::{PoolId, Time, WorkerId};
use anyserve_proto::worker::Settled;
use tokio_util::sync::CancellationToken;

use super::member::{Member, Plan};
use super::state::State;
use super::{Dispatcher, Violation};
use crate::fleet::Settings;
use crate::worker::WorkerExit;

/// How often decisions are looked for while something waits or is under way.
const TICK: Duration = Duration::from_millis(100);

/// A worker that is to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) worker: WorkerId,
    pub(crate) pool: PoolId,
    pub(crate) name: String,
    pub(crate) settings: Arc<Settings>,
    pub(crate) grant: Grant,
    /// Comes true when the worker is to stop.
    pub(crate) stop: CancellationToken,
}

impl Dispatcher {
    /// Decides what to do with workers; returns those to be started, and when to decide again at the latest.
    pub(crate) fn decide(&self) -> (Vec<Launch>, Option<Instant>) {
        let now = self.now();
        let mut state = self.lock();
        state.undecided = false;
        if state.scheduler.waiting() > 0 {
            // Workers that went may have left nobody but those who wait.
            state.break_circles(now);
        }
        state.decide(now);
        let launches = std::mem::take(&mut state.launches);
        state.give_up_on_hooks(now);
        state.sweep();
        let ordered = state.members.values().any(|member| member.ordered.is_some());
        state.watched = ordered || state.scheduler.waiting() > 0 || !state.settling.is_empty();
        let next = state.scaler.next_check(&state.scheduler, now);
        let next = next.into_iter().chain(state.watched.then(|| now.plus(TICK))).min();
        self.changed(&mut state);
        (launches, next.map(|next| self.epoch + next.0))
    }

    /// Returns when a decision may be due.
    pub(crate) async fn undecided(&self) {
        self.decide.notified().await;
    }
}

impl State {
    /// Decides, and carries out all but the starts, which wait in `launches`.
    pub(super) fn decide(&mut self, now: Time) {
        self.drain_pools();
        let decisions = self.scaler.decide(&self.scheduler, now);
        // What was decided may lead to more: another worker of the same pool, say.
        self.undecided |= !decisions.is_empty();
        for decision in decisions {
            let launch = self.carry_out(decision, now);
            self.launches.extend(launch);
        }
    }

    fn carry_out(&mut self, decision: Decision, now: Time) -> Option<Launch> {
        let Decision { pool, worker, step, reason } = decision;
        self.note(pool, worker, &step, &reason, now);
        match step {
            Step::Start(grant) => {
                let record = self.pools.get(&pool)?;
                let stop = CancellationToken::new();
                self.members.insert(worker, Member::new(pool, stop.clone()));
                let (name, settings) = (record.name.clone(), Arc::clone(&record.settings));
                return Some(Launch { worker, pool, name, settings, grant, stop });
            }
            Step::Stop => self.plan(worker, Plan::Stop),
            Step::Sleep { level } => self.plan(worker, Plan::Sleep(level)),
            Step::Wake => {
                let member = self.members.get_mut(&worker)?;
                member.ordered = Some(now);
                member.link()?.wake();
            }
        }
        self.settle(now);
        None
    }

    /// Lets operators see what was decided and why.
    fn note(&mut self, pool: PoolId, worker: WorkerId, step: &Step, reason: &Reason, now: Time) {
        let Some(record) = self.pools.get_mut(&pool) else {
            return;
        };
        let (verb, label) = match step {
            Step::Start(_) => ("start", "start"),
            Step::Stop => ("stop", "stop"),
            Step::Sleep { .. } => ("put to sleep", "sleep"),
            Step::Wake => ("wake", "wake"),
        };
        let text = format!("{verb} worker {}: {reason}", worker.0);
        if matches!(reason, Reason::BelowMin(_)) {
            // That is nothing that anybody has to know.
            tracing::debug!(pool = record.name, worker = worker.0, "{text}");
        } else {
            tracing::info!(pool = record.name, worker = worker.0, "{text}");
        }
        record.decision = Some((now, text));
        let name = record.name.clone();
        self.stats.decided(&name, label);
    }

    /// Gives the worker nothing more; what it has comes back, or is finished.
    fn plan(&mut self, worker: WorkerId, plan: Plan) {
        if self.scheduler.pause(worker) {
            self.recall(worker);
        }
        if let Some(member) = self.members.get_mut(&worker) {
            member.plan = Some(plan);
            if !self.settling.contains(&worker) {
                self.settling.push(worker);
            }
        }
    }

    /// Carries out what was planned for workers that have nothing to do now.
    pub(super) fn settle(&mut self, now: Time) {
        let scheduler = &self.scheduler;
        let idle = |&&worker: &&WorkerId| scheduler.load(worker) == 0;
        let idle: Vec<_> = self.settling.iter().filter(idle).copied().collect();
        for worker in idle {
            let Some(member) = self.members.get_mut(&worker) else {
                continue;
            };
            match (member.plan.take(), member.link()) {
                (Some(Plan::Stop), _) => member.stop.cancel(),
                (Some(Plan::Sleep(level)), Some(link)) => {
                    link.sleep(level);
                    member.ordered = Some(now);
                }
                _ => {}
            }
            self.settling.retain(|&settling| settling != worker);
        }
    }

    /// A worker sleeps, or is awake, or could not.
    pub(super) fn settled(&mut self, worker: WorkerId, settled: Settled, now: Time) -> Result<(), Violation> {
        let member = self.members.get_mut(&worker).ok_or(Violation::OutOfTurn)?;
        member.ordered.take().ok_or(Violation::OutOfTurn)?;
        self.undecided = true;
        let stage = self.scaler.worker(worker).map(|worker| worker.stage);
        if !settled.error.is_empty() {
            let Settled { error, traceback } = settled;
            member.kill(WorkerExit::HookFailed { message: error, traceback });
            return Ok(());
        }
        match stage {
            Some(Stage::FallingAsleep) => self.scaler.asleep(worker, now),
            Some(Stage::Waking) => {
                self.scaler.awake(worker, now);
                self.scheduler.resume(worker);
            }
            // It was told to stop meanwhile.
            _ => {}
        }
        Ok(())
    }

    /// Ends workers that take too long to fall asleep or to wake.
    fn give_up_on_hooks(&mut self, now: Time) {
        for member in self.members.values_mut() {
            let limit = self.pools.get(&member.pool).map(|record| record.settings.start_timeout);
            if let (Some(since), Some(limit)) = (member.ordered, limit)
                && now.since(since) >= limit
            {
                member.kill(WorkerExit::HookTimedOut(limit));
            }
        }
    }

    /// The worker has answered one more request.
    pub(super) fn served(&mut self, worker: WorkerId) {
        let Some(member) = self.members.get_mut(&worker) else {
            return;
        };
        member.served += 1;
        let limit = self.pools.get(&member.pool).and_then(|record| record.settings.max_requests);
        if limit == Some(member.served) {
            self.scaler.recycle(worker);
            self.undecided = true;
        }
    }
}
