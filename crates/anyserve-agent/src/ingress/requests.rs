//! What a client sends on a call of many requests.

use std::pin::Pin;
use std::task::{Context, Poll};

use anyserve_proto::inference::ModelInferRequest;
use hyper::body::Incoming;
use tonic::Streaming;
use tonic::codegen::tokio_stream::Stream;

use super::reader::{ReadError, Reader};

/// The requests of a call, however they came.
#[derive(Debug)]
pub(crate) enum Requests {
    /// As they are.
    Plain(Reader<Incoming>),
    /// Compressed, which is the library's to undo.
    Compressed(Streaming<ModelInferRequest>),
    /// One, which is here.
    One(Option<Box<ModelInferRequest>>),
}

impl Stream for Requests {
    type Item = Result<ModelInferRequest, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Plain(requests) => Pin::new(requests).poll_next(context),
            Self::Compressed(requests) => Pin::new(requests)
                .poll_next(context)
                .map(|next| next.map(|next| next.map_err(ReadError::Status))),
            Self::One(request) => Poll::Ready(request.take().map(|request| Ok(*request))),
        }
    }
}
