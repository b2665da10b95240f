//! Replicas to register, and waiting for what must become true.

use std::sync::Arc;
use std::time::Duration;

use anyserve_core::replicas::{Replica, ReplicaId};
use anyserve_core::{Capability, Value};
use anyserve_registry::{Registry, SharedDirectory};

/// Long enough for any registry to say no sooner than this.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A registry for one test.
pub(crate) trait Backend {
    /// The registry, as one process has it.
    fn registry(&self) -> Arc<dyn Registry>;

    /// The same registry, as another process has it.
    fn elsewhere(&self) -> Arc<dyn Registry>;
}

pub(crate) fn id(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

pub(crate) fn capability(kind: &str) -> Capability {
    Capability::new([("type", Value::from(kind))]).unwrap()
}

pub(crate) fn replica(name: &str, incarnation: u64, kinds: &[&str]) -> Replica {
    let capabilities = kinds.iter().map(|kind| capability(kind));
    Replica::new(id(name), &format!("{name}:80"), incarnation, capabilities).unwrap()
}

/// The replicas of a directory, as `name.incarnation{types}`.
pub(crate) fn text(directory: &SharedDirectory) -> String {
    let one = |replica: &Arc<Replica>| {
        let kinds: Vec<_> = replica.capabilities().iter().filter_map(|pairs| pairs.get("type")).collect();
        format!("{}.{}{{{}}}", replica.id(), replica.incarnation(), kinds.join(","))
    };
    directory.read().iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Waits until the directory is that, as [`text`] tells it.
pub(crate) async fn becomes(directory: &SharedDirectory, expected: &str) {
    let mut status = directory.watch();
    let reached = async {
        while text(directory) != expected {
            status.changed().await.unwrap();
        }
    };
    let within = tokio::time::timeout(LONG, reached).await;
    assert!(within.is_ok(), "the directory is '{}' instead of '{expected}'", text(directory));
}
