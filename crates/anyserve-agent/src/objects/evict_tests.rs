//! Objects that leave memory and come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_core::Reference;
use bytes::Bytes;

use super::super::object::{Content, NewObject};
use super::super::spill::tests::{Folder, full};
use super::super::{Ask, ObjectError, Objects, Stake, Tcp};
use super::*;

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const MEMORY: u64 = 16 << 20;

pub(crate) fn objects(spill: Spill) -> Arc<Objects> {
    let objects = Objects::new(MEMORY, Some(spill), Box::new(Tcp::new(1, false)), false).unwrap();
    objects.set_address("here:1".to_owned());
    objects
}

pub(crate) fn file(folder: &Folder, size: u64) -> Spill {
    Spill::create(folder.path(), size).unwrap()
}

pub(crate) fn named(key: &str, content: Content) -> NewObject {
    let (array, ttl, pin, origin) = (None, None, false, None);
    NewObject { content, array, key: Some(key.to_owned()), ttl, pin, creator: "test".into(), origin }
}

/// Whose room it is that large objects make.
pub(crate) fn account(objects: &Objects) -> u64 {
    objects.landing().account()
}

pub(crate) async fn large(objects: &Objects, size: usize, value: u8) -> Content {
    let ask = Ask { length: size, rest: 0 };
    let mut slot = objects.landing().land(&mut Stake::default(), ask, None).await.unwrap();
    slot.fill(value);
    Content::Slot(slot.freeze())
}

pub(crate) async fn create(objects: &Objects, size: usize, value: u8) -> Reference {
    let content = large(objects, size, value).await;
    let id = objects.store().create(None, named(&value.to_string(), content)).unwrap();
    objects.store().stat(id).unwrap().reference(objects.address())
}

pub(crate) fn by_key(objects: &Objects, key: &str) -> Option<Reference> {
    let stat = objects.store().stat(objects.store().lookup(key)?)?;
    Some(stat.reference(objects.address()))
}

pub(crate) async fn holds(objects: &Objects, reference: &Reference, value: u8) -> bool {
    let (bytes, _) = objects.fetch(reference, None).await.unwrap();
    bytes.len() as u64 == reference.size && bytes.iter().all(|&byte| byte == value)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_made_room_is_still_there() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 64 << 20));
    let mut made = Vec::new();
    for value in 0..20 {
        made.push(create(&objects, 2 * MIB, value).await);
    }
    let small = objects.store().small(b"small").unwrap();
    objects.store().create(None, named("small", small)).unwrap();
    for account in [account(&objects), objects.store().small.id()] {
        while objects.store().make_room(account, 1) {}
    }
    let before = objects.store().stat(made[3].id).unwrap();
    assert_eq!(
        (before.on_disk, before.leases, objects.store().spilled()),
        (true, 0, (21, 20 * 2 * MIB as u64 + 4096))
    );
    for (value, reference) in (0..).zip(&made) {
        assert_eq!(by_key(&objects, &value.to_string()).as_ref(), Some(reference));
        assert!(objects.find(reference).unwrap().is_none());
        assert!(holds(&objects, reference, value).await);
    }
    let small = by_key(&objects, "small").unwrap();
    assert_eq!(objects.fetch(&small, None).await.unwrap().0, b"small"[..]);
    let after = objects.store().stat(made[19].id).unwrap();
    assert_eq!((after.on_disk, after.key.as_deref(), &*after.object.creator), (false, Some("19"), "test"));
    assert!(objects.store().stat(made[3].id).unwrap().age >= before.age);
    let wrong = Reference { size: 1, ..made[0].clone() };
    assert!(matches!(objects.find(&wrong), Err(ObjectError::WrongSize { claimed: 1, .. })));
    assert_eq!(objects.store().counts().evicted.get(), 0);
    assert_eq!(folder.entries(), 0);
}

#[tokio::test]
async fn the_file_holds_no_more_than_it_may() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 8 << 20));
    for value in 0..30 {
        create(&objects, 2 * MIB, value).await;
        assert!(objects.store().spilled().1 <= 8 << 20);
    }
    // The last ones are in memory, those before them in the file, and the first are lost.
    let found: Vec<_> = (0..30_u8).filter(|value| by_key(&objects, &value.to_string()).is_some()).collect();
    assert_eq!(found, (30 - u8::try_from(found.len()).unwrap()..30).collect::<Vec<_>>());
    assert_eq!(objects.store().spilled().0, 4);
    assert_eq!(objects.store().counts().evicted.get() + found.len() as u64, 30);
    let (memory, all) = (objects.store().totals().0, objects.store().list());
    assert_eq!(all.iter().filter(|stat| !stat.on_disk).count(), memory);
    assert_eq!(all.len(), found.len());
    // What is larger than the file is lost, and nothing else for it.
    let huge = create(&objects, 9 * MIB, 99).await;
    for value in 100..107 {
        create(&objects, 2 * MIB, value).await;
    }
    assert_eq!(objects.find(&huge).unwrap_err(), ObjectError::Unknown(huge.id));
}

