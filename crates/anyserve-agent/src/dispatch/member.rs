//! A worker process that has not ended, as the dispatcher knows it.

use anyserve_core::scheduler::{PoolId, Time};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use crate::worker::WorkerExit;

/// A worker process that has not ended.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) pool: PoolId,
    pub(super) process: Option<u32>,
    /// The way to it, once it is ready.
    link: Option<Link>,
    /// Ends the worker for a reason; taken when it is used.
    kill: Option<oneshot::Sender<WorkerExit>>,
    /// Asks its session to let it stop.
    pub(super) stop: CancellationToken,
    /// What is to be done with it once it has nothing to do.
    pub(super) plan: Option<Plan>,
    /// Since when it has been busy falling asleep or waking.
    pub(super) ordered: Option<Time>,
    /// How many requests it has answered.
    pub(super) served: u64,
}

/// What is to be done with a worker once it has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Stop,
    Sleep(u32),
}

impl Member {
    pub(super) fn new(pool: PoolId, stop: CancellationToken) -> Self {
        Self { pool, process: None, link: None, kill: None, stop, plan: None, ordered: None, served: 0 }
    }

    /// Its process has started.
    pub(super) fn started(&mut self, process: Option<u32>, kill: oneshot::Sender<WorkerExit>) {
        self.process = process;
        self.kill = Some(kill);
    }

    /// It is ready.
    pub(super) fn ready(&mut self, link: Link) {
        self.link = Some(link);
    }

    /// The way to it.
    pub(super) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Ends it, unless that is under way.
    pub(super) fn kill(&mut self, why: WorkerExit) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(why);
        }
    }
}
