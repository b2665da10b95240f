//! `GET /watch`: a snapshot, and then each change.

use std::sync::Arc;
use std::time::Duration;

use anyserve_core::replicas::ReplicaId;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::events::{Event, Events};
use super::exchange::{self, unreachable};
use super::place::Place;
use crate::error::RegistryError;
use crate::json;
use crate::shared::SharedDirectory;

/// An API server says something every 5 s: after so long without, it is gone.
const SILENCE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Gone {
    replica_id: String,
}

/// Brings everything into the directory, and each change, until that fails.
pub(super) async fn follow(place: &Place, directory: &Arc<SharedDirectory>) -> RegistryError {
    match watch(place, directory).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn watch(
    place: &Place,
    directory: &SharedDirectory,
) -> Result<std::convert::Infallible, RegistryError> {
    let opened = exchange::begin(place, "/watch").await?;
    let _connection = opened.connection;
    let status = opened.response.status();
    if status != StatusCode::OK {
        let reason = format!("GET /watch: HTTP status {status}");
        return Err(RegistryError::Refused { place: place.to_string(), reason });
    }
    let protocol = |reason: String| RegistryError::Protocol { place: place.to_string(), reason };
    let lost =
        |reason: &str| RegistryError::Unreachable { place: place.to_string(), reason: reason.to_owned() };
    let (mut body, mut events) = (opened.response.into_body(), Events::default());
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame()).await;
        let frame = frame.map_err(|_| lost(&format!("nothing came for {SILENCE:?}")))?;
        let frame = frame.ok_or_else(|| lost("it ended the stream of changes"))?;
        let frame = frame.map_err(|error| unreachable(place, &error))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let mut applied = Ok(());
        let each = |event| {
            if applied.is_ok() {
                applied = apply(directory, &event);
            }
        };
        events.take(&bytes, each).map_err(|error| protocol(error.to_string()))?;
        applied.map_err(protocol)?;
    }
}

/// An error says what is wrong with the event.
fn apply(directory: &SharedDirectory, event: &Event) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("event '{}': {error}", event.name);
    match event.name.as_str() {
        "snapshot" => {
            let (replicas, is_complete) =
                json::decode_snapshot(&event.data).map_err(|error| wrong(&error))?;
            if is_complete {
                directory.replace(replicas);
            } else {
                directory.merge(replicas);
            }
        }
        "put" => directory.put(json::decode(&event.data).map_err(|error| wrong(&error))?),
        "gone" => {
            let Gone { replica_id } = serde_json::from_slice(&event.data).map_err(|error| wrong(&error))?;
            directory.remove(&ReplicaId::new(&replica_id).map_err(|error| wrong(&error))?);
        }
        "overrun" => return Err("too many changes came at once for this reader".to_owned()),
        // Of a later version.
        _ => {}
    }
    Ok(())
}
