//! Making and reading objects of an agent.

use std::time::Duration;

use anyserve_core::object::Reference;
use anyserve_proto::object::micros;
pub use anyserve_proto::object::{Creation, Info, Name};
use anyserve_proto::objects::object_service_client::ObjectServiceClient;
use anyserve_proto::objects::{CreateRequest, GetRequest, GetResponse, Lookup, Object};
use bytes::{Bytes, BytesMut};
use tonic::Status;
use tonic::codegen::tokio_stream;
use tonic::transport::Channel;

use crate::{Client, ClientError, with_timeout};

/// How much of an object goes in one message.
const CHUNK: usize = 1 << 20;

/// The objects of the agent that a [`Client`] is connected to.
#[derive(Clone, Debug)]
pub struct Objects {
    client: Client,
    grpc: ObjectServiceClient<Channel>,
}

impl Client {
    /// The objects of the agent.
    pub fn objects(&self) -> Objects {
        let grpc = ObjectServiceClient::new(self.channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        Objects { client: self.clone(), grpc }
    }
}

impl Objects {
    /// A new object of these bytes.
    pub async fn create(
        &self,
        bytes: Bytes,
        creation: Creation,
        timeout: Option<Duration>,
    ) -> Result<Info, ClientError> {
        let (size, mut left, mut create) = (bytes.len() as u64, bytes, Some(creation.into()));
        let messages = std::iter::from_fn(move || {
            if create.is_none() && left.is_empty() {
                return None;
            }
            let data = left.split_to(left.len().min(CHUNK));
            Some(CreateRequest { create: create.take(), size, data })
        });
        let mut grpc = self.grpc.clone();
        let call = grpc.create(with_timeout(tokio_stream::iter(messages), timeout));
        info(self.client.within(timeout, call).await?)
    }

    /// What an object is, and its bytes; one that another agent has is brought to this one first.
    pub async fn get(
        &self,
        name: &Name,
        timeout: Option<Duration>,
    ) -> Result<(Reference, Bytes), ClientError> {
        let mut grpc = self.grpc.clone();
        let request = GetRequest { name: Some(name.to_message()) };
        let call = async {
            let mut messages = grpc.get(with_timeout(request, timeout)).await?.into_inner();
            let first = messages.message().await?.unwrap_or_default();
            let object = info_of(first.object.unwrap_or_default())?;
            let size = usize::try_from(object.reference.size).unwrap_or(usize::MAX);
            let mut bytes = BytesMut::with_capacity(size.min(1 << 32));
            let mut data = first.data;
            loop {
                bytes.extend_from_slice(&data);
                match messages.message().await? {
                    Some(GetResponse { data: more, .. }) => data = more,
                    None => return Ok(tonic::Response::new((object.reference, bytes.freeze()))),
                }
            }
        };
        self.client.within(timeout, call).await
    }

    /// The objects of these keys at this agent, or at `owner`, `HOST:PORT` as references name it, of whose objects
    /// nothing but the reference is known.
    pub async fn lookup(
        &self,
        keys: Vec<String>,
        owner: Option<String>,
        timeout: Option<Duration>,
    ) -> Result<Vec<Option<Info>>, ClientError> {
        let mut grpc = self.grpc.clone();
        let timeout_us = timeout.map_or(0, |timeout| micros(timeout).max(1));
        let lookup = Lookup { keys, owner: owner.unwrap_or_default(), timeout_us };
        let call = grpc.lookup(with_timeout(lookup, timeout));
        let found = self.client.within(timeout, call).await?;
        let one = |object: Object| (!object.reference.is_empty()).then(|| info(object)).transpose();
        found.objects.into_iter().map(one).collect()
    }

    /// Deletes an object of this agent, or its copy of another's; false if there was none.
    pub async fn delete(&self, name: &Name, timeout: Option<Duration>) -> Result<bool, ClientError> {
        let mut grpc = self.grpc.clone();
        let call = grpc.delete(with_timeout(name.to_message(), timeout));
        Ok(self.client.within(timeout, call).await?.deleted)
    }

    /// What is known of an object of this agent.
    pub async fn stat(&self, name: &Name, timeout: Option<Duration>) -> Result<Info, ClientError> {
        let mut grpc = self.grpc.clone();
        let call = grpc.stat(with_timeout(name.to_message(), timeout));
        info(self.client.within(timeout, call).await?)
    }
}

fn info(object: Object) -> Result<Info, ClientError> {
    info_of(object).map_err(ClientError::Status)
}

fn info_of(object: Object) -> Result<Info, Status> {
    Info::try_from(object).map_err(|error| Status::internal(format!("from the server: {error}")))
}
