//! The connection to one other replica: made when it is first needed, and again after it broke.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use crate::connection::{MAX_FRAME_SIZE, SEND_BUFFER, STREAM_WINDOW};
use crate::ingress::Corked;

/// What all responses of a connection may send ahead.
const CONNECTION_WINDOW: u32 = 128 << 20;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A replica that cannot be reached any more, while it has requests, is noticed within both together.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs what a connection needs; the library lets one of these tasks write, and what it wrote in a turn leaves in one
/// piece.
#[derive(Clone, Debug)]
struct Uncorking {
    tasks: TaskTracker,
    io: Corked,
}

impl<F> hyper::rt::Executor<F> for Uncorking
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let io = self.io.clone();
        self.tasks.spawn(async move {
            let mut future = pin!(future);
            poll_fn(|context| {
                let polled = future.as_mut().poll(context);
                // An error is the connection's to notice when it writes next.
                let _ = io.poll_uncork(context);
                polled
            })
            .await
        });
    }
}

/// Why a request has no response.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The replica cannot have begun it.
    #[error("cannot reach {endpoint}: {reason}")]
    NotBegun { endpoint: Arc<str>, reason: String },
    /// It may have.
    #[error("the connection to {endpoint} was lost: {reason}")]
    Lost { endpoint: Arc<str>, reason: String },
}

/// Another replica, as this one reaches it.
#[derive(Debug)]
pub(super) struct Peer {
    endpoint: Arc<str>,
    current: Mutex<Option<SendRequest<Body>>>,
    /// Held by whoever connects, so that the others wait for that connection.
    connecting: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
}

impl Peer {
    pub(super) fn new(endpoint: &str, tasks: TaskTracker) -> Self {
        Self {
            endpoint: endpoint.into(),
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            tasks,
        }
    }

    /// Sends a request; returns the response as soon as it begins. Dropping that, or this future, cancels the request.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, SendError> {
        // A connection may have ended without anybody having noticed yet.
        for _ in 0..2 {
            let mut sender = self.connection().await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        self.forget();
                        request = unsent;
                    }
                    None => return Err(self.explain(&error.into_error())),
                },
            }
        }
        Err(self.not_begun("its connections end at once"))
    }

    /// True while there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.lock().as_ref().is_some_and(|sender| !sender.is_closed())
    }

    async fn connection(&self) -> Result<SendRequest<Body>, SendError> {
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let _turn = self.connecting.lock().await;
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        let timed_out = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
        let sender =
            connected.unwrap_or_else(timed_out).map_err(|error| self.not_begun(&root_cause(&*error)))?;
        *self.lock() = Some(sender.clone());
        Ok(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&*self.endpoint).await?;
        stream.set_nodelay(true)?;
        let io = Corked::new(stream);
        let executor = Uncorking { tasks: self.tasks.clone(), io: io.clone() };
        let (sender, connection) = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME_SIZE)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .handshake(io)
            .await?;
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to another replica ended");
            }
        });
        Ok(sender)
    }

    fn open(&self) -> Option<SendRequest<Body>> {
        self.lock().as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    fn forget(&self) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(SendRequest::is_closed) {
            *current = None;
        }
    }

    fn not_begun(&self, reason: &str) -> SendError {
        SendError::NotBegun { endpoint: Arc::clone(&self.endpoint), reason: reason.to_owned() }
    }

    fn explain(&self, error: &hyper::Error) -> SendError {
        let reason = root_cause(error);
        let (endpoint, begun) = (Arc::clone(&self.endpoint), !is_refused(error));
        if begun { SendError::Lost { endpoint, reason } } else { SendError::NotBegun { endpoint, reason } }
    }

    fn lock(&self) -> MutexGuard<'_, Option<SendRequest<Body>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if the other end says that it has not looked at the request: it refused the stream, or had said goodbye before.
fn is_refused(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| {
        let goodbye = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        goodbye || error.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

/// The innermost reason: what the system said.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
