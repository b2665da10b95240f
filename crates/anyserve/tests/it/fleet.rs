//! Several agents that pass requests on to each other.

use std::sync::Arc;
use std::time::Duration;

use anyserve::agent::{AgentConfig, FleetConfig, ReplicaConfig};
use anyserve::client::{CallOptions, ClientError};
use anyserve::core::{Capability, Replica, ReplicaId, Value};
use anyserve::registry::{MemoryRegistry, Registry};
use tonic::Code;

use super::{Running, WATCHDOG, request, workers_of_this};

const LEASE: Duration = Duration::from_secs(60);

/// An agent of that name.
async fn replica(registry: &Arc<MemoryRegistry>, name: &str, fleet: FleetConfig) -> Running {
    let registry = Arc::clone(registry) as Arc<dyn Registry>;
    let replica = ReplicaConfig { id: Some(ReplicaId::new(name).unwrap()), ..ReplicaConfig::new(registry) };
    let config =
        AgentConfig { replica: Some(replica), ..AgentConfig::new(([127, 0, 0, 1], 0).into(), fleet) };
    Running::of(config).await.0
}

/// One without pools of its own.
async fn gateway(registry: &Arc<MemoryRegistry>, name: &str) -> Running {
    let gateway = replica(registry, name, FleetConfig::default()).await;
    let ready = async {
        while !gateway.client.is_server_ready(Some(WATCHDOG)).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WATCHDOG, ready).await.unwrap();
    gateway
}

/// Registers something, true or not.
async fn claim(registry: &MemoryRegistry, name: &str, endpoint: &str, kind: &str) {
    let capability = Capability::new([("type", Value::from(kind))]).unwrap();
    let replica = Replica::new(ReplicaId::new(name).unwrap(), endpoint, u64::MAX, [capability]).unwrap();
    registry.put(&replica, LEASE).await.unwrap();
}

