//! How a request can fail, and what the client hears of it: one row of the error table each.

use std::time::Duration;

use crate::objects::{ObjectError, ResolveError};
use anyserve_core::scheduler::{Rejection, RequestId};
use anyserve_core::{Capability, CapabilityError, Catalog, Query};
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::metadata::NOT_BEGUN;
use anyserve_proto::tensor::RequestError;
use anyserve_proto::worker::failure::Kind;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Tensor(#[from] RequestError),
    #[error("{0}")]
    Capability(#[from] CapabilityError),
    #[error("{message}")]
    Object { kind: Kind, message: String },
    #[error("the request names no capability; give a model name, cap.* parameters or x-cap-* metadata")]
    NoCapability,
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NoMatch(String),
    #[error("{message}")]
    Elsewhere { code: Code, message: String, retry_after: Option<Duration>, begun: bool },
    #[error("{0}")]
    StreamOnly(String),
    #[error("{0}")]
    Refused(String, Duration),
    #[error(
        "requests and responses under way hold {held} bytes; with this one, that is over {limit} (--max-queue-bytes)"
    )]
    MemoryFull { held: u64, limit: u64 },
    #[error(
        "{asked} bytes of tensors found no room in the object store: {free} of {limit} are free (--object-store-size)"
    )]
    ArenaFull { asked: u64, free: u64, limit: u64 },
    #[error("{0}")]
    PredictedMiss(String, Duration),
    #[error("the deadline had passed when the request came")]
    DeadlinePassed,
    #[error("the deadline passed after {0:?}")]
    Deadline(Duration),
    #[error("the handler ran longer than its timeout of {0:?}; its worker is restarted")]
    Hung(Duration),
    #[error("the handler ran longer than its timeout of {0:?}, and was told to give up")]
    Overrun(Duration),
    #[error("the client is gone")]
    ClientGone,
    #[error("the worker that ran the request is gone: {0}")]
    WorkerLost(String),
    #[error("nobody waits any longer for the request that made the call")]
    CallerGone,
    #[error("the deadline of the request that made the call has passed")]
    CallerLate,
    #[error("{0} calls of this worker are under way already, as many as may be")]
    TooManyCalls(usize),
    #[error(
        "the call of {capability} can never run: it is for {pools}, and whoever has these slots waits for a call, \
         directly or indirectly this one; give the pool more workers (max) or more concurrency"
    )]
    Circle { capability: String, pools: String },
    #[error("{message}")]
    Handler { kind: Kind, message: String, retry_after: Option<Duration> },
    #[error("pool '{pool}' cannot start a worker, and tries again in {again_in:?}: {failure}")]
    PoolFailed { pool: String, failure: String, again_in: Duration },
    #[error("pool '{pool}' goes, and cannot start a worker for what still waits: {failure}")]
    PoolGone { pool: String, failure: String },
    #[error("pool '{0}' was drained, and takes no requests until it is scaled or loaded")]
    PoolDrained(String),
    #[error("nothing serves the request any more, as it was sent; served here, some as streams only: {0}")]
    NoLongerServed(String),
    #[error("clients may not load or unload here (--no-model-control)")]
    NoModelControl,
    #[error("the server is shutting down")]
    Draining,
    #[error("the server is shutting down, and the request had not ended in time")]
    CutOff,
    #[error("the server is starting: no worker is ready yet")]
    Starting,
}

/// When a client may try again that was refused for want of memory; how soon others end is not known.
const MEMORY_RETRY: Duration = Duration::from_millis(100);

/// The longest error message that is sent: gRPC clients take 8 KiB of headers, and escaping may triple a message.
const LONGEST_MESSAGE: usize = 2048;

