//! What a client hears of what went wrong: the error table's statuses of HTTP.

use std::time::Duration;

use anyserve_proto::rest::{RestError, documents};
use http::{HeaderValue, Method, Response, StatusCode, header};
use tonic::{Code, Status};

use super::answer::{Answer, json};
use crate::failure::Failure;

/// Why a request has no other answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// As over gRPC.
    Status(Status),
    /// There is no such path.
    NoPath(String),
    /// It is called otherwise.
    Method { used: Method, allowed: Method },
    /// It is larger than anything may be.
    TooLarge(usize),
    /// It did not come in time.
    TooSlow(Duration),
    /// It is compressed by something else.
    Encoding(String),
    /// There is no room for it now.
    NoRoom { held: u64, limit: u64 },
    /// It is not what it should be.
    Invalid(String),
    /// The model is not ready, or, if none is named, the server.
    NotReady(Option<String>),
    /// The connection broke.
    Gone,
}

impl Refusal {
    /// The answer that says so.
    pub(super) fn into_response(self) -> Response<Answer> {
        let status = self.status();
        let mut response = json(documents::error(&self.message()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        match &self {
            Self::Method { allowed, .. } => {
                let allowed = if allowed == Method::GET { "GET, HEAD" } else { "POST" };
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Encoding(_) => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
            }
            Self::Status(status) => {
                if let Some(after) = status.metadata().get("retry-after-ms") {
                    let millis = after.to_str().ok().and_then(|text| text.parse().ok());
                    retry_after(headers, Duration::from_millis(millis.unwrap_or(0)));
                }
            }
            Self::NoRoom { .. } => retry_after(headers, Duration::from_millis(100)),
            Self::TooLarge(_) | Self::TooSlow(_) | Self::Gone => {
                // What is left of it is not read.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Status(status) => of_code(status.code()),
            Self::NoPath(_) => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoRoom { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Invalid(_) | Self::Gone => StatusCode::BAD_REQUEST,
            Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Status(status) => status.message().to_owned(),
            Self::NoPath(path) => {
                format!("there is nothing at {path}; paths are such as /v2/models/MODEL/infer")
            }
            Self::Method { used, allowed } => format!("{used} is not for this path, {allowed} is"),
            Self::TooLarge(limit) => {
                format!("the request is over the limit of {limit} bytes; raise it with --max-message-size")
            }
            Self::TooSlow(limit) => format!("nothing came of the request's body for {limit:?}"),
            Self::Encoding(encoding) => {
                format!("content encoding '{encoding}' is not supported; send gzip, deflate or none")
            }
            Self::NoRoom { held, limit } => format!(
                "requests that are being read hold {held} bytes; with this one, that is over {limit} (--max-queue-bytes)"
            ),
            Self::Invalid(message) => message.clone(),
            Self::NotReady(Some(name)) => format!("model '{name}' is not ready"),
            Self::NotReady(None) => "no worker is ready".to_owned(),
            Self::Gone => "the body ended early".to_owned(),
        }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Status(failure.into())
    }
}

impl From<RestError> for Refusal {
    fn from(error: RestError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The status of HTTP for one of gRPC.
fn of_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // As nginx has it, for a client that is not there to see it.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// In whole seconds, as HTTP has it, and in milliseconds, as over gRPC.
fn retry_after(headers: &mut http::HeaderMap, after: Duration) {
    let seconds = after.as_millis().div_ceil(1000).max(1);
    let value = |number: u128| HeaderValue::from(u64::try_from(number).unwrap_or(u64::MAX));
    headers.insert(header::RETRY_AFTER, value(seconds));
    headers.insert("retry-after-ms", value(after.as_millis()));
}
