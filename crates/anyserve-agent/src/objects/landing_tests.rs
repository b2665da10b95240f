//! Waiting for room, with time that passes by itself.

use std::sync::Arc;

use super::super::object::{Content, NewObject};
use super::*;

const SIZE: u64 = 16 << 20;

fn landing() -> Arc<Landing> {
    let store = Arc::new(Store::new(SIZE, None));
    let segment = Segment::create(store.budget(), true).unwrap();
    Arc::new(Landing::new(segment, store))
}

fn only(length: usize) -> Ask {
    Ask { length, rest: 0 }
}

async fn land(landing: &Landing, length: usize) -> Result<SlotMut, Failure> {
    landing.land(&mut Stake::default(), only(length), None).await
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_waits_until_there_is_some() {
    let landing = landing();
    let first = land(&landing, 10 << 20).await.unwrap();
    assert!(landing.try_land(&mut Stake::default(), only(10 << 20)).is_none());
    let wait = land(&landing, 10 << 20);
    let (second, ()) = tokio::join!(wait, async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        drop(first);
    });
    assert_eq!(second.unwrap().len(), 10 << 20);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let landing = landing();
    let _first = land(&landing, 10 << 20).await.unwrap();
    let start = tokio::time::Instant::now();
    let failure = land(&landing, 10 << 20).await.unwrap_err();
    assert_eq!(failure, Failure::ArenaFull { asked: 10 << 20, free: 4 << 20, limit: SIZE });
    assert_eq!(start.elapsed(), LONGEST_WAIT);
    let (mut stake, soon) = (Stake::default(), tokio::time::Instant::now() + Duration::from_secs(1));
    assert!(landing.land(&mut stake, only(10 << 20), Some(soon.into())).await.is_err());
    assert!(start.elapsed() < LONGEST_WAIT + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_never_fits_fails_at_once() {
    let landing = landing();
    let start = tokio::time::Instant::now();
    let failure = land(&landing, 17 << 20).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "17825792 bytes of tensors found no room in the object store: 14680064 of 16777216 are free \
         (--object-store-size)"
    );
    // Two contents that fit, but not together.
    let mut stake = Stake::default();
    let _first = landing.land(&mut stake, Ask { length: 10 << 20, rest: 10 << 20 }, None).await.unwrap();
    assert!(landing.land(&mut stake, only(10 << 20), None).await.is_err());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn room_is_made_of_what_can_be_evicted() {
    let landing = landing();
    let slot = land(&landing, 10 << 20).await.unwrap().freeze();
    assert!(landing.try_land(&mut Stake::default(), only(10 << 20)).is_none());
    let object = NewObject {
        content: Content::Slot(slot.clone()),
        array: None,
        key: None,
        ttl: None,
        pin: false,
        creator: "test".into(),
        origin: None,
    };
    landing.store.create(None, object).unwrap();
    // Somebody holds it.
    assert!(landing.try_land(&mut Stake::default(), only(10 << 20)).is_none());
    drop(slot);
    assert!(landing.try_land(&mut Stake::default(), only(10 << 20)).is_some());
    assert_eq!(landing.store.totals().0, 0);
}

#[tokio::test(start_paused = true)]
async fn two_messages_of_two_parts_do_not_wait_for_one_another() {
    let landing = landing();
    let message = async || {
        let mut stake = Stake::default();
        let ask = Ask { length: 5 << 20, rest: (5 << 20) + 100 };
        let first = landing.land(&mut stake, ask, None).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = landing.land(&mut stake, Ask { length: 5 << 20, rest: 100 }, None).await.unwrap();
        drop((first, second));
    };
    tokio::join!(message(), message(), message(), message());
    assert_eq!(landing.segment.account().used(), 0);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_room_in_the_order_they_came() {
    let landing = landing();
    let first = land(&landing, 10 << 20).await.unwrap();
    let order = std::sync::Mutex::new(Vec::new());
    let wait = async |length: usize| {
        let slot = land(&landing, length).await.unwrap();
        order.lock().unwrap().push(length);
        drop(slot);
    };
    let (large, small) = (12 << 20, 1 << 20);
    tokio::join!(wait(large), wait(small), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Who comes now does not go before them.
        assert!(landing.try_land(&mut Stake::default(), only(small)).is_none());
        drop(first);
    });
    assert_eq!(*order.lock().unwrap(), [large, small]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_does_not_hold_up_the_next() {
    let landing = landing();
    let first = land(&landing, 10 << 20).await.unwrap();
    let gone = tokio::time::timeout(Duration::from_secs(1), land(&landing, 10 << 20)).await;
    assert!(gone.is_err());
    assert!(landing.try_land(&mut Stake::default(), only(1 << 20)).is_some());
    drop(first);
    assert!(landing.try_land(&mut Stake::default(), only(10 << 20)).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_on_an_object_is_room() {
    let landing = landing();
    let slot = land(&landing, 10 << 20).await.unwrap().freeze();
    let (array, key, ttl, pin, creator, origin) = (None, None, None, false, "test".into(), None);
    let object = NewObject { content: Content::Slot(slot.clone()), array, key, ttl, pin, creator, origin };
    landing.store.create(None, object).unwrap();
    let start = tokio::time::Instant::now();
    let (landed, ()) = tokio::join!(land(&landing, 10 << 20), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(slot);
    });
    assert_eq!((landed.unwrap().len(), start.elapsed()), (10 << 20, Duration::from_secs(1)));
}
