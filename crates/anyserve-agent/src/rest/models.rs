//! The calls that have no tensors, as the gRPC service answers them.

use anyserve_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use anyserve_proto::inference::model_metadata_response::TensorMetadata;
use anyserve_proto::inference::model_repository_parameter::ParameterChoice;
use anyserve_proto::inference::{
    CudaSharedMemoryStatusRequest, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ModelRepositoryParameter, ModelStatisticsRequest, RepositoryIndexRequest, RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest, ServerMetadataRequest, ServerReadyRequest, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryUnregisterRequest,
};
use anyserve_proto::rest::documents;
use http::{HeaderMap, Response};
use tonic::Request;
use tonic::metadata::MetadataMap;

use super::answer::{Answer, empty, json};
use super::calls::{Model, Plain};
use super::metadata::to_metadata;
use super::refusal::Refusal;
use super::tensors::Received;
use crate::ingress::InferenceService;

/// What this API has beyond what gRPC says of itself.
const EXTENSIONS: [&str; 3] = ["binary_tensor_data", "generate", "model_configuration"];

/// A parameter of unloading that changes nothing here, where no model depends on another; clients always send it.
const UNLOAD_DEPENDENTS: &str = "unload_dependents";

/// The inputs that a model declares, here or, if it is not served here, where it is; none if nobody knows it, which is
/// for the request itself to find out.
pub(super) async fn inputs(
    service: &InferenceService,
    model: &Model,
    headers: &HeaderMap,
) -> Vec<TensorMetadata> {
    let described = metadata(service, model.clone(), to_metadata(headers.clone())).await;
    described.map_or_else(|_| Vec::new(), |described| described.inputs)
}

/// Answers a call.
pub(super) async fn answer(
    service: &InferenceService,
    call: Plain,
    received: Received,
) -> Result<Response<Answer>, Refusal> {
    let Received { headers, body, .. } = received;
    let headers = to_metadata(headers);
    Ok(match call {
        Plain::Live => empty(),
        Plain::Ready => ready(service).await?,
        Plain::Server => server(service).await?,
        Plain::Metadata(model) => json(documents::model_metadata(&metadata(service, model, headers).await?)),
        Plain::Config(model) => json(documents::model_config(&metadata(service, model, headers).await?)),
        Plain::ModelReady(model) => model_ready(service, model, headers).await?,
        Plain::Statistics(Model { name, version }) => {
            let request = Request::new(ModelStatisticsRequest { name, version });
            json(documents::model_statistics(service.model_statistics(request).await?.get_ref()))
        }
        Plain::Index => {
            let ready = documents::index_is_of_ready(&body)?;
            let request = Request::new(RepositoryIndexRequest { ready, ..Default::default() });
            json(documents::repository_index(service.repository_index(request).await?.get_ref()))
        }
        Plain::Load(name) => load(service, name, &body).await?,
        Plain::Unload(name) => unload(service, name, &body).await?,
        Plain::SharedMemoryStatus(name) => shared_memory(service, name).await?,
        Plain::SharedMemoryRegister(name) => {
            let request = documents::register_shared_memory(&body, &name)?;
            service.system_shared_memory_register(Request::new(request)).await?;
            empty()
        }
        Plain::SharedMemoryUnregister(name) => {
            let request = Request::new(SystemSharedMemoryUnregisterRequest { name });
            service.system_shared_memory_unregister(request).await?;
            empty()
        }
        Plain::CudaSharedMemory(_) => {
            // All three of them say the same.
            let request = Request::new(CudaSharedMemoryStatusRequest::default());
            service.cuda_shared_memory_status(request).await?;
            empty()
        }
    })
}

async fn shared_memory(service: &InferenceService, name: String) -> Result<Response<Answer>, Refusal> {
    let request = Request::new(SystemSharedMemoryStatusRequest { name });
    let status = service.system_shared_memory_status(request).await?;
    Ok(json(documents::shared_memory_status(status.get_ref())))
}

async fn server(service: &InferenceService) -> Result<Response<Answer>, Refusal> {
    let mut server = service.server_metadata(Request::new(ServerMetadataRequest {})).await?.into_inner();
    server.extensions.extend(EXTENSIONS.map(str::to_owned));
    Ok(json(documents::server_metadata(&server)))
}

async fn ready(service: &InferenceService) -> Result<Response<Answer>, Refusal> {
    let answer = service.server_ready(Request::new(ServerReadyRequest {})).await?;
    if answer.get_ref().ready { Ok(empty()) } else { Err(Refusal::NotReady(None)) }
}

async fn model_ready(
    service: &InferenceService,
    model: Model,
    headers: MetadataMap,
) -> Result<Response<Answer>, Refusal> {
    let Model { name, version } = model;
    let request = with(headers, ModelReadyRequest { name: name.clone(), version });
    let answer = service.model_ready(request).await?;
    if answer.get_ref().ready { Ok(empty()) } else { Err(Refusal::NotReady(Some(name))) }
}

async fn metadata(
    service: &InferenceService,
    model: Model,
    headers: MetadataMap,
) -> Result<ModelMetadataResponse, Refusal> {
    let Model { name, version } = model;
    let request = with(headers, ModelMetadataRequest { name, version });
    Ok(service.model_metadata(request).await?.into_inner())
}

/// A call that may go on to another replica, with what the client said beside it.
fn with<T>(headers: MetadataMap, message: T) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = headers;
    request
}

async fn load(
    service: &InferenceService,
    model_name: String,
    body: &[u8],
) -> Result<Response<Answer>, Refusal> {
    // Their values say nothing: the service has none of them, and says so by name.
    let unknown = |(name, value)| {
        let parameter_choice = Some(ParameterChoice::BoolParam(value));
        (name, ModelRepositoryParameter { parameter_choice })
    };
    let parameters = documents::repository_parameters(body)?.into_iter().map(unknown).collect();
    let request = RepositoryModelLoadRequest { model_name, parameters, ..Default::default() };
    service.repository_model_load(Request::new(request)).await?;
    Ok(empty())
}

async fn unload(
    service: &InferenceService,
    model_name: String,
    body: &[u8],
) -> Result<Response<Answer>, Refusal> {
    let parameters = documents::repository_parameters(body)?;
    if let Some(name) = parameters.keys().find(|name| *name != UNLOAD_DEPENDENTS) {
        return Err(Refusal::Invalid(format!(
            "unload parameter '{name}' is not known; there is {UNLOAD_DEPENDENTS}"
        )));
    }
    let request = RepositoryModelUnloadRequest { model_name, ..Default::default() };
    service.repository_model_unload(Request::new(request)).await?;
    Ok(empty())
}
