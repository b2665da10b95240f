//! What arrives is what was sent.

use std::sync::Arc;
use std::time::Duration;

use super::super::protocol::CHUNK;
use super::{Limits, Owner, Tcp, contents, id, pull};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_all_sizes_arrive() {
    let sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 100 << 20];
    let objects: Vec<_> = (0..).zip(sizes).map(|(number, size)| (id(number), contents(size))).collect();
    let owner = Owner::of(objects.clone()).await;
    for (connections, checksum) in [(1, false), (1, true), (3, false), (3, true)] {
        let transport = Tcp::new(connections, checksum);
        for (id, object) in &objects {
            let pulled = pull(&transport, owner.address, *id, object.len()).await.unwrap();
            assert!(pulled == *object, "{} bytes over {connections}, checksum {checksum}", object.len());
        }
        assert_eq!(transport.idle(), connections);
    }
    owner.released().await;
}

#[tokio::test]
async fn many_small_objects_arrive_at_once() {
    let objects: Vec<_> = (0..100).map(|number| (id(number), contents(1000 * usize::from(number)))).collect();
    let owner = Owner::of(objects.clone()).await;
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let (transport, address) = (Arc::new(Tcp::with_limits(4, true, limits)), owner.address);
    let pulls: Vec<_> = objects
        .into_iter()
        .map(|(id, object)| {
            let transport = Arc::clone(&transport);
            let pulling = async move { pull(&transport, address, id, object.len()).await.unwrap() == object };
            tokio::spawn(pulling)
        })
        .collect();
    for pull in pulls {
        assert!(pull.await.unwrap());
    }
    owner.released().await;
    assert!((1..=4).contains(&transport.idle()));
    while transport.idle() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_pull_that_is_dropped_leaves_nothing() {
    let object = contents(64 << 20);
    let owner = Owner::of([(id(1), object.clone())]).await;
    let transport = Tcp::new(1, false);
    let pulling = pull(&transport, owner.address, id(1), object.len());
    assert!(tokio::time::timeout(Duration::from_millis(2), pulling).await.is_err());
    owner.released().await;
    assert_eq!(transport.idle(), 0);
}
