//! The agent as a whole: bind, run, drain, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyserve_core::Capability;
use anyserve_proto::inference::grpc_inference_service_server::SERVICE_NAME;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use crate::config::{AgentConfig, Metrics};
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::ingress::{Edge, Server};
use crate::listen::listen;
use crate::telemetry::MetricsServer;
use crate::worker::{SlotEvent, Supervisor};

/// How long the last responses may take to leave after the last request ended.
const LAST_RESPONSES: Duration = Duration::from_secs(2);

/// An agent whose port is open.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    address: SocketAddr,
    listener: TcpListener,
    metrics: Option<(TcpListener, SocketAddr)>,
}

/// What an agent serves, once all its workers are ready.
#[derive(Clone, Debug)]
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its metrics are.
    pub metrics: Option<SocketAddr>,
    /// How many workers are ready.
    pub workers: usize,
    /// What they serve.
    pub capabilities: Vec<Capability>,
}

/// How the caller ends an agent.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Finish what is running, refuse what is new, then stop.
    pub drain: CancellationToken,
    /// Stop at once.
    pub now: CancellationToken,
}

impl Agent {
    /// Opens the ports.
    pub async fn bind(config: AgentConfig) -> Result<Self, Error> {
        let (listener, address) = listen(config.address).await?;
        let metrics = match config.metrics {
            Metrics::Off => None,
            Metrics::At(address) => Some(listen(address).await?),
            Metrics::Near(address) => match listen(address).await {
                Ok(listening) => Some(listening),
                Err(_) => Some(listen((address.ip(), 0).into()).await?),
            },
        };
        Ok(Self { config, address, listener, metrics })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the workers and serves until `shutdown` says stop; every worker is gone when this returns.
    ///
    /// Calls `on_ready` once all workers are ready. Fails if one of them ends before that.
    pub async fn run(self, shutdown: Shutdown, on_ready: impl FnOnce(Served)) -> Result<(), Error> {
        let Self { config, address, listener, metrics } = self;
        let dispatcher = Arc::new(Dispatcher::new(&config));
        let health = HealthReporter::new();
        let edge = Edge::new(Arc::clone(&dispatcher), HealthService::from_health_reporter(health.clone()));
        let server = Server::new(edge);
        let metrics_address = metrics.as_ref().map(|&(_, address)| address);
        let metrics = metrics.map(|(listener, _)| MetricsServer::new(listener, Arc::clone(&dispatcher)));
        let supervisor = Supervisor::new(config.clone(), Arc::clone(&dispatcher));
        let events = supervisor.start();
        let serve = async {
            tokio::select! {
                ready = wait_until_ready(events) => ready?,
                () = shutdown.drain.cancelled() => {
                    // Some workers may be serving already.
                    drain(&dispatcher, config.drain_timeout).await;
                    return Ok(());
                }
            }
            // Whoever hears that the agent is ready finds it so.
            set_health(&health, &dispatcher).await;
            let capabilities = dispatcher.capabilities();
            on_ready(Served { address, metrics: metrics_address, workers: config.workers, capabilities });
            shutdown.drain.cancelled().await;
            drain(&dispatcher, config.drain_timeout).await;
            Ok(())
        };
        let result = tokio::select! {
            result = serve => result,
            () = shutdown.now.cancelled() => Ok(()),
            () = server.run(listener) => Ok(()),
            () = dispatcher.run_ticker() => Ok(()),
            () = serve_metrics(metrics.as_ref()) => Ok(()),
            () = report_health(&dispatcher, &health) => Ok(()),
        };
        dispatcher.drain();
        let left = dispatcher.abandon();
        for request in &left {
            tracing::warn!("{request} was cut off by the shutdown");
        }
        close_health(health).await;
        server.stop(LAST_RESPONSES).await;
        if !left.is_empty() {
            shutdown.now.cancel();
        }
        supervisor.stop(&shutdown.now).await;
        result
    }
}

/// Serves the metrics, if they are served, for as long as it is polled.
async fn serve_metrics(server: Option<&MetricsServer>) {
    match server {
        Some(server) => server.run().await,
        None => std::future::pending().await,
    }
}

/// Waits until every slot has a ready worker, or one of them gives up.
async fn wait_until_ready(mut events: mpsc::Receiver<SlotEvent>) -> Result<(), Error> {
    while let Some(event) = events.recv().await {
        if let SlotEvent::Failed(exit) = event {
            return Err(Error::WorkerStart(exit));
        }
    }
    Ok(())
}

/// Refuses new requests and waits for the others, for at most `limit`.
async fn drain(dispatcher: &Dispatcher, limit: Duration) {
    dispatcher.drain();
    if tokio::time::timeout(limit, dispatcher.drained()).await.is_err() {
        tracing::warn!(
            "requests were still running {limit:?} after the agent was told to stop (--drain-timeout)"
        );
    }
}

/// Tells those who watch the agent's health that it stops, and ends their streams.
async fn close_health(mut health: HealthReporter) {
    for service in ["", SERVICE_NAME] {
        health.set_service_status(service, ServingStatus::NotServing).await;
        health.clear_service_status(service).await;
    }
}

/// Keeps `grpc.health.v1` true to whether a worker is ready.
async fn report_health(dispatcher: &Dispatcher, health: &HealthReporter) {
    let mut readiness = dispatcher.readiness();
    loop {
        readiness.mark_unchanged();
        set_health(health, dispatcher).await;
        if readiness.changed().await.is_err() {
            return;
        }
    }
}

async fn set_health(health: &HealthReporter, dispatcher: &Dispatcher) {
    let ready = *dispatcher.readiness().borrow() > 0;
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in ["", SERVICE_NAME] {
        health.set_service_status(service, status).await;
    }
}
