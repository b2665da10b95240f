//! A client for one agent, or any other KServe v2 gRPC server.
//!
//! ```no_run
//! use anyserve_client::{CallOptions, Client};
//! use anyserve_proto::inference::ModelInferRequest;
//!
//! # async fn example() -> Result<(), anyserve_client::ClientError> {
//! let client = Client::new("localhost:8000")?;
//! let request = ModelInferRequest { model_name: "echo".to_owned(), ..Default::default() };
//! let response = client.infer(request, &CallOptions::default()).await?;
//! println!("{} outputs", response.outputs.len());
//! # Ok(())
//! # }
//! ```

mod admin;
pub mod blocking;
mod connect;
mod error;
pub mod fleet;
mod local;
pub mod objects;
mod stream;

use std::time::Duration;

pub use admin::Admin;
use anyserve_core::Query;
use anyserve_proto::admin::{StatusRequest, StatusResponse};
use anyserve_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::inference::{
    InferParameter, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ServerReadyRequest,
};
use anyserve_proto::replica::replica_service_client::ReplicaServiceClient;
use anyserve_proto::tensor;
pub use error::ClientError;
pub use fleet::FleetClient;
pub use local::LEAST as LEAST_SHARED;
use local::Local;
pub use objects::Objects;
pub use stream::ResponseStream;
use tokio::time::Instant;
use tonic::codegen::tokio_stream;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

/// The largest HTTP/2 frame that servers may send; an agent writes such a frame without copying it.
const MAX_FRAME_SIZE: u32 = 1 << 20;
/// Flow-control windows: a response of 1 MiB arrives without waiting for a window update.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The longest time that a server is told to take: what the header `grpc-timeout` can say, in its 8 digits, in
/// seconds.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(99_999_999);

/// How many cancelled calls a connection remembers, so that it knows their late answers.
const REMEMBERED_RESETS: usize = 1024;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLICA_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A replica that requests wait for is asked that often whether it is still there, and has as long to answer: the
/// network may have lost it without a word.
const REPLICA_CHECK: Duration = Duration::from_secs(5);

/// A connection to one server, made at the first call and again after it broke. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    grpc: GrpcInferenceServiceClient<Channel>,
    channel: Channel,
    endpoint: String,
    /// If large tensors are not sent.
    local: Option<Local>,
}

/// What holds for one call.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// What the request wants, instead of what its model name stands for.
    pub capability: Option<Query>,
    /// How long to wait; the server is told.
    pub timeout: Option<Duration>,
    /// Sent beside the request: names, and values of visible ASCII.
    pub headers: Vec<(String, String)>,
}

impl Client {
    /// A client of the server at `HOST:PORT` or `http://HOST:PORT`; connects at the first call.
    pub fn new(endpoint: &str) -> Result<Self, ClientError> {
        Self::with_channel(endpoint, |channel| channel.connect_timeout(CONNECT_TIMEOUT))
    }

    /// The same for one replica of several: one that does not answer is given up sooner.
    pub(crate) fn of_replica(endpoint: &str) -> Result<Self, ClientError> {
        Self::with_channel(endpoint, |channel| {
            channel
                .connect_timeout(REPLICA_CONNECT_TIMEOUT)
                .http2_keep_alive_interval(REPLICA_CHECK)
                .keep_alive_timeout(REPLICA_CHECK)
        })
    }

    fn with_channel(endpoint: &str, set: impl FnOnce(Endpoint) -> Endpoint) -> Result<Self, ClientError> {
        let invalid = || ClientError::Endpoint(endpoint.to_owned());
        let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
        let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(invalid());
        }
        let channel = Endpoint::from_shared(format!("http://{address}")).map_err(|_| invalid())?;
        let channel = set(channel)
            .max_frame_size(MAX_FRAME_SIZE)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Answers to calls that were cancelled in the meantime are no reason to end the connection.
            .http2_max_concurrent_reset_streams(REMEMBERED_RESETS)
            .http2_max_local_error_reset_streams(None)
            .connect_with_connector_lazy(service_fn(connect::connect));
        let grpc = GrpcInferenceServiceClient::new(channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        Ok(Self { grpc, channel, endpoint: address.to_owned(), local: None })
    }

    /// Where the server is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends a request and waits for its response, whose contents are all raw.
    pub async fn infer(
        &self,
        mut request: ModelInferRequest,
        options: &CallOptions,
    ) -> Result<ModelInferResponse, ClientError> {
        add_capability(&mut request, options.capability.as_ref());
        if let Some(local) = &self.local {
            return local.infer(request, options.timeout).await;
        }
        let mut grpc = self.grpc.clone();
        let call = grpc.model_infer(with_options(request, options)?);
        let mut response = self.within(options.timeout, call).await?;
        tensor::normalize_response(&mut response)?;
        Ok(response)
    }

