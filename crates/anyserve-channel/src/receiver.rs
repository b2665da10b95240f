//! The reading half.

use std::io::ErrorKind;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::net::UnixStream;

use crate::{ChannelError, frame};

/// How much room the first read of a frame has.
const READ_SIZE: usize = 32 * 1024;

/// Yields the messages of the other end, each with its payload.
#[derive(Debug)]
pub struct Receiver<M> {
    stream: Arc<UnixStream>,
    buffer: BytesMut,
    max_frame_size: u64,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Receiver<M> {
    pub(crate) fn new(stream: Arc<UnixStream>, max_frame_size: u64) -> Self {
        Self { stream, buffer: BytesMut::new(), max_frame_size, message: PhantomData }
    }

    /// The next message and its payload; none once the other end has closed. Safe to cancel.
    pub async fn receive(&mut self) -> Result<Option<(M, Bytes)>, ChannelError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            self.make_room();
            self.stream.readable().await?;
            match self.read()? {
                Some(0) if self.buffer.is_empty() => return Ok(None),
                Some(0) => return Err(ChannelError::Truncated),
                Some(_) | None => {}
            }
        }
    }

    /// The next message if all of it is there; the second none means that the other end has closed. Never waits, but
    /// the runtime must have had the time to see that the socket is readable.
    pub fn try_receive(&mut self) -> Result<Option<Option<(M, Bytes)>>, ChannelError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(Some(frame)));
            }
            self.make_room();
            match self.read()? {
                Some(0) if self.buffer.is_empty() => return Ok(Some(None)),
                Some(0) => return Err(ChannelError::Truncated),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next message if it has arrived with an earlier one: no I/O.
    pub fn buffered(&mut self) -> Result<Option<(M, Bytes)>, ChannelError> {
        frame::decode(&mut self.buffer, self.max_frame_size)
    }

    /// Reads what is there; none if that is nothing.
    fn read(&mut self) -> Result<Option<usize>, ChannelError> {
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            // A peer that died with unread data resets the connection: for us, it closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.buffer.clear();
                Ok(Some(0))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes room to read into, without ever moving a large frame that is half there.
    fn make_room(&mut self) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room == 0 || (self.buffer.is_empty() && room < READ_SIZE / 4) {
            self.buffer.reserve(READ_SIZE);
        }
    }
}
