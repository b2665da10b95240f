//! Pulls over real sockets.

mod faults;
mod owners;
mod proxy;
mod round_trips;
mod speed;
mod strangers;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyserve_core::{ObjectId, Reference};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::tcp::Limits;
use super::{PullError, Source, Tcp, TransferServer, Transport};

/// Objects, of which it is known how many are leased.
#[derive(Default)]
struct Store {
    objects: HashMap<ObjectId, Bytes>,
    leases: Arc<AtomicUsize>,
}

struct Lease(Bytes, Arc<AtomicUsize>);

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source for Store {
    fn open(&self, id: ObjectId) -> Option<Bytes> {
        let object = self.objects.get(&id)?.clone();
        self.leases.fetch_add(1, Ordering::SeqCst);
        Some(Bytes::from_owner(Lease(object, Arc::clone(&self.leases))))
    }

    /// Of the keys `key N`, those with an even N name objects of N bytes.
    fn look_up(&self, keys: &[String]) -> Vec<Option<Reference>> {
        let found = |key: &String| {
            let size: u64 = key.strip_prefix("key ")?.parse().ok()?;
            let reference = Reference { owner: "a:1".to_owned(), id: id(1), size, array: None };
            size.is_multiple_of(2).then_some(reference)
        };
        keys.iter().map(found).collect()
    }
}

/// An owner that serves for as long as this lives.
struct Owner {
    address: SocketAddr,
    leases: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Owner {
    async fn of(objects: impl IntoIterator<Item = (ObjectId, Bytes)>) -> Self {
        Self::with_limit(objects, Duration::from_secs(30)).await
    }

    async fn with_limit(objects: impl IntoIterator<Item = (ObjectId, Bytes)>, stalled: Duration) -> Self {
        let store = Store { objects: objects.into_iter().collect(), ..Store::default() };
        let (leases, stop) = (Arc::clone(&store.leases), CancellationToken::new());
        let (server, address) = TransferServer::bind(localhost()).await.unwrap();
        tokio::spawn(server.with_limit(stalled).run(Arc::new(store), stop.clone()));
        Self { address, leases, stop }
    }

    fn leases(&self) -> usize {
        self.leases.load(Ordering::SeqCst)
    }

    /// Waits until nothing is leased.
    async fn released(&self) {
        while self.leases() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn localhost() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn id(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

/// Bytes of which no two chunks are the same: what is repeated is no part of a chunk.
fn contents(size: usize) -> Bytes {
    let word = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let mut block: Vec<u8> = (0..12_500).flat_map(word).collect();
    block.truncate(99_991);
    let mut bytes = block.repeat(size.div_ceil(block.len()));
    bytes.truncate(size);
    bytes.into()
}

/// Limits for tests of what never happens.
fn short() -> Limits {
    let limit = Duration::from_millis(200);
    Limits { connect: limit, stalled: limit, idle: limit }
}

async fn pull(transport: &Tcp, owner: SocketAddr, id: ObjectId, size: usize) -> Result<Vec<u8>, PullError> {
    let mut into = vec![0; size];
    let arrived = AtomicUsize::new(0);
    let progress = |count| {
        arrived.fetch_add(count, Ordering::Relaxed);
    };
    transport.pull(&owner.to_string(), id, &mut into, &progress).await?;
    assert_eq!(arrived.into_inner(), size);
    Ok(into)
}
