//! A slot always holds a worker: when one ends that was not asked to, the next is started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyserve_core::scheduler::WorkerId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exit::WorkerExit;
use super::session;
use crate::config::AgentConfig;
use crate::dispatch::Dispatcher;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// A worker that lived this long did not fail at once: the next one starts without delay.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// What a slot tells the agent while it starts.
#[derive(Debug)]
pub(crate) enum SlotEvent {
    /// Its first worker is ready.
    Ready,
    /// Its first worker ended before it was ready; the slot gives up.
    Failed(WorkerExit),
}

/// Keeps the agent's workers running.
#[derive(Debug)]
pub(crate) struct Supervisor {
    config: AgentConfig,
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
    kill: CancellationToken,
    last_worker: AtomicU64,
    slots: TaskTracker,
}

impl Supervisor {
    pub(crate) fn new(config: AgentConfig, dispatcher: Arc<Dispatcher>) -> Arc<Self> {
        Arc::new(Self {
            config,
            dispatcher,
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            last_worker: AtomicU64::new(0),
            slots: TaskTracker::new(),
        })
    }

    /// Starts every slot; each sends one event.
    pub(crate) fn start(self: &Arc<Self>) -> mpsc::Receiver<SlotEvent> {
        let (events, receiver) = mpsc::channel(self.config.workers.max(1));
        for _ in 0..self.config.workers {
            let (supervisor, events) = (Arc::clone(self), events.clone());
            self.slots.spawn(async move { supervisor.keep(events).await });
        }
        receiver
    }

    /// Asks every worker to stop and waits until all are gone; those left when `kill` is cancelled are killed.
    pub(crate) async fn stop(&self, kill: &CancellationToken) {
        self.stop.cancel();
        self.slots.close();
        tokio::select! {
            () = self.slots.wait() => return,
            () = kill.cancelled() => self.kill.cancel(),
        }
        self.slots.wait().await;
    }

    async fn keep(&self, events: mpsc::Sender<SlotEvent>) {
        let mut events = Some(events);
        let mut backoff = FIRST_BACKOFF;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            let exit = self.run_one(&mut events).await;
            if matches!(exit, WorkerExit::Stopped) {
                return;
            }
            if let Some(events) = events.take() {
                let _ = events.send(SlotEvent::Failed(exit)).await;
                return;
            }
            backoff = if started.elapsed() >= STABLE_AFTER { FIRST_BACKOFF } else { backoff };
            self.dispatcher.worker_restarts(&exit);
            tracing::warn!("{exit}; starting another in {backoff:?}");
            if let WorkerExit::StartFailed { traceback, .. } = &exit {
                tracing::warn!("{traceback}");
            }
            let _ = tokio::time::timeout(backoff, self.stop.cancelled()).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    async fn run_one(&self, events: &mut Option<mpsc::Sender<SlotEvent>>) -> WorkerExit {
        let id = WorkerId(self.last_worker.fetch_add(1, Ordering::Relaxed) + 1);
        let on_ready = || {
            if let Some(events) = events.take() {
                // There is room for one event of each slot.
                let _ = events.try_send(SlotEvent::Ready);
            }
        };
        let end = session::End { stop: &self.stop, kill: &self.kill };
        session::run(&self.config, &self.dispatcher, id, end, on_ready).await
    }
}
