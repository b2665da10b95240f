//! Looking at an agent on this machine, and steering it.

use std::path::Path;
use std::time::Duration;

use anyserve_proto::admin::admin_client::AdminClient;
use anyserve_proto::admin::{
    ObjectRequest, ObjectsRequest, ObjectsResponse, PinRequest, PoolRequest, ReloadRequest, ScaleRequest,
    StatusRequest, StatusResponse,
};
use anyserve_proto::objects::Object;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::ClientError;

/// A connection to the socket by which an agent is steered, made at the first call.
#[derive(Clone, Debug)]
pub struct Admin {
    grpc: AdminClient<Channel>,
    path: String,
}

impl Admin {
    /// For the agent whose socket that is.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let path = socket.to_string_lossy().into_owned();
        let endpoint =
            Endpoint::from_shared(format!("unix:{path}")).map_err(|_| ClientError::Endpoint(path.clone()))?;
        Ok(Self { grpc: AdminClient::new(endpoint.connect_lazy()), path })
    }

    /// Pools, workers, queues and resources.
    pub async fn status(&self) -> Result<StatusResponse, ClientError> {
        let status = self.grpc.clone().status(StatusRequest {}).await;
        status.map(tonic::Response::into_inner).map_err(|status| self.failed(status))
    }

    /// Keeps at least `min` workers of a pool and at most `max`, or exactly `min`; returns what was done.
    pub async fn scale(&self, pool: &str, min: u32, max: Option<u32>) -> Result<String, ClientError> {
        let done = self.grpc.clone().scale(ScaleRequest { pool: pool.to_owned(), min, max }).await;
        self.done(done)
    }

    /// Puts the workers of a pool to sleep; returns what was done.
    pub async fn sleep(&self, pool: &str) -> Result<String, ClientError> {
        self.done(self.grpc.clone().sleep(PoolRequest { pool: pool.to_owned() }).await)
    }

    /// Wakes the workers of a pool; returns what was done.
    pub async fn wake(&self, pool: &str) -> Result<String, ClientError> {
        self.done(self.grpc.clone().wake(PoolRequest { pool: pool.to_owned() }).await)
    }

    /// Keeps the workers of a pool from being evicted or stopped for being idle, or not any more.
    pub async fn pin(&self, pool: &str, pinned: bool) -> Result<String, ClientError> {
        self.done(self.grpc.clone().pin(PinRequest { pool: pool.to_owned(), pinned }).await)
    }

    /// Lets a pool finish what it has, and have no workers and no requests until it is scaled.
    pub async fn drain(&self, pool: &str) -> Result<String, ClientError> {
        self.done(self.grpc.clone().drain(PoolRequest { pool: pool.to_owned() }).await)
    }

    /// Lets the agent read its configuration again; with `all`, every pool is replaced. Returns what was done.
    pub async fn reload(&self, all: bool) -> Result<String, ClientError> {
        self.done(self.grpc.clone().reload(ReloadRequest { all }).await)
    }

    /// The objects, the leases that are at least that old, and what is used.
    pub async fn objects(&self, lease_age: Duration) -> Result<ObjectsResponse, ClientError> {
        let request = ObjectsRequest { lease_age_seconds: lease_age.as_secs_f64() };
        let objects = self.grpc.clone().max_decoding_message_size(usize::MAX).objects(request).await;
        objects.map(tonic::Response::into_inner).map_err(|status| self.failed(status))
    }

    /// What is known of an object, by its id, its reference or its key.
    pub async fn stat_object(&self, name: &str) -> Result<Object, ClientError> {
        let object = self.grpc.clone().stat_object(ObjectRequest { name: name.to_owned() }).await;
        object.map(tonic::Response::into_inner).map_err(|status| self.failed(status))
    }

    /// Deletes an object; returns what was done.
    pub async fn delete_object(&self, name: &str) -> Result<String, ClientError> {
        self.done(self.grpc.clone().delete_object(ObjectRequest { name: name.to_owned() }).await)
    }

    fn done(
        &self,
        result: Result<tonic::Response<anyserve_proto::admin::Done>, Status>,
    ) -> Result<String, ClientError> {
        result.map(|done| done.into_inner().message).map_err(|status| self.failed(status))
    }

    fn failed(&self, status: Status) -> ClientError {
        // The agent's own answers have a message of their own, and no cause on this side.
        if status.code() == Code::Unavailable && std::error::Error::source(&status).is_some() {
            return ClientError::Unreachable {
                endpoint: self.path.clone(),
                reason: "no agent answers there".to_owned(),
            };
        }
        ClientError::Status(status)
    }
}