fn status(error: &ClientError) -> (Code, String) {
    match error {
        ClientError::Status(status) => (status.code(), status.message().to_owned()),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_gateway_passes_on_what_comes_and_what_goes() {
    let registry = Arc::new(MemoryRegistry::default());
    let behind = replica(&registry, "behind", workers_of_this(1)).await;
    let gateway = gateway(&registry, "gateway").await;
    for size in [0, 1, 8 * 1024, 8 * 1024 + 1, 40_000, 300_000, 5_000_000] {
        let contents: Vec<u8> = (0..size).map(|index: u32| index.to_le_bytes()[0]).collect();
        let response = gateway.infer("echo", contents.clone()).await.unwrap();
        assert_eq!(response.raw_output_contents, [contents]);
        assert_eq!((response.model_name.as_str(), response.id.as_str()), ("echo", "7"));
    }
    assert_eq!(gateway.code("fail").await, (Code::NotFound, "no such thing".to_owned()));
    let (code, message) = gateway.code("exit").await;
    assert_eq!(code, Code::Unavailable, "{message}");
    assert!(message.contains("exited with code 3"), "{message}");
    let (code, message) = gateway.code("unknown").await;
    assert_eq!(code, Code::NotFound);
    assert!(message.contains("served by any replica: {type: "), "{message}");
    assert!(gateway.client.is_model_ready("echo", Some(WATCHDOG)).await.unwrap());
    assert!(!gateway.client.is_model_ready("unknown", Some(WATCHDOG)).await.unwrap());
    assert_eq!(gateway.client.model_metadata("echo", Some(WATCHDOG)).await.unwrap().name, "echo");
    gateway.stop().await;
    behind.stop().await;
}

#[tokio::test]
async fn streams_pass_through_a_gateway() {
    let registry = Arc::new(MemoryRegistry::default());
    let behind = replica(&registry, "behind", workers_of_this(1)).await;
    let gateway = gateway(&registry, "gateway").await;
    let options = CallOptions { timeout: Some(WATCHDOG), ..Default::default() };
    for sizes in [vec![], vec![0; 200], vec![64; 5], vec![1, 30, 64, 0, 17]] {
        let mut stream = gateway.client.stream(request("chunks", sizes.clone()), &options).await.unwrap();
        let mut got = Vec::new();
        while let Some(response) = stream.next().await {
            got.push(u8::try_from(response.unwrap().raw_output_contents[0].len() >> 15).unwrap());
        }
        assert_eq!(got, sizes);
    }
    let mut stream = gateway.client.stream(request("fail", vec![1]), &options).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(status(&error), (Code::NotFound, "no such thing".to_owned()));
    let mut stream = gateway.client.stream(request("echo", vec![1, 2]), &options).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().raw_output_contents[0], [1, 2][..]);
    assert!(stream.next().await.is_none());
    gateway.stop().await;
    behind.stop().await;
}

#[tokio::test]
async fn a_request_goes_past_replicas_that_are_not_there_or_do_not_serve_it() {
    let registry = Arc::new(MemoryRegistry::default());
    let behind = replica(&registry, "behind", workers_of_this(1)).await;
    claim(&registry, "gone", "127.0.0.1:9", "echo").await;
    let gateway = gateway(&registry, "gateway").await;
    // Not a replica with that capability, whatever the registry says.
    claim(&registry, "stale", gateway.client.endpoint(), "echo").await;
    for _ in 0..20 {
        assert!(gateway.infer("echo", vec![1]).await.is_ok());
    }
    gateway.stop().await;
    behind.stop().await;
}

#[tokio::test]
async fn two_that_send_each_other_what_neither_serves_stop_at_once() {
    let registry = Arc::new(MemoryRegistry::default());
    let (one, other) = (
        replica(&registry, "one", workers_of_this(1)).await,
        replica(&registry, "other", workers_of_this(1)).await,
    );
    claim(&registry, "x", one.client.endpoint(), "ghost").await;
    claim(&registry, "y", other.client.endpoint(), "ghost").await;
    let known = async {
        while one.code("ghost").await.1.contains("no capability") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WATCHDOG, known).await.unwrap();
    let (code, message) = one.code("ghost").await;
    assert_eq!(code, Code::NotFound, "{message}");
    let options = CallOptions { timeout: Some(WATCHDOG), ..Default::default() };
    let mut stream = one.client.stream(request("ghost", vec![1]), &options).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(status(&error).0, Code::NotFound);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_agent_sends_nothing_to_itself_by_another_name() {
    let registry = Arc::new(MemoryRegistry::default());
    let gateway = replica(&registry, "now", FleetConfig::default()).await;
    claim(&registry, "before", gateway.client.endpoint(), "echo").await;
    let (code, message) = gateway.code("echo").await;
    assert_eq!(code, Code::NotFound);
    assert_eq!(message, "no replica is left that serves {type: echo}");
    gateway.stop().await;
}

#[tokio::test]
async fn where_nobody_can_be_reached_the_replica_is_named() {
    let registry = Arc::new(MemoryRegistry::default());
    claim(&registry, "gone", "127.0.0.1:9", "echo").await;
    let gateway = gateway(&registry, "gateway").await;
    let (code, message) = gateway.code("echo").await;
    assert_eq!(code, Code::Unavailable);
    assert!(message.starts_with("replica 'gone': cannot reach 127.0.0.1:9: "), "{message}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_deadline_holds_beyond_the_gateway() {
    let registry = Arc::new(MemoryRegistry::default());
    // Accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    claim(&registry, "silent", &silent.local_addr().unwrap().to_string(), "echo").await;
    let gateway = gateway(&registry, "gateway").await;
    let options = CallOptions { timeout: Some(Duration::from_millis(200)), ..Default::default() };
    let error = gateway.client.infer(request("echo", vec![1]), &options).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Timeout(_)) || status(&error).0 == Code::DeadlineExceeded,
        "{error:?}"
    );
    gateway.stop().await;
}
