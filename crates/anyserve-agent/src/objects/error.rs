//! Why an object could not be made, found or brought.

use std::time::Duration;

use anyserve_core::ObjectId;
use anyserve_core::object::ReferenceError;
use anyserve_proto::tensor::TensorError;
use anyserve_proto::worker::failure::Kind;
use anyserve_shm::{AllocateError, Exhausted};

use super::client_shm::ClientShmError;

/// Why an object could not be made, found or brought.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("object {0} is not there: it was deleted, has expired, made room for others, or never was")]
    Unknown(ObjectId),
    #[error("no object goes by the key '{0}'")]
    NoKey(String),
    #[error("{0}")]
    Reference(#[from] ReferenceError),
    #[error("the reference to object {id} gives {claimed} bytes, but the object has {size}")]
    WrongSize { id: ObjectId, claimed: u64, size: u64 },
    #[error("{0}")]
    Tensor(#[from] TensorError),
    #[error("{0}")]
    Invalid(String),
    #[error("the object store is full: {0} (--object-store-size)")]
    Full(String),
    #[error(
        "pinned objects may take {limit} bytes together, half of the object store, and have {pinned}; with {asked} \
         more that is too many"
    )]
    PinQuota { asked: u64, pinned: u64, limit: u64 },
    #[error("{0}")]
    Pull(String, Kind),
    #[error("object {0} is lost: it cannot be read from the spill file: {1}")]
    Lost(ObjectId, String),
    #[error("object {0} did not come within {1:?}")]
    Late(ObjectId, Duration),
    #[error("{0}")]
    ClientShm(#[from] ClientShmError),
}

impl ObjectError {
    /// What clients and handlers hear of it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Unknown(_) | Self::NoKey(_) | Self::Lost(..) => Kind::NotFound,
            Self::Reference(_) | Self::WrongSize { .. } | Self::Tensor(_) | Self::Invalid(_) => {
                Kind::InvalidArgument
            }
            Self::Full(_) | Self::PinQuota { .. } => Kind::ResourceExhausted,
            Self::Pull(_, kind) => *kind,
            Self::Late(..) => Kind::DeadlineExceeded,
            Self::ClientShm(error) => error.kind(),
        }
    }
}

impl From<AllocateError> for ObjectError {
    fn from(error: AllocateError) -> Self {
        Self::Full(match error {
            AllocateError::System { asked, source } => {
                format!("the system gave no memory for {asked} bytes: {source}")
            }
            error => error.to_string(),
        })
    }
}

impl From<Exhausted> for ObjectError {
    fn from(error: Exhausted) -> Self {
        Self::Full(error.to_string())
    }
}