#[tokio::test]
async fn what_is_in_the_file_is_deleted_expires_and_loses_its_key() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 64 << 20));
    let store = objects.store();
    let kept = create(&objects, MIB, 1).await;
    let deleted = create(&objects, MIB, 2).await;
    let content = large(&objects, MIB, 3).await;
    let ttl = Some(Duration::from_millis(50));
    let expiring = store.create(None, NewObject { ttl, ..named("3", content) }).unwrap();
    while store.make_room(account(&objects), 1) {}
    assert_eq!(store.spilled().0, 3);
    let again = create(&objects, MIB, 1).await;
    assert_eq!(by_key(&objects, "1"), Some(again));
    assert!(store.delete(deleted.id) && !store.delete(deleted.id));
    assert_eq!(objects.fetch(&deleted, None).await.unwrap_err(), ObjectError::Unknown(deleted.id));
    assert!(store.stat(expiring).unwrap().expires_in.is_some());
    std::thread::sleep(Duration::from_millis(60));
    assert!(store.stat(expiring).is_none());
    assert_eq!((store.counts().expired.get(), store.spilled().0), (1, 1));
    assert!(holds(&objects, &kept, 1).await);
    assert_eq!(store.stat(kept.id).unwrap().key, None);
}

#[tokio::test]
async fn who_uses_an_object_while_it_is_written_keeps_it_in_memory() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 64 << 20));
    let (store, spill) = (objects.store(), objects.store().spill().unwrap());
    let made = create(&objects, MIB, 1).await;
    let object = store.lock().memory.peek(&made.id).unwrap().value.clone();
    let place = store.write(spill, &object);
    let lease = objects.find(&made).unwrap().unwrap();
    assert!(!store.leave(spill, made.id, &object, place));
    assert_eq!((store.totals().0, store.spilled().0), (1, 0));
    drop((lease, object));
    assert!(spill.take(64 << 20).is_some());
    // Deleted meanwhile, it does not come back.
    let object = store.lock().memory.peek(&made.id).unwrap().value.clone();
    let place = store.write(spill, &object);
    assert!(store.delete(made.id));
    assert!(store.leave(spill, made.id, &object, place));
    assert_eq!((store.totals().0, store.spilled().0), (0, 0));
    assert!(spill.take(64 << 20).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_lost_and_nothing_else() {
    let objects = objects(full(64 << 20));
    let first = create(&objects, 2 * MIB, 0).await;
    for value in 1..10 {
        create(&objects, 2 * MIB, value).await;
    }
    assert_eq!(objects.find(&first).unwrap_err(), ObjectError::Unknown(first.id));
    let lost = objects.store().counts().evicted.get();
    assert_eq!(
        (lost, objects.store().totals().0 as u64),
        (objects.store().spill().unwrap().failed.get(), 10 - lost)
    );
    assert!(holds(&objects, &by_key(&objects, "9").unwrap(), 9).await);
}

/// Threads that make, read and delete objects of which a third fits into memory: nobody ever sees another's bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_every_object_is_what_it_was() {
    let folder = Folder::new();
    let objects = objects(file(&folder, 32 << 20));
    let until = Instant::now() + Duration::from_secs(2);
    let tasks = (0..6_u8).map(|number| {
        let objects = Arc::clone(&objects);
        tokio::spawn(async move {
            let mut made = std::collections::VecDeque::new();
            let mut round = 0_usize;
            while Instant::now() < until {
                round += 1;
                let value = number.wrapping_mul(40).wrapping_add(u8::try_from(round % 40).unwrap());
                made.push_back((create(&objects, (round % 7 + 1) * MIB / 4, value).await, value));
                let (reference, value) = made[round * 31 % made.len()].clone();
                match objects.fetch(&reference, None).await {
                    Ok((bytes, _)) => assert!(is_all(&bytes, value)),
                    Err(ObjectError::Unknown(_)) => made.retain(|(other, _)| other != &reference),
                    Err(error) => panic!("{error}"),
                }
                if made.len() > 8 {
                    let (reference, _) = made.pop_front().unwrap();
                    objects.store().delete(reference.id);
                }
            }
            for (reference, _) in made {
                objects.store().delete(reference.id);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let (store, spill) = (objects.store(), objects.store().spill().unwrap());
    assert!(spill.spilled.get() > 0 && spill.loaded.get() > 0 && spill.failed.get() == 0);
    assert_eq!((store.totals(), store.spilled(), store.budget().used()), ((0, 0, 0), (0, 0), 0));
    assert!(spill.take(32 << 20).is_some());
}

fn is_all(bytes: &Bytes, value: u8) -> bool {
    bytes.iter().all(|&byte| byte == value)
}
