//! The agent as one of many: what others are told of it, and what it knows of them.

mod identity;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyserve_core::replicas::ReplicaId;
use anyserve_registry::{Registrar, Registry, SharedDirectory, Superseded, follow};
use tokio_util::sync::CancellationToken;

use crate::config::ReplicaConfig;
use crate::delegate::Delegate;
use crate::dispatch::Dispatcher;
use crate::error::Error;
use identity::identity;

/// How long the registry may take to hear that the agent takes no new requests.
const WITHDRAWAL: Duration = Duration::from_secs(1);
/// How often is looked at what is offered though nobody told of a change: a pool that has failed is tried again in time.
const LOOK: Duration = Duration::from_secs(5);

/// The replicas of the fleet, this agent among them.
#[derive(Debug)]
pub(crate) struct Replicas {
    id: ReplicaId,
    registry: Arc<dyn Registry>,
    directory: Arc<SharedDirectory>,
    registrar: Registrar,
    delegate: Arc<Delegate>,
    /// The agent is ready: it may be told of.
    ready: CancellationToken,
    /// It takes no new requests, whatever its pools are.
    withdrawn: Mutex<bool>,
}

impl Replicas {
    /// For an agent that listens at `address`.
    pub(crate) fn new(config: &ReplicaConfig, address: SocketAddr) -> Result<Self, Error> {
        let replica = identity(config, address)?;
        let directory = Arc::default();
        Ok(Self {
            id: replica.id().clone(),
            registry: Arc::clone(&config.registry),
            delegate: Arc::new(Delegate::new(&replica, Arc::clone(&directory))),
            directory,
            registrar: Registrar::new(Arc::clone(&config.registry), replica, config.lease),
            ready: CancellationToken::new(),
            withdrawn: Mutex::new(false),
        })
    }

    /// What this agent is called.
    pub(crate) fn id(&self) -> &ReplicaId {
        &self.id
    }

    /// All replicas, this one as well, as the registry told last.
    pub(crate) fn directory(&self) -> &Arc<SharedDirectory> {
        &self.directory
    }

    /// Who passes requests on to the others.
    pub(crate) fn delegate(&self) -> &Arc<Delegate> {
        &self.delegate
    }

    /// Whether the registry has this agent.
    pub(crate) fn is_registered(&self) -> bool {
        self.registrar.registered().borrow().is_some()
    }

    /// The agent is ready: it is registered from now on.
    pub(crate) fn announce(&self) {
        tracing::info!("this agent is replica {} of {}", self.id(), self.registry);
        self.ready.cancel();
    }

    /// Follows the registry and keeps the agent registered, for as long as this is polled.
    pub(crate) async fn run(&self, dispatcher: &Dispatcher) {
        let follow = follow(&*self.registry, &self.directory);
        tokio::join!(follow, self.register(), self.offer(dispatcher), self.renew_when_connected());
    }

    /// Tells the registry that the agent takes no new requests, and waits until it knows, if it answers.
    pub(crate) async fn withdraw(&self) {
        *self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner) = true;
        if self.is_registered() && self.registrar.offer([], []).is_ok() {
            // If not now, it hears from the last request's end on.
            let _ = tokio::time::timeout(WITHDRAWAL, self.registrar.settled()).await;
        }
    }

    /// Takes the agent out of the registry, once [`Self::run`] is not polled any more.
    pub(crate) async fn leave(&self) {
        self.registrar.leave().await;
    }

    async fn register(&self) {
        let Superseded { id, by } = self.registrar.run().await;
        tracing::error!(
            "another agent has registered as replica {id} after this one: {by}. This one goes on, but nobody is told of it; \
             give each agent an id of its own (--replica-id)"
        );
    }

    /// Says what is offered whenever that changes.
    async fn offer(&self, dispatcher: &Dispatcher) {
        self.ready.cancelled().await;
        let mut changes = dispatcher.changes();
        let mut is_told = false;
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.offer_now(dispatcher)
                && !std::mem::replace(&mut is_told, true)
            {
                tracing::error!("the registry is not told what is served here: {error}");
            }
            tokio::select! {
                ended = changes.changed() => if ended.is_err() { return },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn offer_now(&self, dispatcher: &Dispatcher) -> Result<(), anyserve_core::replicas::ReplicaError> {
        let withdrawn = self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner);
        if *withdrawn {
            return Ok(());
        }
        let (capabilities, idempotent) = dispatcher.offered();
        self.registrar.offer(capabilities, idempotent)
    }

    /// A registry that was away may have lost its memory: it hears of this agent before the next renewal would be due.
    async fn renew_when_connected(&self) {
        let mut status = self.directory.watch();
        loop {
            let is_connected = status.borrow_and_update().connected;
            // The sender is the directory's own.
            let _ = status.wait_for(|status| status.connected != is_connected).await;
            if !is_connected {
                self.registrar.renew();
            }
        }
    }
}
