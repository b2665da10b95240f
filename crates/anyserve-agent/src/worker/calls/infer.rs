//! A request that a handler makes, served as if a client had sent it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_client::{CallOptions, Client};
use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use anyserve_proto::worker::{Failure as Message, Infer};
use bytes::Bytes;
use tonic::codegen::tokio_stream::StreamExt;
use tonic::metadata::{KeyAndValueRef, MetadataMap, MetadataValue};

use super::answer;
use super::servers::Servers;
use super::window::Window;
use crate::dispatch::{Dispatcher, Inherited, OpenCall};
use crate::failure::Failure;
use crate::ingress::{self, Requests, StreamCall};
use crate::objects::WorkerMemory;

/// What it takes to serve a call.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) memory: Arc<WorkerMemory>,
    pub(super) servers: Arc<Servers>,
    pub(super) call: u64,
    /// If it streams.
    pub(super) window: Option<Arc<Window>>,
}

/// A call as it is sent on.
struct Outgoing {
    request: ModelInferRequest,
    metadata: MetadataMap,
    arrival: Instant,
    until: Option<Instant>,
}

/// What is left to say when a call has ended.
enum End {
    /// Its one response.
    Response(ModelInferResponse),
    /// It has had all its responses.
    Streamed,
}

impl Serving {
    /// Serves the call and answers it, once or as often as there are responses.
    pub(super) async fn serve(
        self,
        mut infer: Infer,
        contents: Vec<Bytes>,
        inherited: Inherited,
        open: Option<OpenCall>,
    ) {
        let endpoint = std::mem::take(&mut infer.endpoint);
        let outgoing = Outgoing::new(infer, contents, &inherited);
        // What a server says that was asked directly is not of this agent's making.
        let mut said = None;
        let work = async {
            let served = match (&self.window, endpoint.as_str()) {
                (None, "") => return self.infer(outgoing).await.map(End::Response),
                (Some(window), "") => self.stream(outgoing, window).await,
                (None, endpoint) => self.ask(endpoint, outgoing).await,
                (Some(window), endpoint) => self.ask_for_stream(endpoint, outgoing, window).await,
            };
            served.map_err(|message| {
                said = Some(message);
                Failure::CallerGone
            })
        };
        let ended = match open {
            Some(open) => open.run(work).await,
            None => work.await,
        };
        match (ended, said) {
            (Ok(End::Response(response)), _) => answer::respond(&self.memory, self.call, response, false),
            (Ok(End::Streamed), _) => answer::end(&self.memory, self.call),
            (Err(_), Some(message)) => answer::fail(&self.memory, self.call, message),
            (Err(failure), None) => answer::fail(&self.memory, self.call, answer::of_failure(&failure)),
        }
    }

    async fn infer(&self, outgoing: Outgoing) -> Result<ModelInferResponse, Failure> {
        let Outgoing { request, metadata, arrival, until } = outgoing;
        ingress::infer(&self.dispatcher, &metadata, request, arrival, until).await
    }

    async fn stream(&self, outgoing: Outgoing, window: &Window) -> Result<End, Message> {
        let Outgoing { request, mut metadata, until, .. } = outgoing;
        // With one request on the call, its error is the call's.
        metadata.insert("triton_grpc_error", MetadataValue::from_static("true"));
        if let Some(until) = until {
            metadata.insert("grpc-timeout", grpc_timeout(until.saturating_duration_since(Instant::now())));
        }
        let requests = Requests::One(Some(Box::new(request)));
        let mut responses = StreamCall::new(Arc::clone(&self.dispatcher), metadata, requests);
        while let Some(message) = responses.next().await {
            let message = message.map_err(|status| answer::of_status(&status))?;
            self.respond(message.infer_response.unwrap_or_default(), window).await;
        }
        Ok(End::Streamed)
    }

    async fn ask(&self, endpoint: &str, outgoing: Outgoing) -> Result<End, Message> {
        let (client, request, options) = self.to_server(endpoint, outgoing)?;
        let response = client.infer(request, &options).await;
        response.map(End::Response).map_err(|error| answer::of_client(&error))
    }

    async fn ask_for_stream(
        &self,
        endpoint: &str,
        outgoing: Outgoing,
        window: &Window,
    ) -> Result<End, Message> {
        let (client, request, options) = self.to_server(endpoint, outgoing)?;
        let responses = client.stream(request, &options).await;
        let mut responses = responses.map_err(|error| answer::of_client(&error))?;
        while let Some(response) = responses.next().await {
            self.respond(response.map_err(|error| answer::of_client(&error))?, window).await;
        }
        Ok(End::Streamed)
    }

    fn to_server(
        &self,
        endpoint: &str,
        outgoing: Outgoing,
    ) -> Result<(Client, ModelInferRequest, CallOptions), Message> {
        let client = self.servers.client(endpoint).map_err(|error| answer::of_client(&error))?;
        let Outgoing { request, metadata, until, .. } = outgoing;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(answer::of_failure(&Failure::DeadlinePassed));
        }
        let headers = metadata.iter().filter_map(|entry| match entry {
            KeyAndValueRef::Ascii(key, value) => Some((key.to_string(), value.to_str().ok()?.to_owned())),
            KeyAndValueRef::Binary(..) => None,
        });
        Ok((client, request, CallOptions { capability: None, timeout: left, headers: headers.collect() }))
    }

    /// Passes a response of a stream on, as soon as the worker has taken enough of those before it.
    async fn respond(&self, response: ModelInferResponse, window: &Window) {
        window.claim(answer::size(&response)).await;
        answer::respond(&self.memory, self.call, response, true);
    }
}

impl Outgoing {
    fn new(infer: Infer, contents: Vec<Bytes>, inherited: &Inherited) -> Self {
        let arrival = Instant::now();
        let mut request = infer.request.unwrap_or_default();
        request.raw_input_contents = contents;
        if let Some(priority) = inherited.priority
            && !request.parameters.contains_key("priority")
        {
            let level =
                InferParameter { parameter_choice: Some(ParameterChoice::Uint64Param(priority.level())) };
            request.parameters.insert("priority".to_owned(), level);
        }
        let mut metadata = MetadataMap::new();
        if let Some(trace) = &inherited.trace {
            trace.add_to(&mut metadata);
        }
        let own = infer.timeout_us.and_then(|left| arrival.checked_add(Duration::from_micros(left)));
        let until = own.into_iter().chain(inherited.deadline).min();
        Self { request, metadata, arrival, until }
    }
}

/// The value of the header `grpc-timeout`: up to 8 digits and a unit.
fn grpc_timeout(left: Duration) -> MetadataValue<tonic::metadata::Ascii> {
    const MOST: u128 = 99_999_999;
    let text = match (left.as_micros(), left.as_millis()) {
        (micros, _) if micros <= MOST => format!("{micros}u"),
        (_, millis) if millis <= MOST => format!("{millis}m"),
        _ => format!("{}S", u128::from(left.as_secs()).min(MOST)),
    };
    MetadataValue::try_from(text).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_eight_digits_at_most() {
        for (left, text) in [
            (Duration::ZERO, "0u"),
            (Duration::from_micros(99_999_999), "99999999u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
        ] {
            assert_eq!(grpc_timeout(left), text);
        }
    }
}
