//! `generate_stream`: a response an event, as they come.

use std::pin::Pin;
use std::task::{Context, Poll};

use anyserve_proto::inference::{ModelInferResponse, ModelStreamInferResponse};
use anyserve_proto::rest::{documents, encode_generate};
use anyserve_proto::tensor::normalize_response;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tonic::Status;
use tonic::codegen::tokio_stream::{Stream, StreamExt};

use super::answer::Answer;
use super::refusal::Refusal;
use crate::ingress::StreamCall;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// The events of a call that is under way. Dropping it cancels the request.
#[derive(Debug)]
pub(super) struct Events {
    /// What was waited for before the status was sent.
    first: Option<Bytes>,
    /// None once an error has been sent.
    call: Option<StreamCall>,
}

/// The answer to a request of one call, once its first response is there: an error before that has a status of its own.
pub(super) async fn stream(mut call: StreamCall) -> Result<Response<Answer>, Refusal> {
    let first = match call.next().await {
        None => None,
        Some(next) => Some(event(&document(next)?)),
    };
    let mut response = Response::new(Answer::events(Events { first, call: Some(call) }));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

impl Events {
    /// The next event.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(call) = &mut self.call else {
            return Poll::Ready(None);
        };
        Pin::new(call).poll_next(context).map(|next| {
            let document = document(next?).unwrap_or_else(|refusal| {
                // Cancels what is left of it.
                self.call = None;
                documents::error(&refusal.message())
            });
            Some(event(&document))
        })
    }
}

fn document(response: Result<ModelStreamInferResponse, Status>) -> Result<Vec<u8>, Refusal> {
    let mut response: ModelInferResponse = response?.infer_response.unwrap_or_default();
    normalize_response(&mut response).map_err(|error| Refusal::Invalid(error.to_string()))?;
    Ok(encode_generate(&response)?)
}

/// JSON is one line, so that it needs no more than this.
fn event(document: &[u8]) -> Bytes {
    [b"data: ", document, b"\n\n"].concat().into()
}
