//! Accepts connections and serves HTTP/1.1 on each.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::{Patient, Phase};
use super::service::{ForConnection, Service};
use crate::dispatch::Dispatcher;
use crate::listen::accept;

/// How many connections there may be; more wait in the system's queue until one ends.
const MOST_CONNECTIONS: usize = 1024;
/// The largest head of a request.
const MOST_HEADERS: usize = 64 << 10;
/// How much of a body is read at once, at most.
const READ_BUFFER: usize = 1 << 20;

/// The listening socket and its connections.
#[derive(Debug)]
pub(crate) struct RestServer {
    service: Service,
    stop: CancellationToken,
    connections: TaskTracker,
    places: Arc<Semaphore>,
}

impl RestServer {
    /// `most_held` is how many bytes the requests may have together that are being read.
    pub(crate) fn new(dispatcher: Arc<Dispatcher>, most_held: u64) -> Self {
        Self {
            service: Service::new(dispatcher, most_held),
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
            places: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        }
    }

    /// Accepts connections until [`Self::stop`].
    pub(crate) async fn run(&self, listener: TcpListener) {
        let next = || async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            (accept(&listener).await, place.expect("it is never closed"))
        };
        loop {
            tokio::select! {
                (stream, place) = next() => self.serve(stream, place),
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Accepts no more, lets the connections finish what they have, and waits for them at most that long.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(limit, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "REST connections were cut at shutdown");
        }
    }

    fn serve(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let service = self.service.clone();
        let stop = self.stop.clone();
        self.connections.spawn(async move {
            if let Err(error) = connection(stream, service, &stop).await {
                tracing::debug!(%error, "REST connection ended");
            }
            drop(place);
        });
    }
}

async fn connection(
    stream: TcpStream,
    service: Service,
    stop: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let phase = Phase::default();
    let io = TokioIo::new(Patient::new(stream, phase.clone()));
    let connection = http1::Builder::new()
        .max_header_size(MOST_HEADERS)
        .max_buf_size(READ_BUFFER)
        // Patience is the stream's.
        .header_read_timeout(None)
        .serve_connection(io, ForConnection::new(service, phase));
    let mut connection = std::pin::pin!(connection);
    let mut stopping = std::pin::pin!(stop.cancelled());
    let mut graceful = false;
    poll_fn(|context| {
        if !graceful && stopping.as_mut().poll(context).is_ready() {
            graceful = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    })
    .await?;
    Ok(())
}
