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
use crate::delegate::{Outgoing, Route, onward};
use crate::dispatch::{Dispatcher, Wish};
use crate::failure::Failure;
use crate::objects::Objects;

/// The call of one request.
const UNARY: &str = "/inference.GRPCInferenceService/ModelInfer";

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
            UNARY => Self::Unary,
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
    infer: ModelInferRequest,
    call: Instant,
    until: Option<Instant>,
) -> Result<ModelInferResponse, Failure> {
    let (mut wish, infer) = check(dispatcher, metadata, infer, call)?;
    wish.deadline = [wish.deadline, until].into_iter().flatten().min();
    match dispatcher.route(&wish.wanted, metadata.as_ref())? {
        None => serve(dispatcher, &wish, infer).await,
        Some(route) => pass_on(dispatcher, route, metadata, &wish, infer).await,
    }
}

/// What the request asks for, if it is well formed.
fn check(
    dispatcher: &Dispatcher,
    metadata: &MetadataMap,
    mut infer: ModelInferRequest,
    call: Instant,
) -> Result<(Wish, ModelInferRequest), Failure> {
    let wish = tensor::normalize(&mut infer)
        .map_err(Failure::from)
        .and_then(|()| wanted::wish(metadata, &infer, call, Instant::now()))
        .map_err(|failure| dispatcher.reject(failure))?;
    Ok((wish, infer))
}

/// Serves a request here.
async fn serve(
    dispatcher: &Arc<Dispatcher>,
    wish: &Wish,
    mut infer: ModelInferRequest,
) -> Result<ModelInferResponse, Failure> {
    let objects = dispatcher.objects();
    let resolved = objects.resolve(&mut infer, wish.deadline).await;
    let targets = resolved.map_err(|error| dispatcher.reject(error.into()))?;
    let response = dispatcher.submit(wish, infer)?.answer().await?;
    Ok(objects.deliver(&targets, response).await?)
}

/// Has another replica serve it.
async fn pass_on(
    dispatcher: &Arc<Dispatcher>,
    mut route: Route,
    metadata: &MetadataMap,
    wish: &Wish,
    mut infer: ModelInferRequest,
) -> Result<ModelInferResponse, Failure> {
    let Some(delegate) = dispatcher.delegate() else {
        return Err(Failure::NoMatch("the agent knows of no other replicas".to_owned()));
    };
    let objects = dispatcher.objects();
    let resolved = objects.resolve_for_another(&mut infer).await;
    let targets = resolved.map_err(|error| dispatcher.reject(error.into()))?;
    let outgoing = Outgoing::new(UNARY, onward(metadata.as_ref()), infer, wish.deadline)?;
    let response = delegate.call(&mut route, &outgoing).await?;
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
    let (wish, request) = check(dispatcher, &metadata, request, call)?;
    let response = match dispatcher.route(&wish.wanted, metadata.as_ref())? {
        None => serve(dispatcher, &wish, request).await?,
        Some(route) if Objects::wants_outputs_here(&request) => {
            pass_on(dispatcher, route, &metadata, &wish, request).await?
        }
        Some(route) => return pass_as_it_is(dispatcher, route, &metadata, &wish, request).await,
    };
    reply::unary(response)
}

/// Has another replica serve it, and passes on what that says, byte for byte.
async fn pass_as_it_is(
    dispatcher: &Arc<Dispatcher>,
    mut route: Route,
    metadata: &MetadataMap,
    wish: &Wish,
    mut infer: ModelInferRequest,
) -> Result<Response<Body>, Status> {
    let Some(delegate) = dispatcher.delegate() else {
        return Err(Failure::NoMatch("the agent knows of no other replicas".to_owned()).into());
    };
    let resolved = dispatcher.objects().resolve_for_another(&mut infer).await;
    resolved.map_err(|error| dispatcher.reject(error.into()))?;
    let outgoing = Outgoing::new(UNARY, onward(metadata.as_ref()), infer, wish.deadline)?;
    Ok(delegate.send(&mut route, &outgoing).await?.map(Body::new))
}
