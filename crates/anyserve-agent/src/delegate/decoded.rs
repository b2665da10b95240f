//! Responses of other replicas for those here who want messages, not bytes.

use std::sync::Arc;
use std::time::Instant;

use anyserve_proto::codec::TensorCodec;
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::metadata::NOT_BEGUN;
use http::Response;
use prost::Message;
use tonic::codec::Codec;
use tonic::{Status, Streaming};

use super::attempt::Outgoing;
use super::passing::Passing;
use super::{Delegate, Route};
use crate::failure::Failure;

/// The messages of a response; the failure, if its head says that there are none.
pub(super) fn messages<M>(response: Response<Passing>) -> Result<Streaming<M>, Failure>
where
    M: Message + Default + 'static,
{
    let (parts, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&parts.headers)
        && status.code() != tonic::Code::Ok
    {
        return Err(failure(&status));
    }
    let decoder = TensorCodec::<ModelInferRequest, M>::default().decoder();
    Ok(Streaming::new_response(decoder, body, parts.status, None, Some(usize::MAX)))
}

impl Delegate {
    /// The response to a request that has one message.
    pub(crate) async fn call<M>(
        self: &Arc<Self>,
        route: &mut Route,
        outgoing: &Outgoing,
    ) -> Result<M, Failure>
    where
        M: Message + Default + 'static,
    {
        let begun = Instant::now();
        let response = async { only(self.send(route, outgoing).await?).await };
        match outgoing.until {
            Some(until) => tokio::time::timeout_at(until.into(), response)
                .await
                .unwrap_or_else(|_| Err(Failure::Deadline(begun.elapsed()))),
            None => response.await,
        }
    }
}

/// The one message of a response.
async fn only<M>(response: Response<Passing>) -> Result<M, Failure>
where
    M: Message + Default + 'static,
{
    let mut messages = messages(response)?;
    let message = messages.message().await.map_err(|status| failure(&status))?;
    // Reads the trailers: an error may follow.
    let status = messages.message().await.map_err(|status| failure(&status));
    let missing = || Failure::Invalid("another replica answered without a response".to_owned());
    status.and_then(|_| message.ok_or_else(missing))
}

/// What another replica says.
pub(super) fn failure(status: &Status) -> Failure {
    let metadata = status.metadata();
    let retry_after = metadata.get("retry-after-ms").and_then(|after| after.to_str().ok()?.parse().ok());
    Failure::Elsewhere {
        code: status.code(),
        retry_after: retry_after.map(std::time::Duration::from_millis),
        begun: !metadata.contains_key(NOT_BEGUN),
        message: status.message().to_owned(),
    }
}
