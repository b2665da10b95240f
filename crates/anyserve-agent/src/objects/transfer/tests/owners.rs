//! Owners that are not there, do not have it, or are no owners.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::super::protocol::{Head, Status};
use super::super::{Reason, Transport};
use super::{Owner, Tcp, contents, id, localhost, pull, short};

#[tokio::test]
async fn an_owner_that_is_not_there_is_named() {
    let nobody = TcpListener::bind(localhost()).await.unwrap().local_addr().unwrap();
    let error = pull(&Tcp::new(1, false), nobody, id(7), 10).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(&nobody.to_string()) && text.contains(&id(7).to_string()), "{text}");
}

#[tokio::test]
async fn an_owner_that_ends_is_unreachable() {
    let owner = Owner::of([(id(1), contents(10))]).await;
    let transport = Tcp::new(1, false);
    pull(&transport, owner.address, id(1), 10).await.unwrap();
    owner.stop.cancel();
    while TcpStream::connect(owner.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = pull(&transport, owner.address, id(1), 10).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn an_object_that_is_gone_or_another_is_an_error_and_the_connection_goes_on() {
    let owner = Owner::of([(id(1), contents(10))]).await;
    let transport = Tcp::new(1, false);
    let error = pull(&transport, owner.address, id(2), 10).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Gone), "{error}");
    for expected in [0, 9, 11] {
        let error = pull(&transport, owner.address, id(1), expected).await.unwrap_err();
        let expected = expected as u64;
        assert!(
            matches!(error.reason, Reason::WrongSize { expected: e, found: 10 } if e == expected),
            "{error}"
        );
    }
    assert_eq!(pull(&transport, owner.address, id(1), 10).await.unwrap(), contents(10));
}

#[tokio::test]
async fn an_owner_that_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind(localhost()).await.unwrap();
    let address = silent.local_addr().unwrap();
    let started = Instant::now();
    let error = pull(&Tcp::with_limits(1, false, short()), address, id(1), 10).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Stalled(_)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_no_owner_is_an_error() {
    let head = |status, size| Head { status, size }.encode().to_vec();
    let replies = [b"HTTP/1.1 400".to_vec(), head(Status::Version, 2), head(Status::OutOfRange, 10)];
    for reply in replies {
        let listener = TcpListener::bind(localhost()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&reply).await.unwrap();
            stream
        });
        let error = pull(&Tcp::new(1, false), address, id(1), 10).await.unwrap_err();
        assert!(matches!(error.reason, Reason::Protocol(_)), "{error}");
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_looked_up_over_the_connections_of_pulls() {
    let owner = Owner::of([(id(1), contents(10))]).await;
    let (transport, address) = (Tcp::new(1, false), owner.address.to_string());
    // More than one request may ask for.
    let keys: Vec<_> = (0..1000).map(|number| format!("key {number}")).collect();
    for _ in 0..2 {
        let found = transport.look_up(&address, &keys).await.unwrap();
        let named: Vec<_> =
            found.iter().map(|found| found.as_ref().map(|reference| reference.size)).collect();
        let wanted: Vec<_> = (0..1000).map(|number| (number % 2 == 0).then_some(number)).collect();
        assert_eq!(named, wanted);
        assert_eq!(transport.idle(), 1);
        assert_eq!(pull(&transport, owner.address, id(1), 10).await.unwrap(), contents(10));
        assert_eq!(transport.idle(), 1);
    }
    owner.stop.cancel();
    while TcpStream::connect(owner.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = transport.look_up(&address, &keys).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable(_)), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn answers_to_keys_that_no_owner_gives_are_errors() {
    let head = |status, size| Head { status, size }.encode().to_vec();
    let replies = [
        b"HTTP/1.1 400".to_vec(),
        head(Status::Version, 1),
        head(Status::Gone, 0),
        head(Status::Found, u64::MAX),
        [head(Status::Found, 3), b"\x01\0\xff".to_vec()].concat(),
        [head(Status::Found, 0), Vec::new()].concat(),
    ];
    for reply in replies {
        let listener = TcpListener::bind(localhost()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&reply).await.unwrap();
            stream
        });
        let keys = ["key".to_owned()];
        let error = Tcp::new(1, false).look_up(&address.to_string(), &keys).await.unwrap_err();
        assert!(matches!(error.reason, Reason::Protocol(_)), "{error}");
        serving.await.unwrap();
    }
}
