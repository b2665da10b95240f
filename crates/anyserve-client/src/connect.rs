//! Connections whose small writes leave together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Connects to the host and port of a URI.
pub(crate) async fn connect(uri: Uri) -> io::Result<Corked> {
    let host = uri.host().unwrap_or_default();
    // An IPv6 address stands in brackets there, and nowhere else.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    // Requests are small and awaited: the system is not to wait for more to send.
    stream.set_nodelay(true)?;
    Ok(Corked { stream: TokioIo::new(stream), due: false })
}

/// A connection that waits with each write until all tasks that are ready had their turn.
///
/// The headers of a request and its message come from two tasks. Written one by one, they are two packets, and the server
/// is woken twice.
#[derive(Debug)]
pub(crate) struct Corked {
    stream: TokioIo<TcpStream>,
    /// The others had their turn since the last flush.
    due: bool,
}

impl Corked {
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.due, true) {
            return Poll::Ready(());
        }
        // Behind all that are ready. `yield_now` would put this off too, but what it puts off is forgotten where the
        // runtime changes hands (see `blocking`).
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Read for Corked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Corked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_due(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_due(context));
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.due = false;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
