//! Objects for clients.

use std::pin::Pin;
use std::sync::Arc;

use anyserve_channel::INLINE_LIMIT;
use anyserve_proto::objects::object_service_server::ObjectService;
use anyserve_proto::objects::{
    CreateRequest, Deleted, Found, GetRequest, GetResponse, Lookup, Object, ObjectName,
};
use bytes::{Buf, Bytes};
use tonic::codegen::tokio_stream::{self, Stream};
use tonic::{Request, Response, Status, Streaming};

use crate::failure::Failure;
use crate::objects::{Ask, Content, ObjectError, Objects, Stake, new_object};

/// How much of an object goes in one message.
const CHUNK: usize = 1 << 20;

/// The objects of the agent, for clients.
#[derive(Clone, Debug)]
pub(crate) struct ClientObjects(pub(crate) Arc<Objects>);

type Chunks = Pin<Box<dyn Stream<Item = Result<GetResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ObjectService for ClientObjects {
    async fn create(&self, request: Request<Streaming<CreateRequest>>) -> Result<Response<Object>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.unwrap_or_default();
        let create = first
            .create
            .ok_or_else(|| Status::invalid_argument("the first message says not what to create"))?;
        let content = self.receive(first.size, first.data, &mut messages).await?;
        let object = self.0.make(new_object(create, content, "a client".into())).map_err(to_status)?;
        Ok(Response::new(object))
    }

    type GetStream = Chunks;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Chunks>, Status> {
        let reference = self.0.named(request.into_inner().name).map_err(to_status)?;
        let (bytes, object) = self.0.fetch(&reference, None).await.map_err(to_status)?;
        let reference = object.described_by(reference);
        let head = Object { reference: reference.to_string(), ..Object::default() };
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks(head, bytes)))))
    }

    async fn lookup(&self, request: Request<Lookup>) -> Result<Response<Found>, Status> {
        self.0.look_up(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn delete(&self, request: Request<ObjectName>) -> Result<Response<Deleted>, Status> {
        let deleted = self.0.delete(request.into_inner()).map_err(to_status)?;
        Ok(Response::new(Deleted { deleted }))
    }

    async fn stat(&self, request: Request<ObjectName>) -> Result<Response<Object>, Status> {
        let reference = self.0.named(Some(request.into_inner())).map_err(to_status)?;
        self.0.stat_of(&reference).map(Response::new).map_err(to_status)
    }
}

impl ClientObjects {
    /// Puts the bytes of an object where they stay.
    async fn receive(
        &self,
        size: u64,
        first: Bytes,
        messages: &mut Streaming<CreateRequest>,
    ) -> Result<Content, Status> {
        let wrong = |found: u64| {
            Status::invalid_argument(format!("the object should have {size} bytes, but {found} came"))
        };
        let length = usize::try_from(size).map_err(|_| wrong(0))?;
        let mut large = None;
        let mut small = Vec::new();
        if length > INLINE_LIMIT {
            let ask = Ask { length, rest: 0 };
            large = Some(self.0.landing().land(&mut Stake::default(), ask, None).await?);
        }
        let (mut filled, mut data) = (0_usize, first);
        loop {
            let end = filled + data.len();
            if end > length {
                return Err(wrong(end as u64));
            }
            match &mut large {
                Some(slot) => slot[filled..end].copy_from_slice(&data),
                None => small.extend_from_slice(&data),
            }
            filled = end;
            match messages.message().await? {
                Some(message) => data = message.data,
                None if filled == length => break,
                None => return Err(wrong(filled as u64)),
            }
        }
        match large {
            Some(slot) => Ok(Content::Slot(slot.freeze())),
            None => self.0.store().small(&small).map_err(to_status),
        }
    }
}

/// An object in messages: what it is, then its bytes.
fn chunks(head: Object, mut bytes: Bytes) -> impl Iterator<Item = Result<GetResponse, Status>> {
    let mut head = Some(head);
    std::iter::from_fn(move || {
        if head.is_none() && bytes.is_empty() {
            return None;
        }
        let data = bytes.slice(..bytes.len().min(CHUNK));
        bytes.advance(data.len());
        Some(Ok(GetResponse { object: head.take(), data }))
    })
}

fn to_status(error: ObjectError) -> Status {
    Failure::from(error).into()
}
