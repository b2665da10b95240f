//! The two calls that carry tensors, without the copies that the services' library makes.

use std::sync::Arc;
use std::time::Instant;

use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::tensor;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::tokio_stream::StreamExt;
use tonic::metadata::MetadataMap;

use super::intake::Intake;
use super::reader::{ReadError, Reader};
use super::reply;
use super::requests::Requests;
use super::stream::StreamCall;
use super::wanted;
use crate::dispatch::Dispatcher;
use crate::failure::Failure;

/// Which of them a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InferCall {
    Unary,
    Streamed,
}

impl InferCall {
    /// The one that the request is, if its messages are not compressed.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let call = match request.uri().path() {
            "/inference.GRPCInferenceService/ModelInfer" => Self::Unary,
            "/inference.GRPCInferenceService/ModelStreamInfer" => Self::Streamed,
            _ => return None,
        };
        let encoding = request.headers().get("grpc-encoding");
        encoding.is_none_or(|encoding| encoding == "identity").then_some(call)
    }

    /// Serves it.
    pub(super) async fn serve(
        self,
        dispatcher: Arc<Dispatcher>,
        intake: Intake,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let call = Instant::now();
        let (parts, body) = request.into_parts();
        let reader = Reader::new(body, intake, wanted::end_of_call(&parts.headers, call));
        match self {
            Self::Unary => unary(&dispatcher, parts, reader, call).await.unwrap_or_else(Status::into_http),
            Self::Streamed => {
                let metadata = MetadataMap::from_headers(parts.headers);
                let requests = Requests::Plain(reader);
                reply::streamed(StreamCall::new(dispatcher, metadata, requests))
            }
        }
    }
}

/// A request on a call that began at `call`, served for one response, which is waited for until then at most.
pub(crate) async fn infer(
    dispatcher: &Arc<Dispatcher>,
    metadata: &MetadataMap,
    mut infer: ModelInferRequest,
    call: Instant,
    until: Option<Instant>,
) -> Result<ModelInferResponse, Failure> {
    let mut wish = tensor::normalize(&mut infer)
        .map_err(Failure::from)
        .and_then(|()| wanted::wish(metadata, &infer, call, Instant::now()))
        .map_err(|failure| dispatcher.reject(failure))?;
    wish.deadline = [wish.deadline, until].into_iter().flatten().min();
    let objects = dispatcher.objects();
    let resolved = objects.resolve(&mut infer, wish.deadline).await;
    let targets = resolved.map_err(|error| dispatcher.reject(error.into()))?;
    let response = dispatcher.submit(&wish, infer)?.answer().await?;
    Ok(objects.deliver(&targets, response).await?)
}

async fn unary(
    dispatcher: &Arc<Dispatcher>,
    parts: Parts,
    mut reader: Reader<Incoming>,
    call: Instant,
) -> Result<Response<Body>, Status> {
    let refused = |error| match error {
        ReadError::Failure(failure) => dispatcher.reject(failure).into(),
        ReadError::Status(status) => status,
    };
    let first = reader.next().await.ok_or_else(|| Status::internal("Missing request message."))?;
    let request = first.map_err(refused)?;
    // There should be one. Others are read, as far as they can be, and let be.
    while let Some(another) = reader.next().await {
        drop(another.map_err(refused)?);
    }
    let mut headers = parts.headers;
    if let Some(trailers) = reader.take_trailers() {
        headers.extend(trailers);
    }
    let metadata = MetadataMap::from_headers(headers);
    drop(reader);
    reply::unary(infer(dispatcher, &metadata, request, call, None).await?)
}
