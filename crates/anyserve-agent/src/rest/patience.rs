//! How long a client may take over a connection.
//!
//! hyper's own time limit for heads runs while a connection is idle too, and it has none for clients that do not take
//! their responses.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// From a request's first byte, or the start of the connection, to the end of its head.
const HEAD: Duration = Duration::from_secs(10);
/// Between two requests.
const IDLE: Duration = Duration::from_secs(75);
/// For a client that takes nothing of a response.
const STALLED: Duration = Duration::from_secs(60);

const HEADING: u8 = 0;
const BUSY: u8 = 1;
const BETWEEN: u8 = 2;

/// What happens on a connection: whoever serves it says so, and its stream looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// A request is being served, whose body has time limits of its own.
    pub(super) fn busy(&self) {
        self.set(BUSY);
    }

    /// Its response has been handed over.
    pub(super) fn done(&self) {
        self.set(BETWEEN);
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that fails when its client takes too long.
#[derive(Debug)]
pub(super) struct Patient {
    stream: TcpStream,
    phase: Phase,
    /// Runs in one phase, while nothing comes.
    reading: Option<(u8, Pin<Box<Sleep>>)>,
    /// Runs while nothing is taken.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, phase: Phase) -> Self {
        Self { stream, phase, reading: None, writing: None }
    }

    /// Nothing came: fails if that has lasted too long.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.phase.get();
        let limit = match phase {
            HEADING => HEAD,
            BETWEEN => IDLE,
            _ => {
                self.reading = None;
                return Poll::Pending;
            }
        };
        let mut running = self.reading.take().filter(|(of, _)| *of == phase);
        let (_, sleep) = running.get_or_insert_with(|| (phase, Box::pin(tokio::time::sleep(limit))));
        let over = sleep.as_mut().poll(context);
        self.reading = running;
        ready!(over);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sent no request in time")))
    }

    /// The client took something, or it is asked to later.
    fn check_taken(&mut self, context: &mut Context<'_>, taken: bool) -> Poll<io::Error> {
        if taken {
            self.writing = None;
            return Poll::Pending;
        }
        let sleep = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client did not take its response in time"))
    }

    fn taken<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.check_taken(context, written.is_ready()) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => written,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) else {
            return this.poll_patience(context);
        };
        if this.phase.get() == BETWEEN {
            this.phase.set(HEADING);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.taken(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.taken(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    /// Both ends of a connection, the first one with patience.
    async fn connection() -> (Patient, TcpStream, Phase) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let phase = Phase::default();
        (Patient::new(accepted.unwrap().0, phase.clone()), client.unwrap(), phase)
    }

    /// Time runs as soon as nothing else does.
    fn run_without_waiting(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(test);
    }

    async fn read_times_out(stream: &mut Patient) -> Duration {
        let began = Instant::now();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    #[test]
    fn a_head_has_less_time_than_the_next_request() {
        run_without_waiting(async {
            let (mut stream, client, phase) = connection().await;
            assert!(read_times_out(&mut stream).await.abs_diff(HEAD) < Duration::from_millis(10));
            phase.busy();
            phase.done();
            assert!(read_times_out(&mut stream).await.abs_diff(IDLE) < Duration::from_millis(10));
            drop(client);
        });
    }

    #[test]
    fn a_first_byte_begins_a_head() {
        run_without_waiting(async {
            let (mut stream, mut client, phase) = connection().await;
            phase.done();
            client.write_all(b"P").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'P');
            assert!(read_times_out(&mut stream).await.abs_diff(HEAD) < Duration::from_millis(10));
        });
    }

    #[test]
    fn a_busy_connection_has_all_the_time_there_is() {
        run_without_waiting(async {
            let (mut stream, client, phase) = connection().await;
            phase.busy();
            let read = tokio::time::timeout(IDLE * 10, stream.read_u8()).await;
            assert!(read.is_err());
            drop(client);
            assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        run_without_waiting(async {
            let (mut stream, client, phase) = connection().await;
            phase.busy();
            let error = stream.write_all(&vec![0; 64 << 20]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(client);
        });
    }
}
