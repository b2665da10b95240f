//! Connections that wait for the next pull: a small object is there before a new connection would be.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

/// How many wait per owner.
const MOST_PER_OWNER: usize = 4;

/// Connections that nobody uses, by the address of the owner.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    waiting: Arc<Mutex<HashMap<String, Vec<Waiting>>>>,
    keep: Duration,
}

#[derive(Debug)]
struct Waiting {
    stream: TcpStream,
    since: Instant,
}

impl Idle {
    /// Keeps each for so long.
    pub(super) fn new(keep: Duration) -> Self {
        Self { waiting: Arc::default(), keep }
    }

    /// One that leads to that owner, if any waits.
    pub(super) fn take(&self, owner: &str) -> Option<TcpStream> {
        let mut all = self.lock();
        let waiting = all.get_mut(owner)?;
        // The last one is the least likely to be closed.
        while let Some(Waiting { stream, .. }) = waiting.pop() {
            if is_quiet(&stream) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps one that has nothing under way.
    pub(super) fn put(&self, owner: &str, stream: TcpStream) {
        let mut all = self.lock();
        if all.is_empty() {
            tokio::spawn(self.clone().sweep());
        }
        let waiting = all.entry(owner.to_owned()).or_default();
        if waiting.len() < MOST_PER_OWNER {
            waiting.push(Waiting { stream, since: Instant::now() });
        }
    }

    /// Closes what has waited too long, until nothing waits.
    async fn sweep(self) {
        loop {
            tokio::time::sleep(self.keep / 2).await;
            let mut all = self.lock();
            all.retain(|_, waiting| {
                waiting.retain(|waiting| waiting.since.elapsed() < self.keep);
                !waiting.is_empty()
            });
            if all.is_empty() {
                return;
            }
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if the owner has neither hung up nor said anything that nobody asked for.
fn is_quiet(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
