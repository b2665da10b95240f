//! `GET /metrics` on a port of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::metrics::CONTENT_TYPE;
use crate::dispatch::Dispatcher;
use crate::listen::accept;

/// How long a client may take to say what it wants.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the metrics over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    listener: TcpListener,
    dispatcher: Arc<Dispatcher>,
    connections: TaskTracker,
}

impl MetricsServer {
    pub(crate) fn new(listener: TcpListener, dispatcher: Arc<Dispatcher>) -> Self {
        Self { listener, dispatcher, connections: TaskTracker::new() }
    }

    /// Serves for as long as it is polled; connections end with the runtime.
    pub(crate) async fn run(&self) {
        loop {
            let stream = accept(&self.listener).await;
            let dispatcher = Arc::clone(&self.dispatcher);
            let answer = service_fn(move |request| {
                let response = answer(&dispatcher, &request);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer);
            self.connections.spawn(async move {
                // A scraper that goes away in the middle is no news.
                let _ = connection.await;
            });
        }
    }
}

fn answer(dispatcher: &Dispatcher, request: &Request<Incoming>) -> Response<String> {
    let found = request.uri().path() == "/metrics";
    let (status, kind, text) = match (found, request.method()) {
        (true, &Method::GET | &Method::HEAD) => (
            StatusCode::OK,
            CONTENT_TYPE,
            super::render(
                dispatcher.snapshot(),
                Arc::clone(dispatcher.objects()),
                dispatcher.replicas().cloned(),
            ),
        ),
        (true, _) => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        (false, _) => (StatusCode::NOT_FOUND, "text/plain", "the metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
