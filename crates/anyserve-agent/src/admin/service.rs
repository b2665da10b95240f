//! The operators' calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyserve_proto::admin::admin_server::Admin;
use anyserve_proto::admin::{
    Done, Lease, ObjectRequest, ObjectsRequest, ObjectsResponse, PinRequest, PoolRequest, ReloadRequest,
    ScaleRequest, StatusRequest, StatusResponse,
};
use anyserve_proto::objects::Object;
use tonic::{Request, Response, Status};

use super::status::status;
use crate::dispatch::{Dispatcher, OperationError};
use crate::failure::Failure;
use crate::fleet::Fleet;
use crate::objects::{ObjectError, OldLease};

#[derive(Clone, Debug)]
pub(crate) struct AdminService {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) address: SocketAddr,
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(status(&self.dispatcher, self.address)))
    }

    async fn scale(&self, request: Request<ScaleRequest>) -> Result<Response<Done>, Status> {
        let ScaleRequest { pool, min, max } = request.into_inner();
        done(self.dispatcher.scale(&pool, min, max))
    }

    async fn sleep(&self, request: Request<PoolRequest>) -> Result<Response<Done>, Status> {
        done(self.dispatcher.sleep(&request.into_inner().pool))
    }

    async fn wake(&self, request: Request<PoolRequest>) -> Result<Response<Done>, Status> {
        done(self.dispatcher.wake(&request.into_inner().pool))
    }

    async fn pin(&self, request: Request<PinRequest>) -> Result<Response<Done>, Status> {
        let PinRequest { pool, pinned } = request.into_inner();
        done(self.dispatcher.pin(&pool, pinned))
    }

    async fn drain(&self, request: Request<PoolRequest>) -> Result<Response<Done>, Status> {
        done(self.dispatcher.drain_pool(&request.into_inner().pool))
    }

    async fn reload(&self, request: Request<ReloadRequest>) -> Result<Response<Done>, Status> {
        // It goes on if the operator goes away.
        let (fleet, all) = (Arc::clone(&self.fleet), request.into_inner().all);
        let reloaded = fleet.reload_in_background(all).await;
        let message = reloaded.map_err(|error| {
            Status::failed_precondition(format!("not reloaded, the configuration stays as it was: {error}"))
        })?;
        Ok(Response::new(Done { message }))
    }

    async fn objects(&self, request: Request<ObjectsRequest>) -> Result<Response<ObjectsResponse>, Status> {
        let age = Duration::try_from_secs_f64(request.into_inner().lease_age_seconds);
        let age = age.map_err(|_| Status::invalid_argument("the age of a lease is a number of seconds"))?;
        let objects = self.dispatcher.objects();
        let all = objects.store().list();
        let lease = |lease: OldLease| Lease {
            worker: lease.worker.to_string(),
            bytes: lease.bytes,
            age_seconds: lease.age.as_secs_f64(),
            unsealed: lease.unsealed,
        };
        Ok(Response::new(ObjectsResponse {
            objects: all.iter().map(|stat| objects.described(stat)).collect(),
            leases: objects.old_leases(age).into_iter().map(lease).collect(),
            size: objects.store().budget().limit(),
            used: objects.store().budget().used(),
            pinned: objects.store().totals().2,
        }))
    }

    async fn stat_object(&self, request: Request<ObjectRequest>) -> Result<Response<Object>, Status> {
        let objects = self.dispatcher.objects();
        let found = objects.id_of(&request.into_inner().name).and_then(|id| objects.stat(id));
        found.map(Response::new).map_err(no_object)
    }

    async fn delete_object(&self, request: Request<ObjectRequest>) -> Result<Response<Done>, Status> {
        let objects = self.dispatcher.objects();
        let id = objects.id_of(&request.into_inner().name).map_err(no_object)?;
        if !objects.store().delete(id) {
            return Err(no_object(ObjectError::Unknown(id)));
        }
        Ok(Response::new(Done { message: format!("deleted object {id}") }))
    }
}

fn no_object(error: ObjectError) -> Status {
    Failure::from(error).into()
}

fn done(result: Result<String, OperationError>) -> Result<Response<Done>, Status> {
    let message = result.map_err(|error| {
        let text = error.to_string();
        match error {
            OperationError::NoPool { .. } => Status::not_found(text),
            OperationError::TooMany(_) => Status::invalid_argument(text),
            OperationError::Misfit(_) | OperationError::CannotSleep(_) => Status::failed_precondition(text),
            OperationError::Draining => Status::unavailable(text),
        }
    })?;
    Ok(Response::new(Done { message }))
}
