//! Keeps one replica registered, whatever becomes of the registry.

use std::sync::Arc;
use std::time::Duration;

use anyserve_core::Capability;
use anyserve_core::replicas::{Replica, ReplicaError, ReplicaId};
use tokio::sync::{Notify, watch};

use crate::backoff::Backoff;
use crate::error::RegistryError;
use crate::registry::Registry;

/// How many times a lease is renewed before it would end.
const RENEWALS: u32 = 3;
/// How long the registry may take to hear that a replica goes; the lease tells it otherwise.
const REMOVAL: Duration = Duration::from_secs(2);

/// Keeps a process's own entry in a registry.
///
/// [`Self::run`] does it; what is offered is told by [`Self::offer`], at any time, by anybody.
#[derive(Debug)]
pub struct Registrar {
    registry: Arc<dyn Registry>,
    /// The replica, without capabilities.
    bare: Replica,
    lease: Duration,
    /// What is to be registered; nothing until something was offered.
    wanted: watch::Sender<Option<Arc<Replica>>>,
    /// What the registry has said yes to, at last.
    registered: watch::Sender<Option<Arc<Replica>>>,
    renew: Notify,
}

/// A replica that started later has the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The id that both have.
    pub id: ReplicaId,
    /// Where the later one is, as far as that is known.
    pub by: String,
}

impl Registrar {
    /// For a replica that nothing is known of yet but its id, endpoint and incarnation.
    pub fn new(registry: Arc<dyn Registry>, bare: Replica, lease: Duration) -> Self {
        let (wanted, registered) = (watch::Sender::default(), watch::Sender::default());
        Self { registry, bare, lease, wanted, registered, renew: Notify::new() }
    }

    /// Says what the replica takes requests for, and which of that is idempotent; it is registered from the first time
    /// on, and changed at once.
    pub fn offer(
        &self,
        capabilities: impl IntoIterator<Item = Capability>,
        idempotent: impl IntoIterator<Item = Capability>,
    ) -> Result<(), ReplicaError> {
        let replica = Arc::new(self.bare.offering(capabilities)?.with_idempotent(idempotent));
        self.wanted.send_if_modified(|wanted| {
            let is_news = wanted.as_ref() != Some(&replica);
            *wanted = Some(replica);
            is_news
        });
        Ok(())
    }

    /// What the registry has, as far as is known; none while it is not registered.
    pub fn registered(&self) -> watch::Receiver<Option<Arc<Replica>>> {
        self.registered.subscribe()
    }

    /// Renews now: the registry may have lost its memory.
    pub fn renew(&self) {
        self.renew.notify_one();
    }

    /// Waits until the registry has what is offered now.
    pub async fn settled(&self) {
        let wanted = self.wanted.borrow().clone();
        // The sender is here.
        let _ = self.registered.subscribe().wait_for(|registered| *registered == wanted).await;
    }

    /// Registers, renews and changes the replica for as long as this is polled, or until a later one has its id.
    pub async fn run(&self) -> Superseded {
        let superseded = self.keep().await;
        self.registered.send_replace(None);
        superseded
    }

    /// Takes the replica out, once [`Self::run`] is not polled any more. If the registry does not answer soon, the end of
    /// the lease has to tell it.
    pub async fn leave(&self) {
        self.registered.send_replace(None);
        if self.wanted.borrow().is_none() {
            return;
        }
        let removal = self.registry.remove(self.bare.id(), Some(self.bare.incarnation()));
        let unheard = match tokio::time::timeout(REMOVAL, removal).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the registry {} does not answer", self.registry),
        };
        tracing::warn!("{unheard}; replica {} is there until its lease ends", self.bare.id());
    }

    async fn keep(&self) -> Superseded {
        let mut wanted = self.wanted.subscribe();
        let mut backoff = Backoff::default();
        let mut is_told = false;
        loop {
            let now_wanted = wanted.borrow_and_update().clone();
            let Some(replica) = now_wanted else {
                // The sender is here.
                let _ = wanted.changed().await;
                continue;
            };
            let pause = match self.registry.put(&replica, self.lease).await {
                Ok(()) => {
                    backoff.reset();
                    self.note_registered(replica, &mut is_told);
                    self.lease / RENEWALS
                }
                Err(RegistryError::Superseded { id, by }) => return Superseded { id, by },
                Err(error) => {
                    self.note_lost(&error, &mut is_told);
                    backoff.next().min(self.lease / RENEWALS)
                }
            };
            tokio::select! {
                _ = wanted.changed() => {}
                () = self.renew.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn note_registered(&self, replica: Arc<Replica>, is_told: &mut bool) {
        if std::mem::take(is_told) {
            tracing::info!("replica {} is registered again at {}", replica.id(), self.registry);
        }
        self.registered.send_if_modified(|registered| {
            let is_news = registered.as_ref() != Some(&replica);
            *registered = Some(replica);
            is_news
        });
    }

    fn note_lost(&self, error: &RegistryError, is_told: &mut bool) {
        self.registered.send_if_modified(|registered| registered.take().is_some());
        if !std::mem::replace(is_told, true) {
            tracing::warn!("replica {} cannot be registered: {error}; tries go on", self.bare.id());
        }
    }
}
