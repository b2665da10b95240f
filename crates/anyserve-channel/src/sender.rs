//! The writing half: written at once where the socket has room, else by the task that drives it.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use prost::Message;
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::{ChannelError, frame};

/// The most pieces of one system call.
const MOST_PIECES: usize = 64;

/// Sends messages from any thread.
///
/// What the socket does not take at once is queued for [`Sender::drive`]. The queue needs no bound of its own: both
/// ends send only as much as the credits between them allow.
#[derive(Debug)]
pub struct Sender {
    stream: Arc<UnixStream>,
    pending: Mutex<Pending>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    pieces: VecDeque<Bytes>,
    /// The socket was full: the driver writes on.
    driven: bool,
    /// The other end is gone; the receiver sees that too and acts on it.
    broken: bool,
}

impl Sender {
    pub(crate) fn new(stream: Arc<UnixStream>) -> Self {
        Self { stream, pending: Mutex::default(), more: Notify::new() }
    }

    /// Sends a message with the raw contents of its tensors.
    ///
    /// A broken channel is no error here: it is the receiver that reports it, once. Fails only on a message that no
    /// frame can hold.
    pub fn send(&self, message: &impl Message, payload: &[Bytes]) -> Result<(), ChannelError> {
        self.queue(message, payload)?;
        self.write();
        Ok(())
    }

    /// The same, but leaves the writing to a later [`Self::write`]: many messages by one system call.
    pub fn queue(&self, message: &impl Message, payload: &[Bytes]) -> Result<(), ChannelError> {
        let pieces = frame::encode(message, payload)?;
        self.lock().pieces.extend(pieces);
        Ok(())
    }

    /// Writes what was queued, as far as the socket takes it.
    pub fn write(&self) {
        let mut pending = self.lock();
        if pending.driven {
            return;
        }
        pending.write(&self.stream);
        if !pending.pieces.is_empty() {
            pending.driven = true;
            self.more.notify_one();
        }
    }

    /// Writes what [`Self::send`] could not; runs beside the receiver for as long as the channel lives.
    pub async fn drive(&self) {
        loop {
            self.more.notified().await;
            self.flush().await;
        }
    }

    /// Returns once everything sent so far is with the kernel, or the channel is broken.
    pub async fn flush(&self) {
        while self.has_pending() {
            if self.stream.writable().await.is_err() {
                return;
            }
            let mut pending = self.lock();
            pending.write(&self.stream);
            pending.driven = !pending.pieces.is_empty();
        }
    }

    /// True while something sent is not with the kernel yet.
    pub fn has_pending(&self) -> bool {
        !self.lock().pieces.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Writes until the socket is full or nothing is left.
    fn write(&mut self, stream: &UnixStream) {
        if self.broken {
            self.pieces.clear();
        }
        while !self.pieces.is_empty() {
            let slices: Vec<_> =
                self.pieces.iter().take(MOST_PIECES).map(|piece| IoSlice::new(piece)).collect();
            match stream.try_write_vectored(&slices) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.broken = true;
                    self.pieces.clear();
                }
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > written {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}
