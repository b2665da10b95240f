//! Which service a path belongs to, and the last touch to the errors that the services' library makes itself.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyserve_proto::INFERENCE_DESCRIPTORS;
use anyserve_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use anyserve_proto::objects::object_service_server::ObjectServiceServer;
use anyserve_proto::replica::replica_service_server::ReplicaServiceServer;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower_service::Service;

use super::infer::InferCall;
use super::intake::Intake;
use super::objects::ClientObjects;
use super::replica::ReplicaStatus;
use super::server::MAY_WAIT;
use super::service::InferenceService;
use crate::dispatch::Dispatcher;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// A service by reflection, whose type has no name.
type Reflection = Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// Every gRPC service of the agent.
#[derive(Clone)]
pub(crate) struct Edge {
    inference: GrpcInferenceServiceServer<InferenceService>,
    health: HealthServer<HealthService>,
    objects: ObjectServiceServer<ClientObjects>,
    replica: ReplicaServiceServer<ReplicaStatus>,
    reflection: [(&'static str, Reflection); 2],
    dispatcher: Arc<Dispatcher>,
    intake: Intake,
}

impl Edge {
    /// Of the agent that listens there.
    pub(crate) fn new(dispatcher: Arc<Dispatcher>, health: HealthService, address: SocketAddr) -> Self {
        let max_message_size = dispatcher.max_message_size();
        let intake = Intake::new(Arc::clone(dispatcher.objects().landing()), max_message_size, MAY_WAIT);
        let inference = GrpcInferenceServiceServer::new(InferenceService::new(Arc::clone(&dispatcher)))
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Deflate)
            .max_decoding_message_size(max_message_size)
            .max_encoding_message_size(usize::MAX);
        let objects = ObjectServiceServer::new(ClientObjects(Arc::clone(dispatcher.objects())));
        let objects =
            objects.max_decoding_message_size(max_message_size).max_encoding_message_size(usize::MAX);
        let replica =
            ReplicaServiceServer::new(ReplicaStatus { dispatcher: Arc::clone(&dispatcher), address });
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(INFERENCE_DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let valid = "the descriptors were generated with the code";
        let reflection = [
            ("/grpc.reflection.v1.ServerReflection/", boxed(builder().build_v1().expect(valid))),
            ("/grpc.reflection.v1alpha.ServerReflection/", boxed(builder().build_v1alpha().expect(valid))),
        ];
        Self {
            inference,
            health: HealthServer::new(health),
            objects,
            replica,
            reflection,
            dispatcher,
            intake,
        }
    }

    /// The same for another connection.
    pub(super) fn for_connection(&self) -> Self {
        Self { intake: self.intake.for_connection(), ..self.clone() }
    }

    fn route(&self, request: Request<Body>) -> Answer {
        let path = request.uri().path();
        if path.starts_with("/inference.GRPCInferenceService/") {
            return self.inference.clone().call(request);
        }
        if path.starts_with("/anyserve.objects.v1.ObjectService/") {
            return self.objects.clone().call(request);
        }
        if path.starts_with("/anyserve.replica.v1.ReplicaService/") {
            return self.replica.clone().call(request);
        }
        if path.starts_with("/grpc.health.v1.Health/") {
            return self.health.clone().call(request);
        }
        match self.reflection.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            Some((_, service)) => service(request),
            None => Box::pin(std::future::ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Edge").finish_non_exhaustive()
    }
}

impl hyper::service::Service<Request<Incoming>> for Edge {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if let Some(call) = InferCall::of(&request) {
            let served = call.serve(Arc::clone(&self.dispatcher), self.intake.clone(), request);
            return Box::pin(async move { Ok(served.await) });
        }
        let uri = request.uri().clone();
        let answer = self.route(request.map(Body::new));
        let limit = self.intake.max_message_size;
        Box::pin(async move {
            let response = answer.await?;
            Ok(match response.headers().get(Status::GRPC_STATUS) {
                None => response,
                Some(code) => reword(Code::from_bytes(code.as_bytes()), uri.path(), limit, response),
            })
        })
    }
}

/// The library's own errors, in the words and codes of this project's error table.
fn reword(code: Code, path: &str, limit: usize, response: Response<Body>) -> Response<Body> {
    let worded = response.headers().contains_key(Status::GRPC_MESSAGE);
    match code {
        Code::Unimplemented if !worded => {
            let name = path.rsplit('/').next().unwrap_or(path);
            Status::unimplemented(format!("{name} is not implemented by anyserve (asked for {path})"))
                .into_http()
        }
        // No service here answers so itself: it is the codec, about a message over the limit.
        Code::OutOfRange => over_limit(limit).into_http(),
        _ => response,
    }
}

/// What the client hears of a request that is too large.
pub(crate) fn over_limit(limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "the request is over the limit of {limit} bytes; raise it with --max-message-size"
    ))
}

fn boxed<S>(service: S) -> Reflection
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    Arc::new(move |request| Box::pin(service.clone().call(request)))
}
