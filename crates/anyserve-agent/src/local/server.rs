//! The socket, and the connections that come to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::Hangup;
use super::session;
use crate::admin::Socket;
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::listen::ACCEPT_BACKOFF;

/// Clients at a time. Each is sure of a share of the object store, as each worker is.
const MOST_CLIENTS: usize = 256;

/// The socket and its connections.
#[derive(Debug)]
pub(crate) struct LocalServer {
    socket: Socket,
    sessions: Sessions,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Sessions {
    places: Arc<Semaphore>,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl LocalServer {
    /// Opens the socket in that folder, named after the port.
    pub(crate) fn bind(folder: &Path, port: u16) -> Result<Self, Error> {
        Ok(Self {
            socket: Socket::open(folder, &format!("{port}.shm.sock"))?,
            sessions: Sessions {
                places: Arc::new(Semaphore::new(MOST_CLIENTS)),
                stop: CancellationToken::new(),
                connections: TaskTracker::new(),
            },
        })
    }

    /// Serves for as long as it is polled, as the agent that listens at that address.
    pub(crate) async fn run(&self, dispatcher: &Arc<Dispatcher>, address: SocketAddr) {
        loop {
            match self.socket.listener.accept().await {
                Ok((stream, _)) => self.sessions.serve(stream, dispatcher, address),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client that shares memory");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// Accepts no more: another agent may open the socket from now on.
    pub(crate) fn close(self) -> Sessions {
        self.sessions
    }
}

impl Sessions {
    /// Ends the connections, once the last answers have left or that limit has passed.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(limit, self.connections.wait()).await.is_err() {
            let connections = self.connections.len();
            tracing::warn!(connections, "clients that share memory were cut off at shutdown");
        }
    }

    fn serve(&self, stream: UnixStream, dispatcher: &Arc<Dispatcher>, address: SocketAddr) {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Hangup::Full { most: MOST_CLIENTS });
        let (dispatcher, stop) = (Arc::clone(dispatcher), self.stop.clone());
        self.connections.spawn(async move {
            let served = session::serve(stream, place.as_ref().err(), &dispatcher, address, &stop).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a client that shares memory was cut off");
            }
            drop(place);
        });
    }
}
