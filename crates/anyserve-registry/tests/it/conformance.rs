//! What every registry does.

use std::time::Duration;

use anyserve_registry::{Follower, Registrar, RegistryError, Superseded};
use tokio::time::Instant;

use crate::support::{Backend, LONG, becomes, capability, id, replica, text};

/// The shortest lease that every registry can keep.
const LEASE: Duration = Duration::from_secs(2);

/// Every test of the suite, each with an empty registry that `$backend` makes; none skips it.
macro_rules! conformance {
    ($test:meta, $backend:expr) => {
        $crate::conformance::conformance!(@ $test, $backend,
            what_is_put_is_seen_and_what_is_removed_is_gone
            who_follows_later_sees_all_and_an_empty_registry_is_known_as_such
            the_later_incarnation_has_the_id
            renewing_keeps_it_and_changes_nothing
            a_lease_that_is_not_renewed_ends
            two_processes_have_one_registry
            of_many_at_once_the_latest_stays
            hundreds_at_once
            a_registrar_keeps_its_replica_up_to_date
            a_registrar_that_is_superseded_says_so_and_stops
            whatever_is_legal_comes_back_as_it_was
        );
    };
    (@ $test:meta, $backend:expr, $($name:ident)*) => {
        $(
            #[$test]
            async fn $name() {
                let Some(backend) = $backend else { return };
                $crate::conformance::$name(&backend).await;
            }
        )*
    };
}
pub(crate) use conformance;

pub(crate) async fn what_is_put_is_seen_and_what_is_removed_is_gone(backend: &impl Backend) {
    let registry = backend.registry();
    let follower = Follower::start(registry.clone());
    let directory = follower.directory();
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(directory, "a.1{echo}").await;
    registry.put(&replica("a", 1, &["chat", "echo"]), LONG).await.unwrap();
    registry.put(&replica("b", 1, &[]), LONG).await.unwrap();
    becomes(directory, "a.1{chat,echo} b.1{}").await;
    assert!(registry.remove(&id("a"), None).await.unwrap());
    becomes(directory, "b.1{}").await;
    assert!(!registry.remove(&id("a"), None).await.unwrap());
    assert!(directory.status().connected);
}

pub(crate) async fn who_follows_later_sees_all_and_an_empty_registry_is_known_as_such(
    backend: &impl Backend,
) {
    let registry = backend.registry();
    let early = Follower::start(registry.clone());
    assert_eq!(early.directory().status().version, 0);
    early.directory().loaded().await;
    assert_eq!(text(early.directory()), "");
    for name in ["a", "b", "c"] {
        registry.put(&replica(name, 7, &["echo"]), LONG).await.unwrap();
    }
    let late = Follower::start(backend.elsewhere());
    late.directory().loaded().await;
    assert_eq!(text(late.directory()), "a.7{echo} b.7{echo} c.7{echo}");
    drop(early);
    registry.remove(&id("b"), None).await.unwrap();
    becomes(late.directory(), "a.7{echo} c.7{echo}").await;
}

