//! Pulls over TCP: several connections for a large object, a new one for one that broke.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyserve_core::{ObjectId, Reference};
use tokio::net::TcpStream;

use super::connection::{Failure, Wanted, connect, fill};
use super::error::{LookUpError, PullError, Reason};
use super::idle::Idle;
use super::look_up::{Failure as LookUpFailure, look_up};
use super::parts::{Part, Parts};
use super::protocol::CHUNK;
use super::{LookingUp, Progress, Pulling, Transport};

/// How many connections a large object comes over, unless somebody knows better. A second one only helps where one
/// processor cannot keep the network busy: over loopback, with two processors, one is the fastest.
pub(crate) const CONNECTIONS: usize = 1;
/// Larger objects come over several connections.
const SEVERAL_FROM: usize = 64 << 20;
/// How long to wait before each new try. The first comes at once: a connection that waited may have been closed.
const BACKOFF: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];

/// How often keys are asked for, should the connection break.
const LOOK_UP_TRIES: u32 = 2;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until there is a connection.
    pub(super) connect: Duration,
    /// Without a byte.
    pub(super) stalled: Duration,
    /// For which a connection is kept that nobody uses.
    pub(super) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(3), stalled: seconds(10), idle: seconds(5) }
    }
}

/// Pulls objects from the [`TransferServer`](super::TransferServer) of their owner.
#[derive(Debug)]
pub(crate) struct Tcp {
    connections: usize,
    checksum: bool,
    limits: Limits,
    idle: Idle,
}

impl Tcp {
    /// Large objects come over so many connections; each chunk has a checksum if asked.
    pub(crate) fn new(connections: usize, checksum: bool) -> Self {
        Self::with_limits(connections, checksum, Limits::default())
    }

    pub(super) fn with_limits(connections: usize, checksum: bool, limits: Limits) -> Self {
        Self { connections, checksum, limits, idle: Idle::new(limits.idle) }
    }

    /// How many connections wait for the next pull.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.count()
    }

    async fn pull_all(&self, owner: &str, wanted: &Wanted<'_>, into: &mut [u8]) -> Result<(), Reason> {
        if into.len() <= SEVERAL_FROM || self.connections <= 1 {
            return self.pull_part(owner, wanted, &mut Part::whole(into)).await;
        }
        let parts = Parts::of(into);
        let lane = || async {
            while let Some(mut part) = parts.take() {
                self.pull_part(owner, wanted, &mut part).await?;
            }
            Ok(())
        };
        all((0..self.connections).map(|_| Box::pin(lane())).collect()).await
    }

    /// Fills a part; tries again for as long as that brings it any further.
    async fn pull_part(&self, owner: &str, wanted: &Wanted<'_>, part: &mut Part<'_>) -> Result<(), Reason> {
        let (mut stream, mut tries) = (self.idle.take(owner), 0_u32);
        loop {
            let before = part.offset();
            let failure = match self.try_part(owner, stream.take(), wanted, part).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(reason)) => return Err(reason),
                Err(failure) => failure,
            };
            // One that brings a few bytes each time is no progress.
            tries = if part.offset() - before >= CHUNK as u64 { 1 } else { tries + 1 };
            let Some(&pause) = BACKOFF.get(tries as usize - 1) else {
                return Err(match failure {
                    Failure::Broken(source) => Reason::Broken { tries, source },
                    Failure::Corrupt { chunk } => Reason::Corrupt { chunk, tries },
                    Failure::Final(reason) => reason,
                });
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Fills a part over that connection, or over a new one.
    async fn try_part(
        &self,
        owner: &str,
        stream: Option<TcpStream>,
        wanted: &Wanted<'_>,
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        let stream = if let Some(stream) = stream {
            stream
        } else {
            let connected = connect(owner, self.limits.connect).await;
            connected.map_err(|error| Failure::Final(Reason::Unreachable(error)))?
        };
        fill(&stream, wanted, part).await?;
        self.idle.put(owner, stream);
        Ok(())
    }
}

impl Transport for Tcp {
    fn pull<'a>(
        &'a self,
        owner: &'a str,
        id: ObjectId,
        into: &'a mut [u8],
        progress: &'a Progress<'a>,
    ) -> Pulling<'a> {
        let (checksum, stalled) = (self.checksum, self.limits.stalled);
        let wanted = Wanted { id, size: into.len() as u64, checksum, stalled, progress };
        Box::pin(async move {
            let pulled = self.pull_all(owner, &wanted, into).await;
            pulled.map_err(|reason| PullError { id, owner: owner.to_owned(), reason })
        })
    }

    fn look_up<'a>(&'a self, owner: &'a str, keys: &'a [String]) -> LookingUp<'a> {
        Box::pin(async move {
            let found = self.look_up_at(owner, keys).await;
            found.map_err(|reason| LookUpError { owner: owner.to_owned(), reason })
        })
    }
}

impl Tcp {
    /// What the owner has of these keys. A connection may break, or have been closed while it waited: then a new one is
    /// tried.
    async fn look_up_at(&self, owner: &str, keys: &[String]) -> Result<Vec<Option<Reference>>, Reason> {
        let mut waited = self.idle.take(owner);
        let mut tries = 0;
        loop {
            tries += 1;
            let stream = match waited.take() {
                Some(stream) => stream,
                None => connect(owner, self.limits.connect).await.map_err(Reason::Unreachable)?,
            };
            match look_up(&stream, keys, self.limits.stalled).await {
                Ok(found) => {
                    self.idle.put(owner, stream);
                    return Ok(found);
                }
                Err(LookUpFailure::Final(reason)) => return Err(reason),
                Err(LookUpFailure::Broken(source)) if tries == LOOK_UP_TRIES => {
                    return Err(Reason::Broken { tries, source });
                }
                Err(LookUpFailure::Broken(_)) => {}
            }
        }
    }
}

/// Runs all of them in this task until they have ended, or the first has failed: they borrow what they fill.
async fn all<F>(mut lanes: Vec<Pin<Box<F>>>) -> Result<(), Reason>
where
    F: Future<Output = Result<(), Reason>>,
{
    poll_fn(|context| {
        let mut failed = None;
        lanes.retain_mut(|lane| match lane.as_mut().poll(context) {
            Poll::Ready(ended) => {
                failed = failed.take().or(ended.err());
                false
            }
            Poll::Pending => true,
        });
        match failed {
            Some(reason) => Poll::Ready(Err(reason)),
            None if lanes.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}
