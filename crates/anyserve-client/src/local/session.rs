//! Requests to an agent that shares memory with this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::local::{ClientAllocate, ClientInfer, from_client};
use anyserve_proto::object::micros;
use anyserve_proto::tensor;
use anyserve_proto::worker::failure::Kind;
use anyserve_proto::worker::{Failure, answer};
use anyserve_shm::{ViewMut, Views};
use bytes::Bytes;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::LEAST;
use super::check::local_addresses;
use super::connection::{Connection, Refusal};
use super::memory::{pack, unpack};
use super::stream::LocalStream;
use super::wire::{Call, Delivery};
use crate::ClientError;

/// A connection to the agent, and what this process holds of its memory.
#[derive(Debug)]
pub(super) struct Session {
    connection: Arc<Connection>,
    views: Views,
    endpoint: String,
}

impl Session {
    /// Connects to the agent of that endpoint, whose socket that is.
    pub(super) async fn open(endpoint: &str, socket: &Path) -> Result<Self, ClientError> {
        let addresses = local_addresses(endpoint).await?;
        let connection = Connection::open(socket, &addresses).await;
        let connection = Arc::new(connection.map_err(|refusal| explain(refusal, endpoint, socket))?);
        // Whoever looks at the memory keeps the connection: the agent takes back what it has lent when that ends.
        let held = Arc::clone(&connection);
        let views = Views::new(move |lease, _| held.wire.release(lease));
        Ok(Self { connection, views, endpoint: endpoint.to_owned() })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.connection.wire.has_ended()
    }

    /// Shared memory of so many bytes; waits for room, if that is wanted.
    pub(super) async fn allocate(&self, size: usize, wait: bool) -> Result<ViewMut, ClientError> {
        let mut call = self.connection.wire.begin().await;
        let allocate = ClientAllocate { call: call.number, size: size as u64, wait };
        self.send(from_client::Message::Allocate(allocate), &[])?;
        let mut delivery = self.next(&mut call).await?;
        call.end();
        match delivery.take_result() {
            Some(answer::Result::Allocated(place)) => {
                let view = self.connection.wire.segments.view_mut(&self.views, &place);
                view.map_err(|error| {
                    self.connection.wire.release(place.lease);
                    self.cannot_look(&error)
                })
            }
            Some(other) => Err(failed(other)),
            None => Err(unexpected()),
        }
    }

    /// Sends a request and waits for its response, whose contents are all raw.
    pub(super) async fn infer(
        &self,
        request: ModelInferRequest,
        timeout: Option<Duration>,
    ) -> Result<ModelInferResponse, ClientError> {
        let mut call = self.ask(request, timeout, false).await?;
        let delivery = self.next(&mut call).await?;
        call.end();
        self.response(delivery)?.ok_or_else(unexpected)
    }

    /// Sends a request that may have any number of responses.
    pub(super) async fn stream(
        self: Arc<Self>,
        request: ModelInferRequest,
        timeout: Option<Duration>,
    ) -> Result<LocalStream, ClientError> {
        let call = self.ask(request, timeout, true).await?;
        Ok(LocalStream::new(self, call))
    }

    /// The next answer to a call.
    pub(super) async fn next(&self, call: &mut Call) -> Result<Delivery, ClientError> {
        call.next().await.ok_or_else(|| self.gone())
    }

    /// The response that came; none at the end of a stream.
    pub(super) fn response(&self, mut delivery: Delivery) -> Result<Option<ModelInferResponse>, ClientError> {
        let mut response = match delivery.take_result() {
            None => return Ok(None),
            Some(answer::Result::Inferred(response)) => response,
            Some(other) => return Err(failed(other)),
        };
        response.raw_output_contents = self.contents(&mut delivery)?;
        tensor::normalize_response(&mut response)?;
        Ok(Some(response))
    }

    pub(super) fn send(&self, message: from_client::Message, payload: &[Bytes]) -> Result<(), ClientError> {
        let sent = self.connection.wire.send(message, payload);
        sent.map_err(|error| ClientError::Status(Status::resource_exhausted(error.to_string())))
    }

