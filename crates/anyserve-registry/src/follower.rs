//! Keeps a directory up to date, whatever becomes of the registry.

use std::convert::Infallible;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::error::RegistryError;
use crate::registry::Registry;
use crate::shared::SharedDirectory;

/// A directory that follows a registry until this is dropped.
#[derive(Debug)]
pub struct Follower {
    directory: Arc<SharedDirectory>,
    _task: AbortOnDropHandle<Infallible>,
}

impl Follower {
    /// Follows a registry, by a task of its own. Must be called in a tokio runtime.
    pub fn start(registry: Arc<dyn Registry>) -> Self {
        let directory = Arc::<SharedDirectory>::default();
        let task = tokio::spawn({
            let directory = Arc::clone(&directory);
            async move { follow(&*registry, &directory).await }
        });
        Self { directory, _task: AbortOnDropHandle::new(task) }
    }

    /// What is known of the registry.
    pub fn directory(&self) -> &Arc<SharedDirectory> {
        &self.directory
    }
}

/// Follows a registry for as long as this is polled: when it is lost, the directory stays as it is, and the registry is
/// tried again and again.
pub async fn follow(registry: &dyn Registry, directory: &Arc<SharedDirectory>) -> Infallible {
    let mut backoff = Backoff::default();
    // A registry that is down is told of once, not at every try.
    let mut is_told = false;
    loop {
        let error = follow_once(registry, directory, &mut is_told).await;
        if directory.set_connected(false) {
            backoff.reset();
        }
        if !std::mem::replace(&mut is_told, true) {
            let known = directory.read().len();
            tracing::warn!("{error}; the {known} replicas that are known stay, and tries go on");
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn follow_once(
    registry: &dyn Registry,
    directory: &Arc<SharedDirectory>,
    is_told: &mut bool,
) -> RegistryError {
    let mut following = std::pin::pin!(registry.follow(directory));
    if *is_told {
        tokio::select! {
            // It may connect and end at one poll.
            biased;
            error = &mut following => return error,
            () = connected(directory) => {}
        }
        tracing::info!("the registry {registry} is there again");
        *is_told = false;
    }
    following.await
}

async fn connected(directory: &SharedDirectory) {
    let mut status = directory.watch();
    // The sender is the directory's own.
    let _ = status.wait_for(|status| status.connected).await;
}
