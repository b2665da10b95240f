//! Responses and their bodies.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use hyper::body::{Body, Frame, SizeHint};

use super::events::Events;
use super::patience::Phase;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The body of a response.
#[derive(Debug)]
pub(super) struct Answer {
    content: Content,
    /// Is told when the body has been handed over.
    phase: Option<Phase>,
}

#[derive(Debug)]
enum Content {
    /// What is there.
    Pieces(VecDeque<Bytes>),
    /// What comes.
    Events(Box<Events>),
}

impl Answer {
    pub(super) fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { content: Content::Pieces(pieces), phase: None }
    }

    pub(super) fn events(events: Events) -> Self {
        Self { content: Content::Events(Box::new(events)), phase: None }
    }

    /// The same, which tells when it has been handed over.
    pub(super) fn telling(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(phase) = &self.phase {
            phase.done();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.content {
            Content::Pieces(pieces) => Poll::Ready(pieces.pop_front()),
            Content::Events(events) => events.poll_next(context),
        };
        next.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Pieces(pieces) if pieces.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Pieces(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Content::Events(_) => SizeHint::default(),
        }
    }
}

/// A document.
pub(super) fn json(document: Vec<u8>) -> Response<Answer> {
    let mut response = Response::new(Answer::pieces([document.into()]));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Nothing more than that all went well.
pub(super) fn empty() -> Response<Answer> {
    Response::new(Answer::pieces([]))
}
