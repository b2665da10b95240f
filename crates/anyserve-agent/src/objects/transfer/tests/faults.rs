//! Connections that break, and bytes that change on their way.

use super::super::Reason;
use super::super::protocol::{CHUNK, HEAD_BYTES};
use super::proxy::{Fault, Proxy};
use super::{Owner, Tcp, contents, id, pull};

const SIZE: usize = 20 * CHUNK + 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_comes_over_a_new_connection() {
    for checksum in [false, true] {
        let owner = Owner::of([(id(1), contents(SIZE))]).await;
        let cuts = [10, 3 * CHUNK / 2, 0, 5 * CHUNK, HEAD_BYTES, 2 * CHUNK];
        let proxy = Proxy::to(owner.address, move |connection| match cuts.get(connection) {
            Some(&after) => Fault::CutAfter(after),
            None => Fault::None,
        })
        .await;
        let pulled = pull(&Tcp::new(1, checksum), proxy.address, id(1), SIZE).await.unwrap();
        assert!(pulled == contents(SIZE));
        assert_eq!(proxy.connections(), cuts.len() + 1);
        let lost = proxy.sent() - SIZE;
        // Without checksums every byte that came counts; with them, every chunk.
        let most = if checksum { 4 * CHUNK } else { 1000 };
        assert!(lost < most, "{lost} bytes came twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_several_connections_may_break() {
    let size = 80 << 20;
    let owner = Owner::of([(id(1), contents(size))]).await;
    let proxy = Proxy::to(owner.address, |connection| match connection {
        0..8 => Fault::CutAfter(3 * CHUNK + connection),
        _ => Fault::None,
    })
    .await;
    let pulled = pull(&Tcp::new(4, false), proxy.address, id(1), size).await.unwrap();
    assert!(pulled == contents(size));
    assert!(proxy.sent() < size + 1000);
}

#[tokio::test]
async fn a_connection_that_always_breaks_is_given_up() {
    let owner = Owner::of([(id(1), contents(SIZE))]).await;
    let proxy = Proxy::to(owner.address, |_| Fault::CutAfter(1000)).await;
    let error = pull(&Tcp::new(1, false), proxy.address, id(1), SIZE).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Broken { tries: 5, .. }), "{error}");
    assert_eq!(proxy.connections(), 5);
}

#[tokio::test]
async fn a_damaged_chunk_is_asked_for_again() {
    let owner = Owner::of([(id(1), contents(SIZE))]).await;
    let proxy = Proxy::to(owner.address, |connection| match connection {
        0 => Fault::Flip(5 * CHUNK),
        _ => Fault::None,
    })
    .await;
    let pulled = pull(&Tcp::new(1, true), proxy.address, id(1), SIZE).await.unwrap();
    assert!(pulled == contents(SIZE));
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_chunk_that_is_damaged_each_time_is_given_up() {
    let owner = Owner::of([(id(1), contents(SIZE))]).await;
    let proxy = Proxy::to(owner.address, |connection| match connection {
        // The third chunk, and then the first that is asked for.
        0 => Fault::Flip(2 * CHUNK + 1000),
        _ => Fault::Flip(1000),
    })
    .await;
    let error = pull(&Tcp::new(1, true), proxy.address, id(1), SIZE).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Corrupt { chunk: 2, tries: 5 }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "object {} could not be pulled from {}: chunk 2 is damaged, in each of 5 tries",
            id(1),
            proxy.address
        )
    );
}
