//! What the agent tells about itself to whoever may send it requests.

use std::net::SocketAddr;
use std::sync::Arc;

use anyserve_proto::admin::{StatusRequest, StatusResponse};
use anyserve_proto::replica::replica_service_server::ReplicaService;
use tonic::{Request, Response, Status};

use crate::admin::status;
use crate::dispatch::Dispatcher;

/// Looks, and changes nothing.
#[derive(Clone, Debug)]
pub(super) struct ReplicaStatus {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) address: SocketAddr,
}

#[tonic::async_trait]
impl ReplicaService for ReplicaStatus {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(status(&self.dispatcher, self.address)))
    }
}
