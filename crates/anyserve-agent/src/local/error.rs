//! Why a connection of a client is ended.

use std::net::SocketAddr;

use anyserve_channel::ChannelError;
use anyserve_proto::LOCAL_PROTOCOL_VERSION;
use anyserve_proto::worker::failure::Kind;

use crate::objects::PlacementError;

/// Why a connection of a client is ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hangup {
    /// Only the agent's own user may look at its memory.
    #[error("user {found} may not share memory with an agent of user {expected}")]
    Stranger { found: u32, expected: u32 },
    #[error("{most} clients share memory with this agent already, as many as may")]
    Full { most: usize },
    #[error(
        "the client speaks version {found} of this protocol, and the agent version {LOCAL_PROTOCOL_VERSION}"
    )]
    Version { found: u32 },
    #[error("the agent of this user listens at {here}, not at {asked}")]
    Elsewhere { here: SocketAddr, asked: String },
    #[error("the client did not say hello in time")]
    Silent,
    #[error("the client said what it may not say there")]
    OutOfTurn,
    #[error("{0}")]
    Channel(#[from] ChannelError),
    #[error("the client broke the protocol: {0}")]
    Placement(#[from] PlacementError),
}

impl Hangup {
    /// What the client hears of it.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Stranger { .. } => Kind::PermissionDenied,
            Self::Full { .. } => Kind::ResourceExhausted,
            Self::Version { .. } | Self::Elsewhere { .. } => Kind::FailedPrecondition,
            Self::Silent => Kind::DeadlineExceeded,
            Self::OutOfTurn | Self::Channel(_) | Self::Placement(_) => Kind::InvalidArgument,
        }
    }
}
