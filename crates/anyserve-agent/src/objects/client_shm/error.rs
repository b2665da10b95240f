//! Why a client's shared memory cannot be used.

use anyserve_proto::worker::failure::Kind;
use tonic::{Code, Status};

/// Why a client's shared memory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientShmError {
    #[error("clients may not pass shared memory here: start the agent with --allow-client-shm")]
    NotAllowed,
    #[error("no shared memory region is registered by the name '{0}'")]
    Unknown(String),
    #[error("a shared memory region is registered by the name '{0}' already")]
    Exists(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    TooMuch(String),
    #[error("the file of shared memory region '{region}' is smaller than when it was registered")]
    Shrunk { region: String },
    #[error("its contents were in shared memory of a client, whose file has become smaller")]
    Gone,
    #[error("shared memory region '{region}': {what}")]
    System { region: String, what: String },
}

impl ClientShmError {
    /// What the system said when a region was read or written.
    pub(super) fn system(region: &str, error: &std::io::Error) -> Self {
        match error.kind() {
            // Nothing is behind a part of it any more.
            std::io::ErrorKind::UnexpectedEof => Self::Shrunk { region: region.to_owned() },
            // What is written was another client's memory.
            _ if error.raw_os_error() == Some(rustix::io::Errno::FAULT.raw_os_error()) => Self::Gone,
            _ => Self::System { region: region.to_owned(), what: error.to_string() },
        }
    }

    /// What becomes of a request that speaks of the memory.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NotAllowed => Kind::PermissionDenied,
            Self::Unknown(_) => Kind::NotFound,
            Self::Exists(_) | Self::Invalid(_) | Self::Shrunk { .. } => Kind::InvalidArgument,
            Self::TooMuch(_) => Kind::ResourceExhausted,
            Self::Gone => Kind::Unavailable,
            Self::System { .. } => Kind::Internal,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::NotAllowed => Code::PermissionDenied,
            Self::Unknown(_) => Code::NotFound,
            Self::Exists(_) => Code::AlreadyExists,
            Self::Invalid(_) | Self::Shrunk { .. } => Code::InvalidArgument,
            Self::TooMuch(_) => Code::ResourceExhausted,
            Self::Gone => Code::Unavailable,
            Self::System { .. } => Code::Internal,
        }
    }
}

impl From<ClientShmError> for Status {
    fn from(error: ClientShmError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