impl Failure {
    /// What the client hears of a request that was not queued.
    pub(crate) fn rejected(rejection: Rejection, query: &Query, catalog: &Catalog) -> Self {
        let reason = rejection.to_string();
        match rejection {
            Rejection::NoMatch => Self::NoMatch(catalog.explain_no_match(query)),
            Rejection::StreamOnly(capability) => Self::stream_only(&capability),
            Rejection::QueueFull { limit, capability: Some(capability), retry_after } => Self::Refused(
                format!(
                    "{limit} requests are waiting for {capability} already, as many as may (max_queue_size)"
                ),
                retry_after,
            ),
            Rejection::QueueFull { retry_after, .. } => {
                Self::Refused(format!("{reason} (--max-queue-size)"), retry_after)
            }
            Rejection::PredictedMiss { retry_after, .. } => Self::PredictedMiss(reason, retry_after),
            Rejection::DeadlinePassed => Self::DeadlinePassed,
        }
    }

    /// What the client hears that takes one response of a capability which has many.
    pub(crate) fn stream_only(capability: &Capability) -> Self {
        Self::StreamOnly(format!(
            "{capability} streams its responses: call it by ModelStreamInfer (client.stream; generate_stream over REST), not ModelInfer"
        ))
    }

    /// What a call hears whose caller was given up for that reason.
    pub(crate) fn of_caller(failure: &Self) -> Self {
        match failure.code() {
            Code::DeadlineExceeded => Self::CallerLate,
            _ => Self::CallerGone,
        }
    }

    /// Why it was not accepted, as the metrics call it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoMatch(_) => "no_match",
            Self::StreamOnly(_) => "stream_only",
            Self::Refused(..) | Self::MemoryFull { .. } => "queue_full",
            Self::ArenaFull { .. } => "store_full",
            Self::PredictedMiss(..) => "predicted_miss",
            Self::DeadlinePassed => "deadline_passed",
            Self::Draining => "draining",
            Self::PoolFailed { .. } => "start_failed",
            Self::PoolDrained(_) => "pool_drained",
            Self::Starting => "starting",
            _ => "invalid",
        }
    }

    /// How a request ended, as the metrics call it: the status in lower case.
    pub(crate) fn outcome(&self) -> &'static str {
        outcome(self.code())
    }

    /// One line for a request that was accepted and failed. That a client has left is no news.
    pub(crate) fn log(&self, request: &ModelInferRequest, id: RequestId) {
        // As plain strings: text quotes them, and JSON has them as they are.
        let (given, model) = (shortened(request.id.clone()), shortened(request.model_name.clone()));
        let (client_id, model, outcome) = (given.as_str(), model.as_str(), self.outcome());
        if matches!(self, Self::ClientGone) {
            tracing::debug!(request = id.0, id = client_id, model, outcome, "the client is gone");
        } else {
            let message = one_line(&self.to_string());
            tracing::warn!(request = id.0, id = client_id, model, outcome, "request failed: {message}");
        }
    }

    /// When the client may try again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Handler { retry_after, .. } | Self::Elsewhere { retry_after, .. } => *retry_after,
            Self::Refused(_, after) | Self::PredictedMiss(_, after) => Some(*after),
            Self::MemoryFull { .. } => Some(MEMORY_RETRY),
            // What is larger than all there is never fits.
            Self::ArenaFull { asked, limit, .. } => (asked <= limit).then_some(MEMORY_RETRY),
            Self::PoolFailed { again_in, .. } => Some(*again_in),
            _ => None,
        }
    }

    /// True if nothing of the request has been done, so that it may be sent to another replica.
    pub(crate) fn is_not_begun(&self) -> bool {
        matches!(
            self,
            Self::NoMatch(_)
                | Self::Elsewhere { begun: false, .. }
                | Self::Refused(..)
                | Self::MemoryFull { .. }
                | Self::ArenaFull { .. }
                | Self::PredictedMiss(..)
                | Self::PoolFailed { .. }
                | Self::PoolDrained(_)
                | Self::Draining
                | Self::Starting
        )
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Tensor(_) | Self::Capability(_) | Self::NoCapability | Self::Invalid(_) => {
                Code::InvalidArgument
            }
            Self::NoMatch(_) | Self::NoLongerServed(_) => Code::NotFound,
            Self::StreamOnly(_) => Code::Unimplemented,
            Self::Refused(..)
            | Self::PredictedMiss(..)
            | Self::MemoryFull { .. }
            | Self::ArenaFull { .. }
            | Self::TooManyCalls(_) => Code::ResourceExhausted,
            Self::Deadline(_)
            | Self::DeadlinePassed
            | Self::Hung(_)
            | Self::Overrun(_)
            | Self::CallerLate => Code::DeadlineExceeded,
            Self::ClientGone | Self::CallerGone => Code::Cancelled,
            Self::Circle { .. } => Code::FailedPrecondition,
            Self::WorkerLost(_)
            | Self::Draining
            | Self::CutOff
            | Self::Starting
            | Self::PoolFailed { .. }
            | Self::PoolGone { .. }
            | Self::PoolDrained(_) => Code::Unavailable,
            Self::NoModelControl => Code::PermissionDenied,
            Self::Elsewhere { code, .. } => *code,
            Self::Handler { kind, .. } | Self::Object { kind, .. } => code_of(*kind),
        }
    }

    /// The same for a worker, as its handlers raise it.
    pub(crate) fn kind(&self) -> Kind {
        kind_of(self.code())
    }
}