    async fn ask(
        &self,
        mut request: ModelInferRequest,
        timeout: Option<Duration>,
        stream: bool,
    ) -> Result<Call, ClientError> {
        let mut contents = std::mem::take(&mut request.raw_input_contents);
        for content in &mut contents {
            if content.len() >= LEAST && self.views.locate(content).is_none() {
                *content = self.shared(content).await?;
            }
        }
        let call = self.connection.wire.begin().await;
        // The agent holds what is in the request from the moment it has read this; until then, `contents` do.
        let (payload, placed) = pack(&self.views, contents.clone());
        let payload_sizes = payload.iter().map(|content| content.len() as u64).collect();
        let timeout_us = timeout.map(micros);
        let (number, request) = (call.number, Some(request));
        let infer = ClientInfer { call: number, request, timeout_us, stream, payload_sizes, placed };
        self.send(from_client::Message::Infer(infer), &payload)?;
        Ok(call)
    }

    /// A copy where the agent sees it.
    async fn shared(&self, content: &Bytes) -> Result<Bytes, ClientError> {
        let mut place = self.allocate(content.len(), true).await?;
        place.copy_from_slice(content);
        Ok(place.freeze().into_bytes())
    }

    /// The contents of what came, those in shared memory where they are.
    fn contents(&self, delivery: &mut Delivery) -> Result<Vec<Bytes>, ClientError> {
        let taken = delivery.take_contents();
        let (payload, placed) =
            taken.map_err(|error| self.cannot_look(&std::io::Error::other(error.to_string())))?;
        let (mut found, mut failed) = (Vec::with_capacity(placed.len()), None);
        for place in placed {
            match self.connection.wire.segments.view(&self.views, &place) {
                Ok(view) => found.push((place, view)),
                Err(error) => {
                    self.connection.wire.release(place.lease);
                    failed = Some(error);
                }
            }
        }
        match failed {
            None => Ok(unpack(payload, found)),
            Some(error) => Err(self.cannot_look(&error)),
        }
    }

    fn cannot_look(&self, error: &std::io::Error) -> ClientError {
        let reason = format!("the agent's memory cannot be looked at: {error}");
        ClientError::NoSharedMemory { endpoint: self.endpoint.clone(), reason }
    }

    /// Why nothing came.
    fn gone(&self) -> ClientError {
        match self.connection.wire.farewell() {
            Some(said) => refused(said),
            None => ClientError::Unreachable {
                endpoint: self.endpoint.clone(),
                reason: "the agent ended the connection".to_owned(),
            },
        }
    }
}

fn explain(refusal: Refusal, endpoint: &str, socket: &Path) -> ClientError {
    let endpoint = endpoint.to_owned();
    match refusal {
        Refusal::Nobody(error) => ClientError::Unreachable {
            endpoint,
            reason: format!(
                "no agent of this user shares memory for that port on this machine ({}: {error})",
                socket.display()
            ),
        },
        Refusal::Refused(failure) => refused(*failure),
        Refusal::Other(reason) => ClientError::NoSharedMemory { endpoint, reason },
    }
}

/// What the agent answered instead of what was asked for.
fn failed(result: answer::Result) -> ClientError {
    match result {
        answer::Result::Failure(failure) => refused(failure),
        _ => unexpected(),
    }
}

fn refused(failure: Failure) -> ClientError {
    let Failure { kind, message, retry_after_ms, .. } = failure;
    let kind = Kind::try_from(kind).unwrap_or(Kind::Internal);
    let mut status = Status::new(code_of(kind), message);
    if let Some(after) = retry_after_ms {
        status.metadata_mut().insert("retry-after-ms", MetadataValue::from(after));
    }
    ClientError::Status(status)
}

fn unexpected() -> ClientError {
    ClientError::Status(Status::internal("the agent gave another answer than was asked for"))
}

fn code_of(kind: Kind) -> Code {
    match kind {
        Kind::Internal => Code::Internal,
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Cancelled => Code::Cancelled,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::Aborted => Code::Aborted,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::DataLoss => Code::DataLoss,
    }
}
