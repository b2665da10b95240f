//! From a request of HTTP to its answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::answer::Answer;
use super::calls::{Call, Tensors};
use super::coding::Coding;
use super::patience::Phase;
use super::refusal::Refusal;
use super::room::Room;
use super::tensors::{LARGE, Received, aside, generate, generate_stream, infer_tensors};
use super::{body, models};
use crate::dispatch::Dispatcher;
use crate::ingress::InferenceService;

/// What all connections share.
#[derive(Clone, Debug)]
pub(super) struct Service {
    dispatcher: Arc<Dispatcher>,
    inference: InferenceService,
    room: Arc<Room>,
}

/// The same for one connection.
#[derive(Debug)]
pub(super) struct ForConnection {
    service: Service,
    phase: Phase,
}

impl ForConnection {
    pub(super) fn new(service: Service, phase: Phase) -> Self {
        Self { service, phase }
    }
}

impl hyper::service::Service<Request<Incoming>> for ForConnection {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.phase.busy();
        let (service, phase) = (self.service.clone(), self.phase.clone());
        Box::pin(async move {
            let answer = service.answer(request).await.unwrap_or_else(Refusal::into_response);
            Ok(answer.map(|body| body.telling(phase)))
        })
    }
}

impl Service {
    /// `most_held` is how many bytes the bodies may have together that are being read.
    pub(super) fn new(dispatcher: Arc<Dispatcher>, most_held: u64) -> Self {
        let inference = InferenceService::new(Arc::clone(&dispatcher));
        // One request of the largest size always fits.
        let limit = most_held.max(dispatcher.max_message_size() as u64);
        Self { dispatcher, inference, room: Room::new(limit) }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Answer>, Refusal> {
        let began = Instant::now();
        let (parts, mut incoming) = request.into_parts();
        let call = match find(parts.uri.path(), &parts.method) {
            Ok(call) => call,
            Err(refusal) => {
                body::discard(&parts.headers, &mut incoming).await;
                return Err(refusal);
            }
        };
        let limit = self.dispatcher.max_message_size();
        let mut share = self.room.share();
        let mut body = body::read(&parts.headers, &mut incoming, limit, &mut share).await?;
        if let Some(coding) = Coding::of_content(&parts.headers)? {
            let compressed = body;
            // However small it is, what comes of it may be large.
            body = aside(LARGE, move || coding.decompress(&compressed, limit)).await?;
            share.set(body.len())?;
        }
        let received = Received { headers: parts.headers, body, share, call: began };
        match call {
            Call::Plain(call) => models::answer(&self.inference, call, received).await,
            Call::Tensors(Tensors::Infer, model) => infer_tensors(&self.dispatcher, model, received).await,
            Call::Tensors(Tensors::Generate, model) => {
                let inputs = models::inputs(&self.inference, &model, &received.headers).await;
                generate(&self.dispatcher, model, inputs, received).await
            }
            Call::Tensors(Tensors::GenerateStream, model) => {
                let inputs = models::inputs(&self.inference, &model, &received.headers).await;
                generate_stream(&self.dispatcher, model, inputs, received).await
            }
        }
    }
}

/// The call that is at that path, if it is called so.
fn find(path: &str, method: &Method) -> Result<Call, Refusal> {
    let call = Call::of(path).ok_or_else(|| Refusal::NoPath(path.to_owned()))?;
    let allowed = call.method();
    if *method == allowed || (*method == Method::HEAD && allowed == Method::GET) {
        Ok(call)
    } else {
        Err(Refusal::Method { used: method.clone(), allowed })
    }
}
