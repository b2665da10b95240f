//! Bodies of responses: the messages, then that all went well, or why it did not.

use std::pin::Pin;
use std::task::{Context, Poll};

use anyserve_proto::inference::{ModelInferResponse, ModelStreamInferResponse};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::Frame;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::GRPC_CONTENT_TYPE;

use super::frames::Frames;

/// So many bytes of messages are sent, even if there is more to send at once.
const ENOUGH: usize = 32 * 1024;

/// The status of a call that went well.
const OK: HeaderValue = HeaderValue::from_static("0");

/// The response of a call that has one message.
pub(super) fn unary(response: ModelInferResponse) -> Result<Response<Body>, Status> {
    let mut frames = Frames::default();
    frames.push(response)?;
    Ok(with_body(Body::new(Unary { frames, ended: false })))
}

/// The response of a call that has as many as `source` gives.
pub(super) fn streamed<S>(source: S) -> Response<Body>
where
    S: Stream<Item = Result<ModelStreamInferResponse, Status>> + Send + Unpin + 'static,
{
    with_body(Body::new(Streamed { source, frames: Frames::default(), end: None, ended: false }))
}

fn with_body(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

#[derive(Debug)]
struct Unary {
    frames: Frames,
    ended: bool,
}

impl hyper::body::Body for Unary {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(if let Some(piece) = self.frames.pop_all() {
            Some(Ok(Frame::data(piece)))
        } else if std::mem::replace(&mut self.ended, true) {
            None
        } else {
            Some(trailers(Ok(())))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[derive(Debug)]
struct Streamed<S> {
    source: S,
    frames: Frames,
    /// How the call ends, once there is nothing more to come.
    end: Option<Result<(), Status>>,
    ended: bool,
}

impl<S> hyper::body::Body for Streamed<S>
where
    S: Stream<Item = Result<ModelStreamInferResponse, Status>> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let piece = if this.end.is_some() || this.frames.gathered() >= ENOUGH {
                this.frames.pop_all()
            } else {
                this.frames.pop()
            };
            if let Some(piece) = piece {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some(end) = this.end.take() {
                this.ended = true;
                return Poll::Ready(Some(trailers(end)));
            }
            match Pin::new(&mut this.source).poll_next(context) {
                Poll::Ready(Some(message)) => {
                    this.end = message.and_then(|message| this.frames.push_streamed(message)).err().map(Err);
                }
                Poll::Ready(None) => this.end = Some(Ok(())),
                Poll::Pending => {
                    return match this.frames.pop_all() {
                        Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// The end of a call.
fn trailers(end: Result<(), Status>) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::with_capacity(1);
    match end {
        Ok(()) => drop(trailers.insert(Status::GRPC_STATUS, OK)),
        Err(status) => status.add_header(&mut trailers)?,
    }
    Ok(Frame::trailers(trailers))
}
