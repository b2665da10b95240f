//! Leases of etcd: a number that keys are bound to, and that ends unless it is kept alive.

use tonic::codegen::tokio_stream;

use super::api::lease_client::LeaseClient;
use super::api::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest};
use super::session::{Failure, Session};

/// A new lease of so many seconds; etcd may make it longer.
pub(super) async fn grant(session: &Session<'_>, seconds: i64) -> Result<i64, Failure> {
    let mut client = LeaseClient::new(session.channel.clone());
    let request = session.request(LeaseGrantRequest { ttl: seconds });
    Ok(session.answer(client.lease_grant(request)).await?.id)
}

/// Renews a lease; false if there is none any more.
pub(super) async fn keep_alive(session: &Session<'_>, lease: i64) -> Result<bool, Failure> {
    let mut client = LeaseClient::new(session.channel.clone());
    let request = session.request(tokio_stream::once(LeaseKeepAliveRequest { id: lease }));
    // The call and its first answer, under one limit of time.
    let call = async {
        let mut answers = client.lease_keep_alive(request).await?.into_inner();
        answers.message().await.map(tonic::Response::new)
    };
    match session.answer(call).await? {
        Some(answer) => Ok(answer.ttl > 0),
        None => Err(session.protocol("it ended a call without an answer")),
    }
}

/// Ends a lease, and with it what is bound to it.
pub(super) async fn revoke(session: &Session<'_>, lease: i64) -> Result<(), Failure> {
    let mut client = LeaseClient::new(session.channel.clone());
    let request = session.request(LeaseRevokeRequest { id: lease });
    session.answer(client.lease_revoke(request)).await.map(drop)
}
