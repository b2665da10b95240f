//! All keys, and then each change.

use std::collections::HashMap;
use std::sync::Arc;

use anyserve_core::replicas::{Replica, ReplicaId};
use tonic::Streaming;
use tonic::codegen::tokio_stream::{self, StreamExt};
use tonic::metadata::MetadataValue;

use super::api::event::EventType;
use super::api::kv_client::KvClient;
use super::api::watch_client::WatchClient;
use super::api::watch_request::RequestUnion;
use super::api::{Event, KeyValue, RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse};
use super::session::{Cluster, Failure, Session};
use crate::error::RegistryError;
use crate::json;
use crate::shared::SharedDirectory;

/// How many keys are asked for at once.
const PAGE: i64 = 256;
/// The largest answer: a page of the largest replicas.
const MAX_ANSWER: usize = 512 << 20;

/// How a watch ended.
enum Ended {
    /// Changes after that revision are not known any more: everything is to be read anew.
    Compacted,
    Failed(Failure),
}

/// Brings everything into the directory, and each change, until that fails.
pub(super) async fn follow(cluster: &Cluster, directory: &Arc<SharedDirectory>) -> RegistryError {
    // A member that is gone or has forgotten who asks: the next try may do.
    let mut tries = cluster.tries();
    loop {
        match follow_once(cluster, directory).await {
            Ended::Compacted => {}
            Ended::Failed(failure) if failure.again && tries > 0 && !directory.status().connected => {
                tries -= 1;
            }
            Ended::Failed(failure) => return failure.error,
        }
    }
}

async fn follow_once(cluster: &Cluster, directory: &SharedDirectory) -> Ended {
    let prepare = async {
        let session = cluster.session().await?;
        let (revision, replicas) = snapshot(&session, cluster).await?;
        let watching = watch(&session, cluster, revision + 1).await?;
        Ok((session, watching, replicas))
    };
    let (session, mut watching, replicas) = match prepare.await {
        Ok(prepared) => prepared,
        Err(failure) => return Ended::Failed(failure),
    };
    directory.replace(replicas.into_values());
    loop {
        match watching.message().await {
            Ok(Some(response)) if response.canceled => return canceled(&session, &response),
            Ok(Some(response)) => {
                response.events.into_iter().for_each(|event| apply(cluster, directory, event));
            }
            Ok(None) => {
                return Ended::Failed(session.failed(&tonic::Status::unavailable("it ended the watch")));
            }
            Err(status) => return Ended::Failed(session.failed(&status)),
        }
    }
}

fn canceled(session: &Session<'_>, response: &WatchResponse) -> Ended {
    if response.compact_revision > 0 {
        return Ended::Compacted;
    }
    let reason = response.cancel_reason.as_str();
    // A watch is refused by a message, not by a status.
    let status = if reason.contains("invalid auth token") {
        tonic::Status::unauthenticated(reason)
    } else if reason.contains("permission denied") {
        tonic::Status::permission_denied(reason)
    } else {
        tonic::Status::unavailable(format!("it canceled the watch: {reason}"))
    };
    Ended::Failed(session.failed(&status))
}

/// All replicas, as they are in one revision.
async fn snapshot(
    session: &Session<'_>,
    cluster: &Cluster,
) -> Result<(i64, HashMap<ReplicaId, Replica>), Failure> {
    let (mut key, range_end) = range(cluster);
    let (mut revision, mut replicas) = (0, HashMap::new());
    let mut client = KvClient::new(session.channel.clone()).max_decoding_message_size(MAX_ANSWER);
    loop {
        let page = RangeRequest { key, range_end: range_end.clone(), limit: PAGE, revision };
        let answer = session.answer(client.range(session.request(page))).await?;
        if revision == 0 {
            revision = answer.header.map_or(0, |header| header.revision);
        }
        let last = answer.kvs.last().map(|found| found.key.clone());
        for found in answer.kvs {
            if let Some(replica) = read(cluster, &found) {
                replicas.insert(replica.id().clone(), replica);
            }
        }
        match last {
            Some(last) if answer.more => key = [last.as_slice(), &[0]].concat(),
            _ => return Ok((revision, replicas)),
        }
    }
}

/// Each change from that revision on.
async fn watch(
    session: &Session<'_>,
    cluster: &Cluster,
    start_revision: i64,
) -> Result<Streaming<WatchResponse>, Failure> {
    let (key, range_end) = range(cluster);
    let create = WatchCreateRequest { key, range_end, start_revision, fragment: true };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // The watch ends with the requests: there is one, and no end.
    let mut request = session.request(tokio_stream::once(create).chain(tokio_stream::pending()));
    // A member that has lost the others ends the watch instead of saying nothing for ever.
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    let mut client = WatchClient::new(session.channel.clone()).max_decoding_message_size(MAX_ANSWER);
    session.answer(client.watch(request)).await
}

fn apply(cluster: &Cluster, directory: &SharedDirectory, event: Event) {
    let is_deleted = event.r#type() == EventType::Delete;
    let Some(changed) = event.kv else { return };
    let Some(id) = id_of(cluster, &changed.key) else { return };
    match read(cluster, &changed) {
        Some(replica) if !is_deleted => directory.put(replica),
        // What cannot be read is as good as gone.
        _ => directory.remove(&id),
    }
}

/// The replica of a key. What somebody else has put there is passed over.
fn read(cluster: &Cluster, found: &KeyValue) -> Option<Replica> {
    let id = id_of(cluster, &found.key)?;
    if found.value.is_empty() {
        return None;
    }
    match json::decode(&found.value) {
        Ok(replica) if *replica.id() == id => Some(replica),
        Ok(replica) => {
            tracing::warn!(
                "{cluster} has a replica under '{id}' that calls itself '{}'; it does not count",
                replica.id()
            );
            None
        }
        Err(error) => {
            tracing::warn!("{cluster} has something under '{id}' that is no replica: {error}");
            None
        }
    }
}

fn id_of(cluster: &Cluster, key: &[u8]) -> Option<ReplicaId> {
    let name = key.strip_prefix(cluster.settings.prefix.as_bytes())?;
    ReplicaId::new(std::str::from_utf8(name).ok()?).ok()
}

/// The first key with the prefix, and the first one after those.
fn range(cluster: &Cluster) -> (Vec<u8>, Vec<u8>) {
    let first = cluster.settings.prefix.clone().into_bytes();
    let mut end = first.clone();
    // It ends with a slash, and the character after that is the zero.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (first, end)
}
