//! The control channel between an agent and one of its workers: framed protobuf messages over a Unix stream socket.
//!
//! Both ends use the same two halves: a [`Sender`] that writes from whatever thread has something to say, and a
//! [`Receiver`] that yields whole messages. The layout of a frame stands in `proto/worker.proto`.

mod frame;
mod receiver;
mod sender;

use std::sync::Arc;

use tokio::net::UnixStream;

pub use frame::{Payload, framed_size, split_payload};
pub use receiver::Receiver;
pub use sender::Sender;

/// Set for a process that is a worker: its standard input is the channel's socket.
pub const WORKER_VARIABLE: &str = "ANYSERVE_WORKER";

/// The path of the file in which a worker notes the sequence number of the assignment it started last: 8 bytes,
/// little-endian. The agent reads it after the worker's death, to know what had not been started.
pub const CLAIM_FILE_VARIABLE: &str = "ANYSERVE_CLAIM_FILE";

/// The environment variable that holds the indices of the worker's GPUs, such as `0,1`; absent if it has none.
pub const GPUS_VARIABLE: &str = "ANYSERVE_GPUS";

/// Contents up to this size go with the message they belong to; a larger one goes by itself, so that it need not be
/// copied.
pub const INLINE_LIMIT: usize = 8 * 1024;

/// How much larger than the largest message a frame may be: for lengths and padding.
pub const FRAME_OVERHEAD: u64 = 1 << 20;

/// Why a channel cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed.
    #[error("the worker channel broke")]
    Io(#[from] std::io::Error),
    /// The other end closed in the middle of a frame.
    #[error("the worker channel ended in the middle of a frame")]
    Truncated,
    /// A frame is larger than either end may send.
    #[error("a frame of {found} bytes is over the limit of {limit}")]
    TooLarge {
        /// What the frame's head claims.
        found: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The message is not valid protobuf.
    #[error("a frame holds no valid message")]
    Malformed(#[from] prost::DecodeError),
    /// The payload does not add up to the sizes that the message gives.
    #[error("a payload of {found} bytes does not match the {claimed} bytes that its message claims")]
    PayloadSize {
        /// The length of the payload.
        found: u64,
        /// The sum of the sizes.
        claimed: u64,
    },
}

/// The two halves of a channel; frames over `max_frame_size` bytes are refused.
pub fn split<M: prost::Message + Default>(stream: UnixStream, max_frame_size: u64) -> (Sender, Receiver<M>) {
    let stream = Arc::new(stream);
    (Sender::new(Arc::clone(&stream)), Receiver::new(stream, max_frame_size))
}
