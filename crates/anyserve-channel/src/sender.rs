//! The writing half: written at once where the socket has room, else by the task that drives it.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use prost::Message;
use rustix::net::SendFlags;
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

    /// Sends a message if the socket takes it at once and nothing waits before it; else the message is dropped.
    ///
    /// Waits for nothing and leaves nothing behind, so that it needs no runtime: neither one that drives the socket nor
    /// one that has seen that there is room again.
    pub fn send_or_drop(&self, message: &impl Message) {
        let Ok(pieces) = frame::encode(message, &[]) else {
            return;
        };
        let mut pending = self.lock();
        if !pending.pieces.is_empty() {
            return;
        }
        let frame: Bytes = pieces.into_iter().flatten().collect();
        // As for the other messages, it is the receiver that reports a broken channel.
        if let Ok(sent) = rustix::net::send(&self.stream, &frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            && sent < frame.len()
        {
            // The kernel takes a small frame whole or not at all; should it not, the rest must follow.
            pending.pieces.push_back(frame.slice(sent..));
        }
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

#[cfg(test)]
mod tests {
    use anyserve_proto::worker::{Heartbeat, ToAgent, ToWorker, to_agent};

    use super::*;

    fn beat() -> ToAgent {
        ToAgent { message: Some(to_agent::Message::Heartbeat(Heartbeat {})) }
    }

    fn ends() -> (Sender, crate::Receiver<ToAgent>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, _) = crate::split::<ToWorker>(ours, u64::MAX);
        (sender, crate::split(theirs, u64::MAX).1)
    }

    #[tokio::test]
    async fn what_the_socket_takes_at_once_is_sent() {
        let (sender, mut receiver) = ends();
        sender.send_or_drop(&beat());
        let (message, payload) = receiver.receive().await.unwrap().unwrap();
        assert_eq!((message, payload.len()), (beat(), 0));
    }

    #[tokio::test]
    async fn what_would_have_to_wait_is_dropped() {
        let (sender, mut receiver) = ends();
        // Nobody reads: the socket is full long before the last.
        let sent = 200_000;
        for _ in 0..sent {
            sender.send_or_drop(&beat());
        }
        assert!(!sender.has_pending());
        drop(sender);
        let mut count = 0;
        while let Some((message, _)) = receiver.receive().await.unwrap() {
            assert_eq!(message, beat());
            count += 1;
        }
        assert!((1..sent).contains(&count), "{count}");
    }

    #[tokio::test]
    async fn what_waits_already_goes_first() {
        let (sender, mut receiver) = ends();
        sender.queue(&beat(), &[Bytes::from_static(b"first")]).unwrap();
        sender.send_or_drop(&beat());
        sender.flush().await;
        drop(sender);
        let (_, payload) = receiver.receive().await.unwrap().unwrap();
        assert_eq!(payload.as_ref(), b"first");
        assert!(receiver.receive().await.unwrap().is_none());
    }
}
