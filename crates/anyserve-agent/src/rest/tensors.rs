//! The three calls that carry tensors.

use std::sync::Arc;
use std::time::Instant;

use anyserve_proto::inference::model_metadata_response::TensorMetadata;
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::rest::{
    self, Encoded, HEADER_LENGTH, InferCall, OutputForm, RestError, decode_generate, decode_infer,
    encode_generate, encode_response,
};
use anyserve_proto::tensor::normalize_response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use tonic::metadata::MetadataMap;

use super::answer::{Answer, BINARY, JSON, json};
use super::calls::Model;
use super::coding::Coding;
use super::events;
use super::metadata::to_metadata;
use super::refusal::Refusal;
use super::room::Share;
use crate::dispatch::Dispatcher;
use crate::failure::Failure;
use crate::ingress::{Requests, StreamCall, infer};

/// Bodies from this size on are brought into another form by threads that may be blocked.
pub(super) const LARGE: usize = 256 << 10;
/// Responses below this size are not worth compressing.
const SMALL: usize = 1 << 10;

/// A request whose body has been read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What it holds of the room for bodies, until it is a request, which is counted as such.
    pub(super) share: Share,
    /// When it began to come.
    pub(super) call: Instant,
}

/// `infer`.
pub(super) async fn infer_tensors(
    dispatcher: &Arc<Dispatcher>,
    model: Model,
    received: Received,
) -> Result<Response<Answer>, Refusal> {
    let Received { headers, body, share, call } = received;
    let header_length = header_length(&headers).map_err(|refusal| reject(dispatcher, refusal))?;
    let size = body.len();
    let decoded = aside(size, move || decode_infer(&body, header_length, &model.name, &model.version)).await;
    let InferCall { request, form } = decoded.map_err(|refusal| reject(dispatcher, refusal))?;
    check_size(dispatcher, &request)?;
    drop(share);
    let coding = Coding::accepted(&headers);
    let response = infer(dispatcher, &to_metadata(headers), request, call, None).await?;
    let size = response.raw_output_contents.iter().map(Bytes::len).sum();
    let encoded = aside(size, move || encode(response, &form, coding)).await?;
    Ok(encoded)
}

/// `generate`, of a model that declares these inputs.
pub(super) async fn generate(
    dispatcher: &Arc<Dispatcher>,
    model: Model,
    inputs: Vec<TensorMetadata>,
    received: Received,
) -> Result<Response<Answer>, Refusal> {
    let (request, metadata, call) = generate_request(dispatcher, model, inputs, received).await?;
    let mut response = infer(dispatcher, &metadata, request, call, None).await?;
    normalize_response(&mut response).map_err(RestError::from)?;
    Ok(json(encode_generate(&response)?))
}

/// `generate_stream`, of a model that declares these inputs.
pub(super) async fn generate_stream(
    dispatcher: &Arc<Dispatcher>,
    model: Model,
    inputs: Vec<TensorMetadata>,
    received: Received,
) -> Result<Response<Answer>, Refusal> {
    let (request, mut metadata, _) = generate_request(dispatcher, model, inputs, received).await?;
    metadata.insert("triton_grpc_error", "true".parse().expect("it is ASCII"));
    let requests = Requests::One(Some(Box::new(request)));
    events::stream(StreamCall::new(Arc::clone(dispatcher), metadata, requests)).await
}

async fn generate_request(
    dispatcher: &Arc<Dispatcher>,
    model: Model,
    inputs: Vec<TensorMetadata>,
    received: Received,
) -> Result<(ModelInferRequest, MetadataMap, Instant), Refusal> {
    let Received { headers, body, share, call } = received;
    let decode = move || decode_generate(&body, &inputs, &model.name, &model.version);
    let request = aside(share.bytes(), decode).await.map_err(|refusal| reject(dispatcher, refusal))?;
    check_size(dispatcher, &request)?;
    drop(share);
    Ok((request, to_metadata(headers), call))
}

fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(HEADER_LENGTH) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    match text.parse() {
        Ok(length) => Ok(Some(length)),
        Err(_) => Err(Refusal::Invalid(format!(
            "Inference-Header-Content-Length is '{text}'; it must be a number of bytes"
        ))),
    }
}

/// The limit holds for what a request is, too: digits may be fewer bytes than what they stand for.
fn check_size(dispatcher: &Dispatcher, request: &ModelInferRequest) -> Result<(), Refusal> {
    let size: usize = request.raw_input_contents.iter().map(Bytes::len).sum();
    let limit = dispatcher.max_message_size();
    if size > limit { Err(Refusal::TooLarge(limit)) } else { Ok(()) }
}

/// Counts a request that is not well formed.
fn reject(dispatcher: &Dispatcher, refusal: Refusal) -> Refusal {
    drop(dispatcher.reject(Failure::Invalid(refusal.message())));
    refusal
}

fn encode(
    mut response: ModelInferResponse,
    form: &OutputForm,
    coding: Option<Coding>,
) -> Result<Response<Answer>, Refusal> {
    normalize_response(&mut response).map_err(RestError::from)?;
    let Encoded { json, binary, header_length } = encode_response(&response, form)?;
    let size = json.len() + binary.iter().map(Bytes::len).sum::<usize>();
    let coding = coding.filter(|_| size >= SMALL);
    let pieces = std::iter::once(Bytes::from(json)).chain(binary);
    let answer = match coding {
        None => Answer::pieces(pieces),
        Some(coding) => {
            let pieces: Vec<_> = pieces.collect();
            Answer::pieces([coding.compress(pieces.iter().map(|piece| &piece[..]))])
        }
    };
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, if header_length.is_some() { BINARY } else { JSON });
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(length) = header_length {
        headers.insert(rest::HEADER_LENGTH, length.into());
    }
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, coding.name());
    }
    Ok(response)
}

/// Does work on so many bytes where it holds up no connection.
pub(super) async fn aside<T, E>(
    size: usize,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    E: Into<Refusal> + Send + 'static,
{
    if size < LARGE {
        return work().map_err(Into::into);
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => Err(Refusal::Status(tonic::Status::internal(error.to_string()))),
    }
}
