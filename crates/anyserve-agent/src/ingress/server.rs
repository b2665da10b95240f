//! Accepts connections and serves HTTP/2 on each.
//!
//! hyper is used directly, not through tonic's server, because that one ends a request whose `grpc-timeout` passed
//! with CANCELLED, and puts a router and two boxed services on the way of every request.

use std::future::Future;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::edge::Edge;
use super::io::Corked;
use crate::connection::{self, Executor, MAX_FRAME_SIZE, SEND_BUFFER, STREAM_WINDOW};
use crate::listen::accept;

/// What all requests of a connection may send ahead.
const CONNECTION_WINDOW: u32 = 128 << 20;
/// How many requests of a connection may wait for room with their windows full. The others have the rest of the
/// connection's, so that those which are to make room can arrive.
pub(super) const MAY_WAIT: usize = (CONNECTION_WINDOW / STREAM_WINDOW) as usize * 3 / 4;
/// Requests under way on one connection.
const MAX_STREAMS: u32 = 1024;
/// A connection whose peer vanished is noticed within twice that time.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The listening socket and its connections.
#[derive(Debug)]
pub(crate) struct Server {
    edge: Edge,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge, stop: CancellationToken::new(), connections: TaskTracker::new() }
    }

    /// Accepts connections until [`Self::stop`].
    pub(crate) async fn run(&self, listener: TcpListener) {
        loop {
            tokio::select! {
                stream = accept(&listener) => self.serve(stream),
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Accepts no more, lets the connections finish what they have, and waits for them at most that long.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(limit, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "connections were cut at shutdown");
        }
    }

    fn serve(&self, stream: TcpStream) {
        let edge = self.edge.for_connection();
        let stop = self.stop.clone();
        let executor = Executor(self.connections.clone());
        self.connections.spawn(async move {
            if let Err(error) = serve(stream, edge, executor, &stop).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    edge: Edge,
    executor: Executor,
    stop: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Responses are small and awaited: no waiting for more to send.
    stream.set_nodelay(true)?;
    let io = Corked::new(stream);
    let connection = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME_SIZE)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(MAX_STREAMS)
        // A client that cancels all it has asked for must not lose the connection by it.
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .keep_alive_interval(KEEP_ALIVE)
        .serve_connection(io.clone(), edge);
    let mut stopping = std::pin::pin!(stop.cancelled());
    let mut graceful = false;
    connection::run(connection, io, |connection, context| {
        if !graceful && stopping.as_mut().poll(context).is_ready() {
            graceful = true;
            connection.graceful_shutdown();
        }
    })
    .await
}
