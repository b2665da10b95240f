//! A connection's bytes in large pieces.
//!
//! The HTTP/2 library reads 8 KiB at a time and writes every frame, which are 16 KiB with most clients, by a system
//! call of its own: well over a hundred calls for a message of 1 MiB each way, and a wake-up of the other side for
//! most of them. Here reads fill a larger buffer when there is more to read, and writes are held back until the
//! connection has nothing more to say for now ([`Corked::poll_uncork`]). What is large already makes no detour through
//! these buffers.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// The bounds of the read buffer: it grows while reads fill it, and shrinks when they do not.
const SMALLEST_READ: usize = 8 * 1024;
const LARGEST_READ: usize = 256 * 1024;

/// What has room for so much is read into at once.
const DIRECT_READ: usize = 32 * 1024;

/// So much at once is written without being held back.
const DIRECT_WRITE: usize = 64 * 1024;

/// Writes beyond this are not held back any longer.
const LARGEST_WRITE: usize = 256 * 1024;

/// A connection whose writes are held back until it is uncorked. Clones share the connection.
#[derive(Clone, Debug)]
pub(crate) struct Corked(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    stream: TokioIo<TcpStream>,
    read: BytesMut,
    next_read: usize,
    written: BytesMut,
}

impl Corked {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (read, written) = (BytesMut::new(), BytesMut::new());
        let stream = TokioIo::new(stream);
        Self(Arc::new(Mutex::new(State { stream, read, next_read: SMALLEST_READ, written })))
    }

    /// Writes what was held back.
    pub(crate) fn poll_uncork(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_write_out(context, 0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Only the connection's own task ever takes it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes until at most `left` bytes are held back.
    fn poll_write_out(&mut self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        while self.written.len() > left {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.written))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            consume(&mut self.written, count);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is held back and these behind it; returns how many bytes of these went.
    fn poll_write_direct(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let held = self.written.len();
            let mut all = Vec::with_capacity(slices.len() + 1);
            all.push(io::IoSlice::new(&self.written));
            all.extend_from_slice(slices);
            let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &all))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            consume(&mut self.written, count.min(held));
            if count > held {
                return Poll::Ready(Ok(count - held));
            }
        }
    }

    /// Reads from the socket once, as much as the last reads suggest.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let bytes = &mut self.read;
        bytes.reserve(self.next_read);
        let polled =
            poll_read_buf(Pin::new(self.stream.inner_mut()), context, &mut bytes.limit(self.next_read));
        let count = bytes.len();
        if count == 0 {
            // Nothing there, the end, or an error: nothing to hold on to.
            *bytes = BytesMut::new();
        }
        self.next_read = match count {
            0 => self.next_read,
            full if full == self.next_read => (self.next_read * 2).min(LARGEST_READ),
            few if few < self.next_read / 4 => (self.next_read / 2).max(SMALLEST_READ),
            _ => self.next_read,
        };
        polled.map_ok(drop)
    }
}

impl Read for Corked {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.read.is_empty() {
            if cursor.remaining() >= DIRECT_READ {
                // There is a large frame to be read, and room for it: no detour.
                return Pin::new(&mut state.stream).poll_read(context, cursor);
            }
            ready!(state.poll_fill(context))?;
        }
        let count = state.read.len().min(cursor.remaining());
        cursor.put_slice(&state.read[..count]);
        consume(&mut state.read, count);
        Poll::Ready(Ok(()))
    }
}

impl Write for Corked {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.written.len() >= LARGEST_WRITE {
            ready!(state.poll_write_out(context, LARGEST_WRITE / 2))?;
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total >= DIRECT_WRITE {
            return state.poll_write_direct(context, slices);
        }
        for slice in slices {
            state.written.extend_from_slice(slice);
        }
        Poll::Ready(Ok(total))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: what is held back goes out when the connection is uncorked.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        ready!(state.poll_write_out(context, 0))?;
        Pin::new(&mut state.stream).poll_shutdown(context)
    }
}

/// Takes bytes off the front; an empty buffer holds no memory worth speaking of.
fn consume(buffer: &mut BytesMut, count: usize) {
    buffer.advance(count);
    if buffer.is_empty() && buffer.capacity() > SMALLEST_READ {
        *buffer = BytesMut::new();
    }
}
