//! The owner's port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Source;
use super::answer::{Hangup, answer};
use crate::error::Error;
use crate::listen::{accept, listen};

/// Connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 256;
/// A reader that takes nothing, or asks for nothing, for so long is cut off.
const STALLED: Duration = Duration::from_secs(30);

/// Serves this agent's objects to others.
#[derive(Debug)]
pub(crate) struct TransferServer {
    listener: TcpListener,
    stalled: Duration,
}

impl TransferServer {
    /// Opens the port; returns where it is, too.
    pub(crate) async fn bind(address: SocketAddr) -> Result<(Self, SocketAddr), Error> {
        let (listener, address) = listen(address).await?;
        Ok((Self { listener, stalled: STALLED }, address))
    }

    /// The same with another limit on readers that take nothing.
    #[cfg(test)]
    pub(super) fn with_limit(self, stalled: Duration) -> Self {
        Self { stalled, ..self }
    }

    /// Serves until `stop`; nothing is leased to readers any more when this returns.
    pub(crate) async fn run(self, source: Arc<dyn Source>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let connections = TaskTracker::new();
        let accepting = async {
            // The semaphore is never closed.
            while let Ok(place) = Arc::clone(&places).acquire_owned().await {
                let stream = accept(&self.listener).await;
                let (source, stop) = (Arc::clone(&source), stop.clone());
                connections.spawn(async move {
                    stop.run_until_cancelled(serve(stream, &*source, self.stalled)).await;
                    drop(place);
                });
            }
        };
        stop.run_until_cancelled(accepting).await;
        connections.close();
        connections.wait().await;
    }
}

async fn serve(stream: TcpStream, source: &dyn Source, stalled: Duration) {
    // Without it a reply would be slower, no worse.
    let _ = stream.set_nodelay(true);
    match answer(&stream, source, stalled).await {
        Err(Hangup::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => (),
        Err(error) => {
            let reader = stream.peer_addr().ok();
            tracing::debug!(?reader, %error, "a connection of a reader of objects was closed");
        }
        Ok(()) => (),
    }
}
