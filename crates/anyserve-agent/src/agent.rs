//! The agent as a whole: bind, run, drain, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyserve_core::Capability;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admin::{AdminServer, AdminService};
use crate::config::{AgentConfig, Metrics, ObjectSpill};
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::fleet::Fleet;
use crate::health::Health;
use crate::ingress::{Edge, Server};
use crate::listen::listen;
use crate::local::LocalServer;
use crate::objects::{CONNECTIONS, Objects, Spill, Tcp, TransferServer};
use crate::replicas::Replicas;
use crate::rest::RestServer;
use crate::telemetry::MetricsServer;

/// How long the last responses may take to leave after the last request ended.
const LAST_RESPONSES: Duration = Duration::from_secs(2);

/// An agent whose port is open.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    address: SocketAddr,
    listener: TcpListener,
    http: Option<(TcpListener, SocketAddr)>,
    metrics: Option<(TcpListener, SocketAddr)>,
    admin: Option<AdminServer>,
    local: Option<LocalServer>,
    transfer: (TransferServer, SocketAddr),
    spill: Option<Spill>,
    replicas: Option<Arc<Replicas>>,
}

/// What an agent serves, once all its workers are ready.
#[derive(Clone, Debug)]
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its REST API is.
    pub http: Option<SocketAddr>,
    /// Where its metrics are.
    pub metrics: Option<SocketAddr>,
    /// How many workers are ready.
    pub workers: usize,
    /// The names of the pools.
    pub pools: Vec<String>,
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
    /// Opens the ports, and the file for objects that have to make room.
    pub async fn bind(config: AgentConfig) -> Result<Self, Error> {
        let (listener, address) = listen(config.address).await?;
        let http = match config.http {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let metrics = match config.metrics {
            Metrics::Off => None,
            Metrics::At(address) => Some(listen(address).await?),
            Metrics::Near(address) => match listen(address).await {
                Ok(listening) => Some(listening),
                Err(_) => Some(listen((address.ip(), 0).into()).await?),
            },
        };
        let folder = config.admin_folder.as_deref();
        let admin = folder.map(|folder| AdminServer::bind(folder, address.port())).transpose()?;
        let local = folder.map(|folder| LocalServer::bind(folder, address.port())).transpose()?;
        let transfer = TransferServer::bind(config.object_address).await?;
        let spill = config.object_spill.as_ref().map(open_spill).transpose()?;
        let replicas = config.replica.as_ref().map(|replica| Replicas::new(replica, address)).transpose()?;
        let replicas = replicas.map(Arc::new);
        Ok(Self { config, address, listener, http, metrics, admin, local, transfer, spill, replicas })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the workers and serves until `shutdown` says stop; every worker is gone when this returns.
    ///
    /// Calls `on_ready` once all workers are ready. Fails if one of them ends before that.
    pub async fn run(self, shutdown: Shutdown, on_ready: impl FnOnce(Served)) -> Result<(), Error> {
        let Self { config, address, listener, http, metrics, admin, local, transfer, spill, replicas } = self;
        let (transfer, transfer_address) = transfer;
        let (size, transport) = (config.object_store_size, Tcp::new(CONNECTIONS, config.object_checksum));
        let objects = Objects::new(size, spill, Box::new(transport), config.allow_client_shm);
        let objects = objects.map_err(|source| Error::ObjectStore { size, source })?;
        objects.set_address(advertised(config.object_host.as_deref(), transfer_address));
        let stop_transfer = CancellationToken::new();
        let dispatcher = Arc::new(Dispatcher::new(&config, Arc::clone(&objects), replicas.clone()));
        let health = Health::new();
        let metrics_address = metrics.as_ref().map(|&(_, address)| address);
        let metrics = metrics.map(|(listener, _)| MetricsServer::new(listener, Arc::clone(&dispatcher)));
        let fleet = Fleet::new(&config, Arc::clone(&dispatcher));
        let edge = Edge::new(Arc::clone(&dispatcher), health.service(), address);
        let server = Server::new(edge);
        let http_address = http.as_ref().map(|&(_, address)| address);
        let rest = RestServer::new(Arc::clone(&dispatcher), config.max_queue_bytes);
        let operators =
            AdminService { dispatcher: Arc::clone(&dispatcher), fleet: Arc::clone(&fleet), address };
        let serve = async {
            tokio::select! {
                ready = fleet.boot(config.fleet.clone()) => ready?,
                () = shutdown.drain.cancelled() => {
                    // Some workers may be serving already.
                    drain(&dispatcher, config.drain_timeout).await;
                    return Ok(());
                }
            }
            // Whoever hears that the agent is ready finds it so.
            health.tell(&dispatcher).await;
            if let Some(replicas) = &replicas {
                replicas.announce();
            }
            let (capabilities, pools) = (dispatcher.capabilities(), dispatcher.pool_names());
            let workers = dispatcher.ready_workers();
            on_ready(Served {
                address,
                http: http_address,
                metrics: metrics_address,
                workers,
                pools,
                capabilities,
            });
            shutdown.drain.cancelled().await;
            if let Some(replicas) = &replicas {
                // Others send no more before anything is refused.
                replicas.withdraw().await;
            }
            drain(&dispatcher, config.drain_timeout).await;
            Ok(())
        };
        let result = tokio::select! {
            result = serve => result,
            () = shutdown.now.cancelled() => Ok(()),
            () = server.run(listener) => Ok(()),
            () = serve_rest(&rest, http.map(|(listener, _)| listener)) => Ok(()),
            () = dispatcher.run_ticker() => Ok(()),
            () = objects.run() => Ok(()),
            () = transfer.run(Arc::clone(&objects) as _, stop_transfer) => Ok(()),
            () = fleet.run() => Ok(()),
            () = fleet.reload_when_told() => Ok(()),
            () = serve_metrics(metrics.as_ref()) => Ok(()),
            () = serve_operators(admin.as_ref(), operators) => Ok(()),
            () = serve_local(local.as_ref(), &dispatcher, address) => Ok(()),
            () = health.follow(&dispatcher) => Ok(()),
            () = dispatcher.follow_fleet() => Ok(()),
            () = run_replicas(replicas.as_deref(), &dispatcher) => Ok(()),
        };
        if let Some(replicas) = &replicas {
            replicas.leave().await;
        }
        // Another agent may have the port from now on.
        drop(admin);
        let local = local.map(LocalServer::close);
        dispatcher.drain();
        let left = dispatcher.abandon();
        for request in &left {
            tracing::warn!("{request} was cut off by the shutdown");
        }
        health.close().await;
        tokio::join!(server.stop(LAST_RESPONSES), rest.stop(LAST_RESPONSES));
        if let Some(sessions) = local {
            sessions.stop(LAST_RESPONSES).await;
        }
        if !left.is_empty() {
            shutdown.now.cancel();
        }
        fleet.stop(&shutdown.now).await;
        result
    }
}

fn open_spill(spill: &ObjectSpill) -> Result<Spill, Error> {
    let ObjectSpill { folder, size } = spill;
    Spill::create(folder, *size).map_err(|source| Error::ObjectSpill { folder: folder.clone(), source })
}

/// What other agents are told of where this one's objects are.
fn advertised(host: Option<&str>, address: SocketAddr) -> String {
    match host {
        Some(host) => format!("{host}:{}", address.port()),
        // Of an agent that listens everywhere, the machine's name is the best that is known.
        None if address.ip().is_unspecified() => {
            let machine = rustix::system::uname();
            format!("{}:{}", machine.nodename().to_string_lossy(), address.port())
        }
        None => address.to_string(),
    }
}

/// Takes part in the fleet, if there is one, for as long as it is polled.
async fn run_replicas(replicas: Option<&Replicas>, dispatcher: &Dispatcher) {
    match replicas {
        Some(replicas) => replicas.run(dispatcher).await,
        None => std::future::pending().await,
    }
}

/// Serves the REST API, if there is a port for it, for as long as it is polled.
async fn serve_rest(server: &RestServer, listener: Option<TcpListener>) {
    match listener {
        Some(listener) => server.run(listener).await,
        None => std::future::pending().await,
    }
}

/// Serves the metrics, if they are served, for as long as it is polled.
async fn serve_metrics(server: Option<&MetricsServer>) {
    match server {
        Some(server) => server.run().await,
        None => std::future::pending().await,
    }
}

/// Serves the operators' calls, if they are served, for as long as it is polled.
async fn serve_operators(server: Option<&AdminServer>, service: AdminService) {
    match server {
        Some(server) => server.run(service).await,
        None => std::future::pending().await,
    }
}

/// Serves clients that share memory, if they are served, for as long as it is polled.
async fn serve_local(server: Option<&LocalServer>, dispatcher: &Arc<Dispatcher>, address: SocketAddr) {
    match server {
        Some(server) => server.run(dispatcher, address).await,
        None => std::future::pending().await,
    }
}

/// Refuses new requests and waits for the others, for at most `limit`.
async fn drain(dispatcher: &Dispatcher, limit: Duration) {
    dispatcher.drain();
    let finished = async {
        dispatcher.drained().await;
        if let Some(delegate) = dispatcher.delegate() {
            delegate.idle().await;
        }
    };
    if tokio::time::timeout(limit, finished).await.is_err() {
        tracing::warn!(
            "requests were still running {limit:?} after the agent was told to stop (--drain-timeout)"
        );
    }
}