    /// Sends a request that may have any number of responses.
    pub async fn stream(
        &self,
        mut request: ModelInferRequest,
        options: &CallOptions,
    ) -> Result<ResponseStream, ClientError> {
        add_capability(&mut request, options.capability.as_ref());
        let timeout = options.timeout.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?)));
        if let Some(local) = &self.local {
            let responses = local.stream(request, options.timeout).await?;
            return Ok(ResponseStream::of_local(self.clone(), responses, timeout));
        }
        let mut call = with_options(tokio_stream::once(request), options)?;
        // With one request on the call, its error had better be the call's own.
        call.metadata_mut().insert("triton_grpc_error", MetadataValue::from_static("true"));
        let mut grpc = self.grpc.clone();
        let responses = self.within(options.timeout, grpc.model_stream_infer(call)).await?;
        Ok(ResponseStream::new(self.clone(), responses, timeout))
    }

    /// True if the server has a worker that is ready.
    pub async fn is_server_ready(&self, timeout: Option<Duration>) -> Result<bool, ClientError> {
        let mut grpc = self.grpc.clone();
        let call = grpc.server_ready(with_timeout(ServerReadyRequest {}, timeout));
        Ok(self.within(timeout, call).await?.ready)
    }

    /// True if the server has a worker that is ready for the model.
    pub async fn is_model_ready(&self, name: &str, timeout: Option<Duration>) -> Result<bool, ClientError> {
        let request = ModelReadyRequest { name: name.to_owned(), ..Default::default() };
        let mut grpc = self.grpc.clone();
        let call = grpc.model_ready(with_timeout(request, timeout));
        Ok(self.within(timeout, call).await?.ready)
    }

    /// The declared inputs and outputs of the model.
    pub async fn model_metadata(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<ModelMetadataResponse, ClientError> {
        let request = ModelMetadataRequest { name: name.to_owned(), ..Default::default() };
        let mut grpc = self.grpc.clone();
        let call = grpc.model_metadata(with_timeout(request, timeout));
        self.within(timeout, call).await
    }

    /// The pools, workers and queues of the agent.
    pub async fn status(&self, timeout: Option<Duration>) -> Result<StatusResponse, ClientError> {
        let mut grpc = ReplicaServiceClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        self.within(timeout, grpc.status(with_timeout(StatusRequest {}, timeout))).await
    }

    async fn within<T>(
        &self,
        timeout: Option<Duration>,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, ClientError> {
        let result = match timeout {
            None => call.await,
            Some(limit) => {
                tokio::time::timeout(limit, call).await.map_err(|_| ClientError::Timeout(limit))?
            }
        };
        result.map(tonic::Response::into_inner).map_err(|status| self.explain(status, timeout))
    }

    fn explain(&self, status: Status, timeout: Option<Duration>) -> ClientError {
        ClientError::of(status, &self.endpoint, timeout)
    }
}

/// Lets the request say what it wants, if that is not what its model name stands for.
fn add_capability(request: &mut ModelInferRequest, capability: Option<&Query>) {
    for (key, value) in capability.into_iter().flat_map(Query::pairs) {
        let parameter =
            InferParameter { parameter_choice: Some(ParameterChoice::StringParam(value.clone())) };
        request.parameters.insert(format!("cap.{key}"), parameter);
    }
}

fn with_options<T>(message: T, options: &CallOptions) -> Result<Request<T>, ClientError> {
    let mut request = with_timeout(message, options.timeout);
    for (name, value) in &options.headers {
        let invalid = || ClientError::Header(name.clone());
        let key = AsciiMetadataKey::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        // gRPC's own names are not for users.
        if name.to_ascii_lowercase().starts_with("grpc-") {
            return Err(invalid());
        }
        let value = AsciiMetadataValue::try_from(value.as_str()).map_err(|_| invalid())?;
        request.metadata_mut().append(key, value);
    }
    Ok(request)
}

fn with_timeout<T>(message: T, timeout: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout.min(LONGEST_TIMEOUT));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endpoints_are_host_and_port() {
        for good in ["localhost:8000", "http://127.0.0.1:1", "[::1]:80"] {
            assert!(Client::new(good).is_ok(), "{good}");
        }
        for bad in
            ["localhost", ":80", "localhost:http", "https://localhost:80", "localhost:99999", "a:1/b:2"]
        {
            assert!(Client::new(bad).is_err(), "{bad}");
        }
    }
}
