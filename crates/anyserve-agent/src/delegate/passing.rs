//! Bodies on their way: requests that go out, and responses that are passed on as they come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anyserve_core::ReplicaId;
use anyserve_core::replicas::balance::{Failure as Fault, Picked};
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;

use super::Delegate;
use super::attempt::code;
use crate::failure::outcome;
use crate::ingress::Frames;

/// A body that is all there.
#[derive(Clone, Debug)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl From<Frames> for Pieces {
    fn from(mut frames: Frames) -> Self {
        Self(std::iter::from_fn(|| frames.pop_all()).collect())
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// The body of another replica's response. If the replica goes away in the middle, it ends with the status of that.
#[derive(Debug)]
pub(crate) struct Passing {
    delegate: Arc<Delegate>,
    body: Incoming,
    picked: Picked,
    /// It was counted how it ended.
    counted: bool,
    /// Nothing more is to come.
    finished: bool,
    _under_way: TaskTrackerToken,
}

impl Passing {
    pub(super) fn new(
        delegate: Arc<Delegate>,
        body: Incoming,
        picked: Picked,
        under_way: TaskTrackerToken,
    ) -> Self {
        Self { delegate, body, picked, counted: false, finished: false, _under_way: under_way }
    }

    /// Whose response it is.
    pub(super) fn replica(&self) -> &ReplicaId {
        self.picked.replica().id()
    }

    /// How the response ended is known.
    pub(super) fn ended(&mut self, outcome: &'static str) {
        if !std::mem::replace(&mut self.counted, true) {
            self.delegate.counts.ended(self.picked.replica().id(), outcome);
        }
    }

    fn lost(&mut self, error: &hyper::Error) -> Frame<Bytes> {
        self.picked.failed(Fault::Failed, self.delegate.now());
        self.ended("lost");
        self.finished = true;
        let replica = self.picked.replica();
        let why = format!(
            "replica '{}' at {} was lost while it answered: {error}",
            replica.id(),
            replica.endpoint()
        );
        let mut trailers = HeaderMap::new();
        // A status of plain text always can.
        let _ = Status::unavailable(why).add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.finished {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => self.lost(&error),
            None => {
                self.finished = true;
                return Poll::Ready(None);
            }
        };
        if let Some(trailers) = frame.trailers_ref() {
            let ended = code(trailers).map_or("unknown", outcome);
            self.ended(ended);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.finished || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // The client left before the end.
        self.ended("cancelled");
    }
}