/// How a request with that status ended, as the metrics call it: the status in lower case.
pub(crate) fn outcome(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::Unauthenticated => "unauthenticated",
        Code::AlreadyExists => "already_exists",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::DataLoss => "data_loss",
        Code::Unknown => "unknown",
    }
}

/// A status code as handlers know it.
pub(crate) fn kind_of(code: Code) -> Kind {
    KINDS.iter().find(|(_, known)| *known == code).map_or(Kind::Internal, |(kind, _)| *kind)
}

/// The codes of what workers report.
const KINDS: [(Kind, Code); 15] = [
    (Kind::Internal, Code::Internal),
    (Kind::InvalidArgument, Code::InvalidArgument),
    (Kind::NotFound, Code::NotFound),
    (Kind::ResourceExhausted, Code::ResourceExhausted),
    (Kind::DeadlineExceeded, Code::DeadlineExceeded),
    (Kind::Unavailable, Code::Unavailable),
    (Kind::Unimplemented, Code::Unimplemented),
    (Kind::PermissionDenied, Code::PermissionDenied),
    (Kind::Unauthenticated, Code::Unauthenticated),
    (Kind::Cancelled, Code::Cancelled),
    (Kind::AlreadyExists, Code::AlreadyExists),
    (Kind::FailedPrecondition, Code::FailedPrecondition),
    (Kind::Aborted, Code::Aborted),
    (Kind::OutOfRange, Code::OutOfRange),
    (Kind::DataLoss, Code::DataLoss),
];

fn code_of(kind: Kind) -> Code {
    KINDS.iter().find(|(known, _)| *known == kind).map_or(Code::Internal, |(_, code)| *code)
}

impl From<Status> for Failure {
    /// What a library says that was to send a request on.
    fn from(status: Status) -> Self {
        let (code, message) = (status.code(), status.message().to_owned());
        Self::Elsewhere { code, message, retry_after: None, begun: false }
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Self::Object { kind: error.kind(), message: error.to_string() }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Object { ref source, .. } | ResolveError::Output { ref source, .. } => {
                Self::Object { kind: source.kind(), message: error.to_string() }
            }
            ResolveError::Tensor(error) => Self::Tensor(error),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut status = Self::new(failure.code(), shortened(failure.to_string()));
        if failure.is_not_begun() {
            status.metadata_mut().insert(NOT_BEGUN, MetadataValue::from_static("true"));
        }
        if let Some(after) = failure.retry_after() {
            let after = MetadataValue::from(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            status.metadata_mut().insert("retry-after-ms", after);
        }
        status
    }
}

/// The text as it may stand in a log: of one line, without control codes, and not too long.
fn one_line(text: &str) -> String {
    let plain = |character: char| -> String {
        if character.is_control() { character.escape_default().collect() } else { character.into() }
    };
    shortened(text.chars().map(plain).collect())
}

/// The message as far as it may go.
fn shortened(message: String) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    let end = (0..=LONGEST_MESSAGE).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    format!("{}... ({} bytes more)", &message[..end], message.len() - end)
}
