//! An API server: a registry in memory, by HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyserve_core::replicas::{Change, Replica, ReplicaId};
use anyserve_registry::{Changes, Follower, MemoryRegistry, Registry, RegistryError, SharedDirectory, json};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

type Frames = ReceiverStream<Result<Frame<Bytes>, Infallible>>;
type Body = Either<Full<Bytes>, StreamBody<Frames>>;

#[derive(Deserialize)]
struct Lease {
    lease_seconds: f64,
}

/// An API server, gone with its connections when this is dropped.
pub(super) struct ApiServer {
    pub(super) port: u16,
    _tasks: JoinSet<()>,
}

impl ApiServer {
    pub(super) async fn start() -> Self {
        Self::start_at(0, true).await
    }

    /// At a port that it had before, or any; of one that is not complete, others are to think that more will come.
    pub(super) async fn start_at(port: u16, is_complete: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let registry = Arc::new(MemoryRegistry::default());
        let follower = Follower::start(registry.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (registry, directory) = (registry.clone(), follower.directory().clone());
                let answer = service_fn(move |request| {
                    let (registry, directory) = (registry.clone(), directory.clone());
                    async move { Ok::<_, Infallible>(answer(&registry, directory, is_complete, request).await) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { port, _tasks: tasks }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

async fn answer(
    registry: &MemoryRegistry,
    directory: Arc<SharedDirectory>,
    is_complete: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if parts.uri.path() == "/watch" {
        return Response::new(Either::Right(watch(directory, is_complete)));
    }
    let name = parts.uri.path().strip_prefix("/replicas/").unwrap();
    let id = ReplicaId::new(&percent_decode_str(name).decode_utf8().unwrap()).unwrap();
    let query = parts.uri.query().unwrap_or_default();
    let incarnation = query.strip_prefix("incarnation=").map(|number| number.parse().unwrap());
    let status = match parts.method {
        Method::PUT => {
            let replica = json::decode(&body).unwrap();
            assert_eq!(*replica.id(), id);
            let lease: Lease = serde_json::from_slice(&body).unwrap();
            match registry.put(&replica, Duration::from_secs_f64(lease.lease_seconds)).await {
                Ok(()) => StatusCode::OK,
                Err(error @ RegistryError::Superseded { .. }) => {
                    return failed(StatusCode::CONFLICT, &error.to_string());
                }
                Err(error) => panic!("{error}"),
            }
        }
        Method::DELETE if registry.remove(&id, incarnation).await.unwrap() => StatusCode::NO_CONTENT,
        Method::DELETE => return failed(StatusCode::NOT_FOUND, "it is not there"),
        method => panic!("{method}"),
    };
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

fn failed(status: StatusCode, error: &str) -> Response<Body> {
    let body = serde_json::json!({ "error": error }).to_string();
    Response::builder().status(status).body(Either::Left(Full::from(body))).unwrap()
}

fn watch(directory: Arc<SharedDirectory>, is_complete: bool) -> StreamBody<Frames> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut version = u64::MAX;
        loop {
            let changes;
            (version, changes) = directory.changes(version).await;
            let text = match changes {
                Changes::Snapshot(replicas) => snapshot(&replicas, is_complete),
                Changes::Since(changes) => changes.iter().map(event).collect(),
            };
            if sender.send(Ok(Frame::data(Bytes::from(text)))).await.is_err() {
                return;
            }
        }
    });
    StreamBody::new(ReceiverStream::new(receiver))
}

fn snapshot(replicas: &[Arc<Replica>], is_complete: bool) -> String {
    let replicas: Vec<_> = replicas.iter().map(|replica| json::encode(replica)).collect();
    format!("event: snapshot\ndata: {{\"replicas\":[{}],\"complete\":{is_complete}}}\n\n", replicas.join(","))
}

fn event(change: &Change) -> String {
    match change {
        Change::Put(replica) => format!("event: put\ndata: {}\n\n", json::encode(replica)),
        Change::Gone(id) => {
            format!("event: gone\ndata: {}\n\n", serde_json::json!({ "replica_id": id.as_str() }))
        }
    }
}
