//! A request with any number of responses, which another replica gives.

use std::sync::Arc;
use std::time::Instant;

use anyserve_proto::inference::ModelStreamInferResponse;
use tokio::sync::mpsc;
use tonic::Streaming;

use super::attempt::Outgoing;
use super::decoded::{failure, messages};
use super::{Delegate, Route};
use crate::failure::Failure;

/// What comes of such a request.
#[derive(Debug)]
pub(crate) enum Part {
    Response(ModelStreamInferResponse),
    /// The last of it.
    End(Result<(), Failure>),
}

/// Sends a request, and what comes of it to `parts` under that key, as it comes and is taken.
pub(crate) async fn stream<K: Copy>(
    delegate: Arc<Delegate>,
    mut route: Route,
    outgoing: Outgoing,
    key: K,
    parts: mpsc::Sender<(K, Part)>,
) {
    let begun = Instant::now();
    let responses = async {
        let (mut messages, mut next) = begin(&delegate, &mut route, &outgoing).await?;
        while let Some(message) = next {
            if parts.send((key, Part::Response(message))).await.is_err() {
                break;
            }
            next = messages.message().await.map_err(|status| failure(&status))?;
        }
        Ok(())
    };
    let result = match outgoing.until {
        Some(until) => tokio::time::timeout_at(until.into(), responses)
            .await
            .unwrap_or_else(|_| Err(Failure::Deadline(begun.elapsed()))),
        None => responses.await,
    };
    // Nobody listens when the call has ended.
    let _ = parts.send((key, Part::End(result))).await;
}

/// The first response of the first replica that has the request, and where the others come from.
async fn begin(
    delegate: &Arc<Delegate>,
    route: &mut Route,
    outgoing: &Outgoing,
) -> Result<(Streaming<ModelStreamInferResponse>, Option<ModelStreamInferResponse>), Failure> {
    loop {
        let response = delegate.send(route, outgoing).await?;
        let replica = response.body().replica().clone();
        let mut messages = messages(response)?;
        match messages.message().await.map_err(|status| failure(&status)) {
            Ok(first) => return Ok((messages, first)),
            // Refused on a call whose head had gone out already.
            Err(refused) if refused.is_not_begun() => {
                if !(route.refused_by(&replica) && route.has_another()) {
                    return Err(refused);
                }
            }
            Err(failed) => return Err(failed),
        }
    }
}
