//! KServe v2 over gRPC: all calls, as the library serves them. Those that carry tensors come here only if they are
//! compressed (`infer.rs`).

use std::sync::Arc;
use std::time::Instant;

use anyserve_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use anyserve_proto::inference::repository_index_response::ModelIndex;
use anyserve_proto::inference::{
    CudaSharedMemoryRegisterRequest, CudaSharedMemoryRegisterResponse, CudaSharedMemoryStatusRequest,
    CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest, CudaSharedMemoryUnregisterResponse,
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
    SystemSharedMemoryUnregisterResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::infer::infer;
use super::requests::Requests;
use super::shm;
use super::stream::StreamCall;
use crate::delegate::{Delegate, Outgoing, Route, onward};
use crate::dispatch::{DEFAULT_VERSION, Dispatcher, ModelState, Wanted};
use crate::failure::Failure;
use crate::telemetry::listed_name;

/// What the protocol calls the kind of backend behind a model.
const PLATFORM: &str = "anyserve";

/// Where other replicas describe their models.
const METADATA_PATH: &str = "/inference.GRPCInferenceService/ModelMetadata";

/// The state of a model that a worker is ready for.
const READY: &str = "READY";

#[derive(Clone, Debug)]
pub(crate) struct InferenceService {
    dispatcher: Arc<Dispatcher>,
}

impl InferenceService {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher }
    }

    /// Where a model is that is not served here.
    fn elsewhere(
        &self,
        name: &str,
        version: &str,
        metadata: &MetadataMap,
    ) -> Option<(&Arc<Delegate>, Route)> {
        let wanted = Wanted::Model { name: name.to_owned(), version: version.to_owned() };
        let route = self.dispatcher.route(&wanted, metadata.as_ref()).ok().flatten();
        self.dispatcher.delegate().zip(route)
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for InferenceService {
    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(infer(&self.dispatcher, &metadata, request, Instant::now(), None).await?))
    }

    type ModelStreamInferStream = StreamCall;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<StreamCall>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let requests = Requests::Compressed(requests);
        Ok(Response::new(StreamCall::new(Arc::clone(&self.dispatcher), metadata, requests)))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let model_stats = self.dispatcher.statistics(&name, &version)?;
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let only_ready = request.into_inner().ready;
        let all = self.dispatcher.index().into_iter().filter(|model| !only_ready || model.state == READY);
        let models = all.map(|ModelState { capability, state, reason }| ModelIndex {
            name: listed_name(&capability),
            version: capability.get("version").unwrap_or(DEFAULT_VERSION).to_owned(),
            state: state.to_owned(),
            reason,
        });
        Ok(Response::new(RepositoryIndexResponse { models: models.collect() }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let request = request.into_inner();
        if let Some(name) = request.parameters.keys().next() {
            return Err(Status::invalid_argument(format!(
                "load parameter '{name}' is not supported: pools are configured where the agent is started"
            )));
        }
        self.dispatcher.load_model(&request.model_name).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        self.dispatcher.unload_model(&request.into_inner().model_name).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        let ready = *self.dispatcher.readiness().borrow() > 0;
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let (metadata, _, ModelReadyRequest { name, version }) = request.into_parts();
        let ready = match self.dispatcher.describe(&name, &version) {
            Ok((_, ready)) => ready,
            Err(Failure::NoMatch(_)) => self.elsewhere(&name, &version, &metadata).is_some(),
            Err(failure) => return Err(failure.into()),
        };
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        let mut extensions = vec!["model_repository".to_owned(), "statistics".to_owned()];
        if self.dispatcher.objects().client_shm().is_allowed() {
            extensions.push(shm::EXTENSION.to_owned());
        }
        Ok(Response::new(ServerMetadataResponse {
            name: "anyserve".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions,
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let ModelMetadataRequest { name, version } = request.clone();
        let described = match self.dispatcher.describe(&name, &version) {
            Ok((described, _)) => described,
            Err(Failure::NoMatch(message)) => {
                let (delegate, mut route) =
                    self.elsewhere(&name, &version, &metadata).ok_or(Failure::NoMatch(message))?;
                let outgoing = Outgoing::of(METADATA_PATH, onward(metadata.as_ref()), &request, None)?;
                return Ok(Response::new(delegate.call(&mut route, &outgoing).await?));
            }
            Err(failure) => return Err(failure.into()),
        };
        let capability = described.offer.capability;
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions: vec![capability.get("version").unwrap_or(DEFAULT_VERSION).to_owned()],
            platform: PLATFORM.to_owned(),
            inputs: described.inputs,
            outputs: described.outputs,
            properties: capability.pairs().clone(),
        }))
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<SystemSharedMemoryStatusRequest>,
    ) -> Result<Response<SystemSharedMemoryStatusResponse>, Status> {
        shm::status(self.dispatcher.objects(), &request.into_inner().name)
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Result<Response<SystemSharedMemoryRegisterResponse>, Status> {
        shm::register(self.dispatcher.objects(), request.into_inner())
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Result<Response<SystemSharedMemoryUnregisterResponse>, Status> {
        shm::unregister(self.dispatcher.objects(), &request.into_inner().name)
    }

    async fn cuda_shared_memory_status(
        &self,
        _: Request<CudaSharedMemoryStatusRequest>,
    ) -> Result<Response<CudaSharedMemoryStatusResponse>, Status> {
        Err(shm::no_cuda("CudaSharedMemoryStatus"))
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Result<Response<CudaSharedMemoryRegisterResponse>, Status> {
        Err(shm::no_cuda("CudaSharedMemoryRegister"))
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Result<Response<CudaSharedMemoryUnregisterResponse>, Status> {
        Err(shm::no_cuda("CudaSharedMemoryUnregister"))
    }
}
