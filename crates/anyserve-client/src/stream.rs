//! The responses to one request, as they come.

use std::time::Duration;

use anyserve_proto::inference::{ModelInferResponse, ModelStreamInferResponse};
use anyserve_proto::tensor;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::local::LocalStream;
use crate::{Client, ClientError};

/// The responses to one request. Dropping it cancels the request.
#[derive(Debug)]
pub struct ResponseStream {
    client: Client,
    responses: Responses,
    /// What was allowed in all, and when that is over.
    timeout: Option<(Duration, Instant)>,
}

/// However they come.
#[derive(Debug)]
enum Responses {
    Grpc(Streaming<ModelStreamInferResponse>),
    /// From an agent that shares memory with this process.
    Local(LocalStream),
}

impl ResponseStream {
    pub(crate) fn new(
        client: Client,
        responses: Streaming<ModelStreamInferResponse>,
        timeout: Option<(Duration, Instant)>,
    ) -> Self {
        Self { client, responses: Responses::Grpc(responses), timeout }
    }

    pub(crate) fn of_local(
        client: Client,
        responses: LocalStream,
        timeout: Option<(Duration, Instant)>,
    ) -> Self {
        Self { client, responses: Responses::Local(responses), timeout }
    }

    /// The next response, whose contents are all raw; none after the last. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<ModelInferResponse, ClientError>> {
        let limit = self.timeout.map(|(limit, _)| limit);
        let next = self.responses.next(&self.client, limit);
        match self.timeout {
            None => next.await,
            Some((limit, until)) => {
                let next = tokio::time::timeout_at(until, next).await;
                next.unwrap_or(Some(Err(ClientError::Timeout(limit))))
            }
        }
    }
}

impl Responses {
    async fn next(
        &mut self,
        client: &Client,
        limit: Option<Duration>,
    ) -> Option<Result<ModelInferResponse, ClientError>> {
        match self {
            Self::Grpc(responses) => match responses.message().await {
                Ok(message) => Some(response(message?)),
                Err(status) => Some(Err(client.explain(status, limit))),
            },
            Self::Local(responses) => responses.next().await,
        }
    }
}

fn response(message: ModelStreamInferResponse) -> Result<ModelInferResponse, ClientError> {
    if !message.error_message.is_empty() {
        // A server that does not end the stream with the error's own status.
        return Err(ClientError::Status(Status::unknown(message.error_message)));
    }
    let mut response = message.infer_response.unwrap_or_default();
    tensor::normalize_response(&mut response)?;
    Ok(response)
}
