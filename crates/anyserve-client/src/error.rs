//! Why calls fail, and whether the request may have been begun by then.

use std::error::Error as StdError;
use std::time::Duration;

use anyserve_core::CapabilityError;
use anyserve_proto::metadata::NOT_BEGUN;
use anyserve_proto::tensor::RequestError;
use tonic::{Code, ConnectError, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The endpoint is not an address.
    #[error("endpoint '{0}' is not HOST:PORT or http://HOST:PORT")]
    Endpoint(String),
    /// A header has a name or a value that cannot be sent.
    #[error("header '{0}' cannot be sent: names are of a-z, 0-9, '-', '_' and '.', values of visible ASCII")]
    Header(String),
    /// The request's own pairs are no query.
    #[error(transparent)]
    Capability(CapabilityError),
    /// No replica offers what the request wants. The text says what was wanted, and what there is.
    #[error("{0}")]
    NoReplica(String),
    /// It is not known yet which replicas there are, because the registry does not say.
    #[error(
        "the registry at {place} has not said within {waited:?} which replicas there are; is it running?"
    )]
    NoRegistry {
        /// Where it should be.
        place: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The server could not be reached: it has not heard of the request.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable {
        /// Where the server should be.
        endpoint: String,
        /// What the transport said.
        reason: String,
    },
    /// The connection broke while the request was under way: it may have been begun, or done.
    #[error("cannot reach {endpoint}: the connection broke while the request was under way: {reason}")]
    Lost {
        /// Where the server is, or was.
        endpoint: String,
        /// What the transport said.
        reason: String,
    },
    /// The agent shares no memory with this process.
    #[error("{endpoint} shares no memory with this process: {reason}")]
    NoSharedMemory {
        /// Where the agent should be.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{}", .0.message())]
    Status(Status),
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The server's response is not well formed.
    #[error("the response is not well formed: {0}")]
    Response(#[from] RequestError),
}

impl ClientError {
    /// What a status says that came out of the transport or from the server at `endpoint`.
    pub(crate) fn of(status: Status, endpoint: &str, timeout: Option<Duration>) -> Self {
        let Some(source) = status.source() else { return Self::Status(status) };
        match (status.code(), timeout) {
            // The transport keeps the deadline too, and calls that a cancellation.
            (Code::Cancelled, Some(limit)) => Self::Timeout(limit),
            // A status with a source is the transport's, not the server's.
            (Code::Unavailable | Code::Unknown, _) => {
                let (endpoint, reason) = (endpoint.to_owned(), root_cause(source));
                if causes(source).any(was_not_sent) {
                    Self::Unreachable { endpoint, reason }
                } else {
                    Self::Lost { endpoint, reason }
                }
            }
            _ => Self::Status(status),
        }
    }

    /// True if the request cannot have been begun: sending it to another server does nothing twice.
    pub fn is_not_begun(&self) -> bool {
        match self {
            Self::Endpoint(_)
            | Self::Header(_)
            | Self::Capability(_)
            | Self::NoReplica(_)
            | Self::NoRegistry { .. }
            | Self::Unreachable { .. }
            | Self::NoSharedMemory { .. } => true,
            Self::Status(status) => status.metadata().contains_key(NOT_BEGUN),
            Self::Lost { .. } | Self::Timeout(_) | Self::Response(_) => false,
        }
    }
}

/// True if this error of the transport means that the server did not get the request, or put it back unread.
fn was_not_sent(error: &(dyn StdError + 'static)) -> bool {
    if error.is::<ConnectError>() {
        return true;
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_canceled() || error.is_closed();
    }
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        // With that reason, GOAWAY reaches only the requests that the server says it has not taken.
        let gone = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (refused || gone)
    })
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

/// The innermost reason: what the system said.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}
