//! An API server that dies, forgets, or is none.

use std::time::Duration;

use anyserve_registry::{Follower, Registrar, RegistryError, SharedDirectory, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::server::ApiServer;
use crate::support::{Backend, LONG, becomes, capability, replica, text};

async fn is_connected(directory: &SharedDirectory, expected: bool) {
    let mut status = directory.watch();
    let changed = status.wait_for(|status| status.connected == expected);
    tokio::time::timeout(LONG, changed).await.unwrap().unwrap();
}

/// Answers every connection with these bytes, and no more.
async fn answering(bytes: &'static [u8]) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    (port, tasks)
}

async fn put_error(url: &str) -> RegistryError {
    open(url).unwrap().put(&replica("a", 1, &[]), LONG).await.unwrap_err()
}

#[tokio::test]
async fn who_is_missing_while_an_api_server_has_just_begun_is_not_gone() {
    let server = ApiServer::start().await;
    let port = server.port;
    let follower = Follower::start(server.registry());
    let directory = follower.directory();
    let registry = server.registry();
    for name in ["a", "b"] {
        registry.put(&replica(name, 1, &["echo"]), LONG).await.unwrap();
    }
    becomes(directory, "a.1{echo} b.1{echo}").await;
    drop(server);
    is_connected(directory, false).await;
    let begun = ApiServer::start_at(port, false).await;
    is_connected(directory, true).await;
    assert_eq!(text(directory), "a.1{echo} b.1{echo}");
    registry.put(&replica("a", 1, &["chat"]), LONG).await.unwrap();
    becomes(directory, "a.1{chat} b.1{echo}").await;
    drop(begun);
    is_connected(directory, false).await;
    let _complete = ApiServer::start_at(port, true).await;
    becomes(directory, "").await;
}

#[tokio::test]
async fn an_api_server_that_was_restarted_has_its_replicas_again() {
    let server = ApiServer::start().await;
    let port = server.port;
    let follower = Follower::start(server.registry());
    let registrar = Registrar::new(server.registry(), replica("a", 1, &[]), Duration::from_secs(3));
    registrar.offer([capability("echo")], []).unwrap();
    let steps = async {
        becomes(follower.directory(), "a.1{echo}").await;
        drop(server);
        is_connected(follower.directory(), false).await;
        let _again = ApiServer::start_at(port, true).await;
        is_connected(follower.directory(), true).await;
        becomes(follower.directory(), "a.1{echo}").await;
    };
    tokio::select! {
        superseded = registrar.run() => panic!("{superseded:?}"),
        () = steps => {}
    }
}

#[tokio::test]
async fn of_several_api_servers_one_that_answers_is_enough() {
    let server = ApiServer::start().await;
    let (broken, _tasks) = answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("http://127.0.0.1:1,http://127.0.0.1:{broken},{}", server.url());
    let follower = Follower::start(open(&url).unwrap());
    open(&url).unwrap().put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;
}

#[tokio::test]
async fn what_is_no_api_server_is_told_apart() {
    for (bytes, expected) in [
        (&b"HTTP/1.1 200 OK"[..], "cannot reach"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot reach"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nno\n", "refused: HTTP status 404 Not Found"),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 17\r\n\r\n{\"error\":\"as is\"}", "refused: as is"),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", "HTTP status 500"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", "cannot reach"),
    ] {
        let (port, _tasks) = answering(bytes).await;
        let message = put_error(&format!("http://127.0.0.1:{port}")).await.to_string();
        assert!(message.contains(expected) && message.contains(&port.to_string()), "{message}");
    }
}

#[tokio::test]
async fn an_api_server_that_falls_silent_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let registry = open(&url).unwrap();
    // The system takes connections, and nobody answers.
    let error = registry.put(&replica("a", 1, &[]), LONG).await.unwrap_err().to_string();
    assert!(error.contains("no answer within 3s"), "{error}");
    let begins = b"HTTP/1.1 200 OK\r\n\r\nevent: snapshot\ndata: {\"replicas\":[]}\n\n:\n\n";
    let silent = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(begins).await;
            // Until the client has had enough.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    let directory = std::sync::Arc::default();
    let error = tokio::select! {
        () = silent => unreachable!("it goes on for ever"),
        error = registry.follow(&directory) => error.to_string(),
    };
    assert!(error.contains("nothing came for 15s"), "{error}");
    assert_eq!(directory.status().version, 1);
}

#[tokio::test]
async fn events_that_are_none_are_no_reason_to_forget() {
    let known = concat!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        "event: snapshot\ndata: {\"replicas\":[{\"replica_id\":\"a\",\"endpoint\":\"a:1\",\"incarnation\":1,\"capabilities\":[]}]}\n\n",
        "event: later\ndata: x\n\nevent: gone\ndata: {}\n\n",
    );
    let (port, _tasks) = answering(known.as_bytes()).await;
    let registry = open(&format!("http://127.0.0.1:{port}")).unwrap();
    let follower = Follower::start(registry.clone());
    becomes(follower.directory(), "a.1{}").await;
    let error = registry.follow(follower.directory()).await;
    assert!(
        matches!(&error, RegistryError::Protocol { reason, .. } if reason.contains("event 'gone'")),
        "{error}"
    );
    assert_eq!(text(follower.directory()), "a.1{}");
}
