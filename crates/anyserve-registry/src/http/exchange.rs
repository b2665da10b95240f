//! One request and its response, over a connection of its own: they are seconds apart.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::place::Place;
use crate::error::RegistryError;

/// How long a request may take from connecting to its whole answer; for a stream of events, to its beginning.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 10;
/// The longest error that is shown, in characters.
const LONGEST_ERROR: usize = 500;

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// A response whose body is still to come.
pub(super) struct Opened {
    pub(super) response: Response<Incoming>,
    /// Drives the connection for as long as the body is read.
    pub(super) connection: AbortOnDropHandle<()>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl Answer {
    /// What went wrong, of an answer that says so.
    pub(super) fn error(&self) -> String {
        match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(body) => body.error.chars().take(LONGEST_ERROR).collect(),
            Err(_) => format!("HTTP status {}", self.status),
        }
    }
}

/// Asks, and reads the whole answer.
pub(super) async fn ask(
    place: &Place,
    method: &Method,
    path: &str,
    body: String,
) -> Result<Answer, RegistryError> {
    let exchange = async {
        let opened = open(place, method, path, body).await?;
        let status = opened.response.status();
        let body = Limited::new(opened.response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| unreachable(place, &*error))?.to_bytes();
        Ok(Answer { status, body })
    };
    within(place, exchange).await
}

/// Asks, and waits for the beginning of the answer.
pub(super) async fn begin(place: &Place, path: &str) -> Result<Opened, RegistryError> {
    within(place, open(place, &Method::GET, path, String::new())).await
}

async fn within<T>(
    place: &Place,
    exchange: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let silent = |_| RegistryError::Unreachable {
        place: place.to_string(),
        reason: format!("no answer within {TIMEOUT:?}"),
    };
    tokio::time::timeout(TIMEOUT, exchange).await.map_err(silent)?
}

async fn open(place: &Place, method: &Method, path: &str, body: String) -> Result<Opened, RegistryError> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
    let stream = stream.map_err(|error| unreachable(place, &error))?;
    // Without it, all works, but slower.
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(place, &error))?;
    let connection = tokio::spawn(async move {
        // Whoever reads the response hears of it.
        let _ = connection.await;
    });
    let connection = AbortOnDropHandle::new(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, place.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("anyserve/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)))
        .expect("paths are encoded, and places checked");
    let response = sender.send_request(request).await.map_err(|error| unreachable(place, &error))?;
    Ok(Opened { response, connection })
}

pub(super) fn unreachable(place: &Place, error: &(dyn Error + 'static)) -> RegistryError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    RegistryError::Unreachable { place: place.to_string(), reason }
}
