//! Serves the operators' calls.

use std::path::Path;

use anyserve_proto::admin::admin_server;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower_service::Service;

use super::service::AdminService;
use super::socket::Socket;
use crate::error::Error;
use crate::listen::ACCEPT_BACKOFF;

/// The socket and its connections.
#[derive(Debug)]
pub(crate) struct AdminServer {
    socket: Socket,
    connections: TaskTracker,
}

impl AdminServer {
    /// Opens the socket in that folder, named after the port.
    pub(crate) fn bind(folder: &Path, port: u16) -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(folder, &format!("{port}.sock"))?, connections: TaskTracker::new() })
    }

    /// Serves for as long as it is polled; connections end with the runtime.
    pub(crate) async fn run(&self, service: AdminService) {
        let service = admin_server::AdminServer::new(service);
        loop {
            match self.socket.listener.accept().await {
                Ok((stream, _)) => self.serve(stream, service.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an operator's connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn serve(&self, stream: UnixStream, service: admin_server::AdminServer<AdminService>) {
        let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let mut service = service.clone();
            async move { service.call(request.map(Body::new)).await }
        });
        let executor = TokioExecutor::new();
        let connection = http2::Builder::new(executor).serve_connection(TokioIo::new(stream), answer);
        self.connections.spawn(async move {
            // An operator who goes away in the middle is no news.
            let _ = connection.await;
        });
    }
}
