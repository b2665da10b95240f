//! What the HTTP/2 connections of this agent have in common, whoever opened them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio_util::task::TaskTracker;

use crate::ingress::Corked;

/// Flow-control windows: a message of 1 MiB arrives without waiting for a window update.
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;
/// The largest HTTP/2 frame that the other end may send; larger frames mean fewer of them.
pub(crate) const MAX_FRAME_SIZE: u32 = 1 << 20;
/// How much of a message may be buffered for a stream whose other end reads slowly.
pub(crate) const SEND_BUFFER: usize = 2 << 20;

/// Runs what a connection needs as tasks that somebody owns.
#[derive(Clone, Debug)]
pub(crate) struct Executor(pub(crate) TaskTracker);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Runs a connection over `io` to its end. `before` is called in each turn before the connection is.
pub(crate) async fn run<C, E>(
    connection: C,
    io: Corked,
    mut before: impl FnMut(std::pin::Pin<&mut C>, &mut std::task::Context<'_>),
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    C: Future<Output = Result<(), E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    poll_fn(|context| {
        before(connection.as_mut(), context);
        let polled = connection.as_mut().poll(context);
        // Whatever the connection wrote in this turn leaves in one piece.
        match io.poll_uncork(context) {
            Poll::Ready(Err(error)) if polled.is_pending() => Poll::Ready(Err(error.into())),
            _ => polled.map_err(Into::into),
        }
    })
    .await
}
