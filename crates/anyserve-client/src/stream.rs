//! The responses to one request, as they come.

use std::time::Duration;

use anyserve_proto::inference::{ModelInferResponse, ModelStreamInferResponse};
use anyserve_proto::tensor;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::{Client, ClientError};

/// The responses to one request. Dropping it cancels the request.
#[derive(Debug)]
pub struct ResponseStream {
    client: Client,
    responses: Streaming<ModelStreamInferResponse>,
    /// What was allowed in all, and when that is over.
    timeout: Option<(Duration, Instant)>,
}

impl ResponseStream {
    pub(crate) fn new(
        client: Client,
        responses: Streaming<ModelStreamInferResponse>,
        timeout: Option<(Duration, Instant)>,
    ) -> Self {
        Self { client, responses, timeout }
    }

    /// The next response, whose contents are all raw; none after the last. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<ModelInferResponse, ClientError>> {
        let message = match self.timeout {
            None => self.responses.message().await,
            Some((limit, until)) => match tokio::time::timeout_at(until, self.responses.message()).await {
                Ok(message) => message,
                Err(_) => return Some(Err(ClientError::Timeout(limit))),
            },
        };
        let limit = self.timeout.map(|(limit, _)| limit);
        match message {
            Ok(message) => Some(response(message?)),
            Err(status) => Some(Err(self.client.explain(status, limit))),
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
