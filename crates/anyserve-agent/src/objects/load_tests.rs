//! Objects that come back into memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::super::evict::tests::{MEMORY, MIB, account, by_key, create, file, holds, large, named, objects};
use super::super::object::NewObject;
use super::super::spill::tests::{Folder, full};
use super::super::{ObjectError, Objects, Tcp, TransferServer};

#[tokio::test]
async fn a_ttl_goes_on_when_an_object_comes_back() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 64 << 20));
    let content = large(&objects, MIB, 1).await;
    let ttl = Some(Duration::from_millis(300));
    let id = objects.store().create(None, NewObject { ttl, ..named("k", content) }).unwrap();
    let start = Instant::now();
    assert!(objects.store().make_room(account(&objects), 1));
    assert!(holds(&objects, &by_key(&objects, "k").unwrap(), 1).await);
    assert!(!objects.store().stat(id).unwrap().on_disk);
    while objects.store().stat(id).is_some() {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(299));
}

#[tokio::test]
async fn what_cannot_be_read_is_lost_with_a_word() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 64 << 20));
    let made = create(&objects, MIB, 1).await;
    assert!(objects.store().make_room(account(&objects), 1));
    objects.store().spill().unwrap().truncate();
    let error = objects.fetch(&made, None).await.unwrap_err();
    assert!(error.to_string().contains("cannot be read from the spill file"), "{error}");
    assert_eq!(objects.find(&made).unwrap_err(), ObjectError::Unknown(made.id));
    assert_eq!((objects.store().spilled().0, objects.pulls().failed.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_are_one_read() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 64 << 20));
    let made = create(&objects, 4 * MIB, 7).await;
    assert!(objects.store().make_room(account(&objects), 1));
    let readers = (0..50).map(|_| {
        let (objects, made) = (Arc::clone(&objects), made.clone());
        tokio::spawn(async move { holds(&objects, &made, 7).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert!(reader.await.unwrap());
    }
    assert_eq!(objects.store().spill().unwrap().loaded.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_agents_get_what_is_in_the_file() {
    let folder = Folder::new();
    let owner =
        Objects::new(MEMORY, Some(file(&folder, 64 << 20)), Box::new(Tcp::new(1, false)), false).unwrap();
    let (server, address) = TransferServer::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    owner.set_address(address.to_string());
    let made = create(&owner, 3 * MIB, 5).await;
    assert!(owner.store().make_room(account(&owner), 1));
    let source = Arc::clone(&owner);
    let serving = tokio::spawn(async move { server.run(source, CancellationToken::new()).await });
    let reader = Objects::new(MEMORY, Some(full(64 << 20)), Box::new(Tcp::new(1, false)), false).unwrap();
    assert!(holds(&reader, &made, 5).await);
    // It can be pulled again, so it is not written.
    assert!(reader.store().make_room(account(&reader), 1));
    assert_eq!((reader.store().spilled().0, reader.store().spill().unwrap().failed.get()), (0, 0));
    serving.abort();
}
