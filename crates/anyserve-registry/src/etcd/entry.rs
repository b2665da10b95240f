//! The key of one replica: written, renewed and removed without ever overwriting a later incarnation.
//!
//! Whoever writes says which revision of the key it has seen; if that is not the one that is there, etcd answers with
//! what is, and the two are compared.

use std::time::Duration;

use anyserve_core::replicas::Replica;
use tokio::time::Instant;

use super::api::compare::{CompareResult, CompareTarget, TargetUnion};
use super::api::kv_client::KvClient;
use super::api::request_op::Request as Operation;
use super::api::response_op::Response as Outcome;
use super::api::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};
use super::lease;
use super::session::{Cluster, Failure, Session};
use crate::error::RegistryError;
use crate::json;

/// How many times somebody else may write the same key before one gives up for now.
const RACES: usize = 64;
/// The longest lease, in seconds: 30 days.
const LONGEST_LEASE: i64 = 30 * 24 * 3600;

/// What this process has put.
#[derive(Debug)]
pub(super) struct Held {
    lease: i64,
    seconds: i64,
    /// When the lease ends, unless it is renewed.
    pub(super) until: Instant,
    /// What was written, in which revision; nothing yet, if that failed.
    written: Option<(i64, Vec<u8>)>,
}

/// What is to be put.
pub(super) struct Wanted<'a> {
    pub(super) replica: &'a Replica,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) lease: Duration,
}

impl Wanted<'_> {
    /// Makes the key so, bound to a lease that is new or renewed.
    pub(super) async fn put(&self, cluster: &Cluster, held: &mut Option<Held>) -> Result<(), Failure> {
        let session = cluster.session().await?;
        let held = self.hold_lease(&session, held).await?;
        // Nothing is known of what is there, or what was written last.
        let (mut seen, mut is_there) = match &held.written {
            Some((revision, value)) => (*revision, *value == self.value),
            None => (0, false),
        };
        for _ in 0..RACES {
            let put = PutRequest { key: self.key.clone(), value: self.value.clone(), lease: held.lease };
            let success = if is_there { None } else { Some(Operation::RequestPut(put)) };
            let answer = if_unchanged(&session, &self.key, seen, success).await?;
            if answer.succeeded {
                let revision = if is_there { seen } else { revision_of(&answer) };
                held.written = Some((revision, self.value.clone()));
                return Ok(());
            }
            held.written = None;
            let found = found(answer);
            if let Some(there) = found.as_ref().and_then(read)
                && there.incarnation() > self.replica.incarnation()
            {
                return Err(superseded(&there));
            }
            (seen, is_there) = (found.map_or(0, |found| found.mod_revision), false);
        }
        Err(session.protocol("somebody else writes the same key all the time"))
    }

    /// Renews the lease that is held, or gets one.
    async fn hold_lease<'h>(
        &self,
        session: &Session<'_>,
        held: &'h mut Option<Held>,
    ) -> Result<&'h mut Held, Failure> {
        // Rounded up.
        let seconds = self.lease.as_secs() + u64::from(self.lease.subsec_nanos() > 0);
        let seconds = i64::try_from(seconds).unwrap_or(LONGEST_LEASE).clamp(1, LONGEST_LEASE);
        let is_kept = match held {
            Some(held) if held.seconds == seconds => lease::keep_alive(session, held.lease).await?,
            _ => false,
        };
        let until = Instant::now() + Duration::from_secs(seconds.unsigned_abs());
        if is_kept && let Some(held) = held {
            held.until = until;
            return Ok(held);
        }
        let lease = lease::grant(session, seconds).await?;
        Ok(held.insert(Held { lease, seconds, until, written: None }))
    }
}

/// Takes the key away, unless it is of a later incarnation; true if it was there.
pub(super) async fn remove(
    cluster: &Cluster,
    key: &[u8],
    incarnation: Option<u64>,
    held: &mut Option<Held>,
) -> Result<bool, Failure> {
    let session = cluster.session().await?;
    // A revision that no key has: the first answer says what is there.
    let mut seen = i64::MAX;
    for _ in 0..RACES {
        let delete = Operation::RequestDeleteRange(DeleteRangeRequest { key: key.to_vec() });
        let answer = if_unchanged(&session, key, seen, Some(delete)).await?;
        if answer.succeeded {
            if let Some(held) = held.take() {
                // If this fails, the lease ends by itself.
                let _ = lease::revoke(&session, held.lease).await;
            }
            return Ok(true);
        }
        let Some(there) = found(answer) else {
            return Ok(false);
        };
        let is_later = |limit| read(&there).is_some_and(|replica| replica.incarnation() > limit);
        if incarnation.is_some_and(is_later) {
            return Ok(false);
        }
        seen = there.mod_revision;
    }
    Err(session.protocol("somebody else writes the same key all the time"))
}

/// Does something if the key is as it was in that revision, 0 for a key that is not there; says what is there if not.
async fn if_unchanged(
    session: &Session<'_>,
    key: &[u8],
    revision: i64,
    operation: Option<Operation>,
) -> Result<TxnResponse, Failure> {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.to_vec(),
        target_union: Some(TargetUnion::ModRevision(revision)),
    };
    let look = Operation::RequestRange(RangeRequest { key: key.to_vec(), ..Default::default() });
    let request = TxnRequest {
        compare: vec![compare],
        success: operation.map(|operation| RequestOp { request: Some(operation) }).into_iter().collect(),
        failure: vec![RequestOp { request: Some(look) }],
    };
    let mut client = KvClient::new(session.channel.clone());
    session.answer(client.txn(session.request(request))).await
}

fn revision_of(answer: &TxnResponse) -> i64 {
    answer.header.as_ref().map_or(0, |header| header.revision)
}

/// What a transaction that did nothing says is there.
fn found(answer: TxnResponse) -> Option<KeyValue> {
    match answer.responses.into_iter().next()?.response? {
        Outcome::ResponseRange(range) => range.kvs.into_iter().next(),
        _ => None,
    }
}

/// The replica of a key; none if it is something else, which nobody needs.
fn read(found: &KeyValue) -> Option<Replica> {
    json::decode(&found.value).ok()
}

fn superseded(by: &Replica) -> Failure {
    Failure { error: RegistryError::superseded(by), again: false }
}