pub(crate) async fn the_later_incarnation_has_the_id(backend: &impl Backend) {
    let (registry, other) = (backend.registry(), backend.elsewhere());
    let follower = Follower::start(registry.clone());
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    other.put(&replica("a", 2, &["chat"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.2{chat}").await;
    match registry.put(&replica("a", 1, &["echo"]), LONG).await {
        Err(RegistryError::Superseded { id, by }) => {
            assert_eq!(id.as_str(), "a");
            assert!(by.contains("a:80") && by.contains('2'), "{by}");
        }
        other => panic!("{other:?}"),
    }
    // The earlier one goes: that is nothing to the later one.
    assert!(!registry.remove(&id("a"), Some(1)).await.unwrap());
    other.put(&replica("a", 2, &["chat", "echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.2{chat,echo}").await;
    assert!(other.remove(&id("a"), Some(2)).await.unwrap());
    becomes(follower.directory(), "").await;
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;
}

pub(crate) async fn renewing_keeps_it_and_changes_nothing(backend: &impl Backend) {
    let registry = backend.registry();
    let follower = Follower::start(registry.clone());
    let echo = replica("a", 1, &["echo"]);
    registry.put(&echo, LEASE).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;
    let version = follower.directory().status().version;
    let until = Instant::now() + 2 * LEASE;
    while Instant::now() < until {
        tokio::time::sleep(LEASE / 4).await;
        registry.put(&echo, LEASE).await.unwrap();
    }
    assert_eq!(follower.directory().status().version, version);
    assert_eq!(text(follower.directory()), "a.1{echo}");
}

pub(crate) async fn a_lease_that_is_not_renewed_ends(backend: &impl Backend) {
    let registry = backend.registry();
    let follower = Follower::start(backend.elsewhere());
    registry.put(&replica("a", 5, &["echo"]), LEASE).await.unwrap();
    registry.put(&replica("b", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.5{echo} b.1{echo}").await;
    becomes(follower.directory(), "b.1{echo}").await;
    // Nobody has the id now.
    registry.put(&replica("a", 4, &["echo"]), LEASE).await.unwrap();
    becomes(follower.directory(), "a.4{echo} b.1{echo}").await;
}

pub(crate) async fn two_processes_have_one_registry(backend: &impl Backend) {
    let (one, other) = (backend.registry(), backend.elsewhere());
    let (ones, others) = (Follower::start(one.clone()), Follower::start(other.clone()));
    one.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    other.put(&replica("b", 1, &["echo"]), LONG).await.unwrap();
    for follower in [&ones, &others] {
        becomes(follower.directory(), "a.1{echo} b.1{echo}").await;
    }
    // A replica may renew at another place than it registered at, and go back.
    other.put(&replica("a", 1, &["chat"]), LONG).await.unwrap();
    one.put(&replica("a", 1, &["chat"]), LONG).await.unwrap();
    one.put(&replica("a", 1, &["embed"]), LONG).await.unwrap();
    becomes(others.directory(), "a.1{embed} b.1{echo}").await;
    assert!(other.remove(&id("a"), Some(1)).await.unwrap());
    becomes(ones.directory(), "b.1{echo}").await;
}

pub(crate) async fn of_many_at_once_the_latest_stays(backend: &impl Backend) {
    let follower = Follower::start(backend.registry());
    let mut tasks = tokio::task::JoinSet::new();
    for incarnation in 1..=24 {
        let registry = if incarnation % 2 == 0 { backend.registry() } else { backend.elsewhere() };
        tasks.spawn(async move { registry.put(&replica("a", incarnation, &["echo"]), LONG).await });
    }
    let mut refused = 0;
    while let Some(result) = tasks.join_next().await {
        match result.unwrap() {
            Ok(()) => {}
            Err(RegistryError::Superseded { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused < 24);
    becomes(follower.directory(), "a.24{echo}").await;
}

pub(crate) async fn hundreds_at_once(backend: &impl Backend) {
    let registry = backend.registry();
    let follower = Follower::start(backend.elsewhere());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..300 {
        let registry = registry.clone();
        tasks.spawn(async move {
            registry.put(&replica(&format!("r{number}"), 1, &["echo", "chat"]), LONG).await.unwrap();
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    let mut status = follower.directory().watch();
    while follower.directory().read().len() < 300 {
        tokio::time::timeout(LONG, status.changed()).await.unwrap().unwrap();
    }
}

pub(crate) async fn a_registrar_keeps_its_replica_up_to_date(backend: &impl Backend) {
    let follower = Follower::start(backend.elsewhere());
    let registrar = Registrar::new(backend.registry(), replica("a", 1, &[]), LEASE);
    let steps = async {
        follower.directory().loaded().await;
        // Nothing was offered yet.
        assert_eq!(*registrar.registered().borrow(), None);
        registrar.offer([capability("echo")], []).unwrap();
        registrar.settled().await;
        becomes(follower.directory(), "a.1{echo}").await;
        tokio::time::sleep(2 * LEASE).await;
        assert_eq!(text(follower.directory()), "a.1{echo}");
        // A change does not wait for the renewal.
        registrar.offer([], []).unwrap();
        becomes(follower.directory(), "a.1{}").await;
        // Somebody took it out: the next renewal brings it back.
        backend.elsewhere().remove(&id("a"), None).await.unwrap();
        becomes(follower.directory(), "").await;
        becomes(follower.directory(), "a.1{}").await;
    };
    tokio::select! {
        superseded = registrar.run() => panic!("{superseded:?}"),
        () = steps => {}
    }
    registrar.leave().await;
    becomes(follower.directory(), "").await;
}

pub(crate) async fn a_registrar_that_is_superseded_says_so_and_stops(backend: &impl Backend) {
    let follower = Follower::start(backend.elsewhere());
    let earlier = Registrar::new(backend.registry(), replica("a", 1, &[]), LEASE);
    let later = Registrar::new(backend.elsewhere(), replica("a", 2, &[]), LEASE);
    earlier.offer([capability("echo")], []).unwrap();
    later.offer([capability("chat")], []).unwrap();
    tokio::select! {
        superseded = earlier.run() => panic!("{superseded:?}"),
        () = earlier.settled() => {}
    }
    let Superseded { id, by } = tokio::select! {
        superseded = later.run() => panic!("{superseded:?}"),
        superseded = earlier.run() => superseded,
    };
    assert!(id.as_str() == "a" && by.contains("a:80"), "{id} {by}");
    earlier.leave().await;
    becomes(follower.directory(), "a.2{chat}").await;
}

pub(crate) async fn whatever_is_legal_comes_back_as_it_was(backend: &impl Backend) {
    let registry = backend.registry();
    let follower = Follower::start(backend.elsewhere());
    let odd = r##"!"#$%&'()*+-.:;<=>?@[\]^_`{|}~"##;
    let values = ["", "é\u{0}\n\"\\", "=%&?#/", "1"];
    let capabilities = values
        .map(|value| anyserve_core::Capability::new([("model", anyserve_core::Value::from(value))]).unwrap());
    for name in [odd, "..", &"x".repeat(128)] {
        let whole =
            anyserve_core::replicas::Replica::new(id(name), "[::1]:65535", u64::MAX, capabilities.clone());
        let whole = whole.unwrap();
        registry.put(&whole, LONG).await.unwrap();
        let mut status = follower.directory().watch();
        while follower.directory().read().get(&id(name)).is_none() {
            tokio::time::timeout(LONG, status.changed()).await.unwrap().unwrap();
        }
        assert_eq!(**follower.directory().read().get(&id(name)).unwrap(), whole);
        assert!(registry.remove(&id(name), Some(u64::MAX)).await.unwrap());
    }
    becomes(follower.directory(), "").await;
}
