//! How a request can fail, and what the client hears of it: one row of the error table each.

use std::time::Duration;

use anyserve_core::CapabilityError;
use anyserve_proto::tensor::RequestError;
use anyserve_proto::worker::failure::Kind;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// When a refused client may try again, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Tensor(#[from] RequestError),
    #[error("{0}")]
    Capability(#[from] CapabilityError),
    #[error("the request names no capability; give a model name, cap.* parameters or x-cap-* metadata")]
    NoCapability,
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NoMatch(String),
    #[error("{0} requests are waiting already, as many as may (--max-queue-size)")]
    QueueFull(usize),
    #[error("the deadline passed after {0:?}")]
    Deadline(Duration),
    #[error("the handler ran longer than its timeout of {0:?}; its worker is restarted")]
    Hung(Duration),
    #[error("the worker that ran the request is gone: {0}")]
    WorkerLost(String),
    #[error("{message}")]
    Handler { kind: Kind, message: String, retry_after: Option<Duration> },
    #[error("the server is shutting down")]
    Draining,
    #[error("the server is starting: no worker is ready yet")]
    Starting,
}

/// The longest error message that is sent: gRPC clients take 8 KiB of headers, and escaping may triple a message.
const LONGEST_MESSAGE: usize = 2048;

impl Failure {
    /// When the client may try again.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Handler { retry_after, .. } => *retry_after,
            Self::QueueFull(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Tensor(_) | Self::Capability(_) | Self::NoCapability | Self::Invalid(_) => {
                Code::InvalidArgument
            }
            Self::NoMatch(_) => Code::NotFound,
            Self::QueueFull(_) => Code::ResourceExhausted,
            Self::Deadline(_) | Self::Hung(_) => Code::DeadlineExceeded,
            Self::WorkerLost(_) | Self::Draining | Self::Starting => Code::Unavailable,
            Self::Handler { kind, .. } => match kind {
                Kind::Internal => Code::Internal,
                Kind::InvalidArgument => Code::InvalidArgument,
                Kind::NotFound => Code::NotFound,
                Kind::ResourceExhausted => Code::ResourceExhausted,
                Kind::DeadlineExceeded => Code::DeadlineExceeded,
                Kind::Unavailable => Code::Unavailable,
                Kind::Unimplemented => Code::Unimplemented,
                Kind::PermissionDenied => Code::PermissionDenied,
                Kind::Unauthenticated => Code::Unauthenticated,
            },
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut status = Self::new(failure.code(), shortened(failure.to_string()));
        if let Some(after) = failure.retry_after() {
            let after = MetadataValue::from(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            status.metadata_mut().insert("retry-after-ms", after);
        }
        status
    }
}

/// The message as far as it may go.
fn shortened(message: String) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    let end = (0..=LONGEST_MESSAGE).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    format!("{}... ({} bytes more)", &message[..end], message.len() - end)
}
