//! Whether a worker is well: it gives signs of life, and holds no more memory than it may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::exit::WorkerExit;
use crate::fleet::Settings;
use crate::telemetry::resident;

/// How often a worker is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Counts the messages of a worker.
#[derive(Debug, Default)]
pub(super) struct SignsOfLife(AtomicU64);

impl SignsOfLife {
    /// There was one more.
    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Returns when the worker has to be killed, and why.
pub(super) async fn watch(process: Option<u32>, settings: &Settings, signs: &SignsOfLife) -> WorkerExit {
    let period = LOOK.min(settings.heartbeat_timeout / 2);
    let (mut seen, mut since) = (signs.count(), Instant::now());
    loop {
        tokio::time::sleep(period).await;
        if signs.count() != seen {
            (seen, since) = (signs.count(), Instant::now());
        } else if since.elapsed() >= settings.heartbeat_timeout {
            return WorkerExit::Silent(settings.heartbeat_timeout);
        }
        if let (Some(limit), Some(process)) = (settings.max_rss, process)
            && let Some(resident) = resident(process).filter(|&resident| resident > limit)
        {
            return WorkerExit::OverMemory { resident, limit };
        }
    }
}
