//! KServe's calls about shared memory.

use anyserve_proto::inference::system_shared_memory_status_response::RegionStatus as Described;
use anyserve_proto::inference::{
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusResponse,
    SystemSharedMemoryUnregisterResponse,
};
use tonic::{Response, Status};

use crate::objects::{Objects, RegionStatus};

/// What the protocol calls that tensors may be in shared memory.
pub(super) const EXTENSION: &str = "system_shared_memory";

pub(super) fn status(
    objects: &Objects,
    name: &str,
) -> Result<Response<SystemSharedMemoryStatusResponse>, Status> {
    let regions = objects.client_shm().status(name)?.into_iter().map(|region| {
        let RegionStatus { name, key, offset, size } = region;
        (name.clone(), Described { name, key, offset, byte_size: size })
    });
    Ok(Response::new(SystemSharedMemoryStatusResponse { regions: regions.collect() }))
}

pub(super) fn register(
    objects: &Objects,
    request: SystemSharedMemoryRegisterRequest,
) -> Result<Response<SystemSharedMemoryRegisterResponse>, Status> {
    let SystemSharedMemoryRegisterRequest { name, key, offset, byte_size: size } = request;
    objects.register_shm(RegionStatus { name, key, offset, size })?;
    Ok(Response::new(SystemSharedMemoryRegisterResponse {}))
}

pub(super) fn unregister(
    objects: &Objects,
    name: &str,
) -> Result<Response<SystemSharedMemoryUnregisterResponse>, Status> {
    objects.unregister_shm(name)?;
    Ok(Response::new(SystemSharedMemoryUnregisterResponse {}))
}

/// The answer to whoever would share a GPU's memory by that call.
pub(super) fn no_cuda(call: &str) -> Status {
    Status::unimplemented(format!(
        "{call} is not implemented by anyserve: the memory of GPUs is not shared with clients; use system shared memory (--allow-client-shm)"
    ))
}
