//! The shared directory by itself, and its follower when the registry fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyserve_core::replicas::{Change, Replica, ReplicaId};
use anyserve_registry::{Changes, Follower, Registry, RegistryError, SharedDirectory, open};
use async_trait::async_trait;
use tokio::sync::watch;

use crate::support::{becomes, id, replica, text};

#[tokio::test(start_paused = true)]
async fn changes_come_in_order_and_a_version_that_is_too_old_gets_a_snapshot() {
    let directory = Arc::<SharedDirectory>::default();
    let first = tokio::spawn({
        let directory = directory.clone();
        async move { directory.changes(0).await }
    });
    directory.replace([]);
    assert_eq!(first.await.unwrap(), (1, Changes::Snapshot(vec![])));
    directory.put(replica("a", 1, &["echo"]));
    directory.put(replica("a", 1, &["echo"]));
    directory.remove(&id("a"));
    directory.remove(&id("a"));
    let a = Arc::new(replica("a", 1, &["echo"]));
    let both = vec![Change::Put(a), Change::Gone(id("a"))];
    assert_eq!(directory.changes(1).await, (3, Changes::Since(both)));
    assert_eq!(directory.changes(2).await, (3, Changes::Since(vec![Change::Gone(id("a"))])));
    // Of another directory, which went further.
    assert_eq!(directory.changes(99).await, (3, Changes::Snapshot(vec![])));
    for number in 0..5000 {
        directory.put(replica("b", number, &[]));
    }
    assert!(matches!(directory.changes(3).await, (5003, Changes::Snapshot(all)) if all.len() == 1));
    assert!(matches!(directory.changes(5000).await, (5003, Changes::Since(some)) if some.len() == 3));
    let waits = tokio::time::timeout(Duration::from_secs(60), directory.changes(5003)).await;
    assert!(waits.is_err());
}

#[tokio::test(start_paused = true)]
async fn replicas_that_went_without_a_word_are_remembered_for_a_while() {
    let directory = Arc::<SharedDirectory>::default();
    let lapsed = || -> Vec<String> {
        let reading = directory.read();
        let known = reading.lapsed().into_iter().flat_map(anyserve_core::Directory::iter);
        known.map(|replica| replica.id().to_string()).collect()
    };
    directory.replace([replica("a", 1, &["echo"]), replica("b", 1, &["echo"]), replica("c", 1, &[])]);
    assert!(directory.read().lapsed().is_none());
    directory.remove(&id("a"));
    // One that takes no requests has withdrawn them.
    directory.remove(&id("c"));
    directory.replace([]);
    assert_eq!(lapsed(), ["a", "b"]);
    directory.put(replica("a", 1, &["echo"]));
    assert_eq!(lapsed(), ["b"]);
    directory.replace([replica("b", 2, &["echo"])]);
    assert_eq!(lapsed(), ["a"]);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(directory.read().lapsed().is_none());
    directory.remove(&id("b"));
    assert_eq!(lapsed(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_snapshot_stays_while_the_registry_is_lost() {
    let (is_up, up) = watch::channel(true);
    let follower = Follower::start(Arc::new(Flaky { up }));
    let directory = follower.directory();
    becomes(directory, "a.1{echo}").await;
    is_up.send(false).unwrap();
    let mut status = directory.watch();
    status.wait_for(|status| !status.connected).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(text(directory), "a.1{echo}");
    is_up.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(6), status.wait_for(|status| status.connected))
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn what_is_no_registry_is_refused_without_its_password() {
    for bad in ["", "memory", "memory:x", "ftp://user:secret@host:1", "user:secret@host", "http//x"] {
        let message = open(bad).unwrap_err().to_string();
        assert!(message.contains("is no registry: it must be") && !message.contains("secret"), "{message}");
    }
}

/// A registry that answers only while it is up.
#[derive(Debug)]
struct Flaky {
    up: watch::Receiver<bool>,
}

impl fmt::Display for Flaky {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("flaky:")
    }
}

#[async_trait]
impl Registry for Flaky {
    async fn put(&self, _: &Replica, _: Duration) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn remove(&self, _: &ReplicaId, _: Option<u64>) -> Result<bool, RegistryError> {
        Ok(false)
    }

    async fn follow(&self, directory: &Arc<SharedDirectory>) -> RegistryError {
        let mut up = self.up.clone();
        if *up.borrow_and_update() {
            directory.replace([replica("a", 1, &["echo"])]);
            up.changed().await.unwrap();
        }
        RegistryError::Unreachable { place: self.to_string(), reason: "it is down".to_owned() }
    }
}
