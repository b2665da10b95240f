//! Readers that an owner has to live with.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::protocol::{HEAD_BYTES, Head, Request, Status, VERSION, hello};
use super::{Owner, Tcp, contents, id, pull};

const LIMIT: Duration = Duration::from_millis(200);

async fn owner() -> Owner {
    Owner::with_limit([(id(1), contents(64 << 20))], LIMIT).await
}

/// What the owner says to that before it hangs up; it does so in time.
async fn answer_to(owner: &Owner, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(owner.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut answer = Vec::new();
    // It may be a reset, where it had not read everything.
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

fn request(offset: u64, length: u64) -> Vec<u8> {
    [&hello()[..], &Request { id: id(1), offset, length, checksum: false }.encode()].concat()
}

#[tokio::test]
async fn garbage_is_cut_off() {
    let owner = owner().await;
    let unknown_flag = [&request(0, 1)[..40], &[0x80]].concat();
    for said in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 100_000], unknown_flag, hello()[..3].to_vec()]
    {
        assert_eq!(answer_to(&owner, &said).await, b"");
    }
    let (size, status) = (VERSION.into(), Status::Version);
    assert_eq!(answer_to(&owner, b"anyobj\xff\xff").await, Head { status, size }.encode());
    assert_eq!(pull(&Tcp::new(1, true), owner.address, id(1), 64 << 20).await.unwrap(), contents(64 << 20));
}

#[tokio::test]
async fn what_is_not_within_the_object_is_refused() {
    let owner = owner().await;
    let size = 64 << 20;
    let refusal = Head { status: Status::OutOfRange, size }.encode();
    for (offset, length) in [(0, size + 1), (size, 1), (u64::MAX, 2), (1, u64::MAX), (u64::MAX, 0)] {
        assert_eq!(answer_to(&owner, &request(offset, length)).await, refusal);
    }
    assert_eq!(answer_to(&owner, &request(size, 0)).await.len(), HEAD_BYTES);
    assert_eq!(
        answer_to(&owner, &request(size - 5, 5)).await[HEAD_BYTES..],
        contents(64 << 20)[(64 << 20) - 5..]
    );
}

#[tokio::test]
async fn a_reader_that_reads_nothing_holds_nothing_for_long() {
    let owner = owner().await;
    let mut stream = TcpStream::connect(owner.address).await.unwrap();
    stream.write_all(&request(0, 64 << 20)).await.unwrap();
    while owner.leases() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    timeout(Duration::from_secs(5), owner.released()).await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn nothing_is_leased_once_the_owner_has_stopped() {
    let owner = Owner::of([(id(1), contents(64 << 20))]).await;
    let mut stream = TcpStream::connect(owner.address).await.unwrap();
    stream.write_all(&request(0, 64 << 20)).await.unwrap();
    while owner.leases() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    owner.stop.cancel();
    timeout(Duration::from_secs(5), owner.released()).await.unwrap();
}
