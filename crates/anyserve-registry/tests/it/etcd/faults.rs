//! An etcd that dies, forgets, falls silent, or holds what is no replica.

use std::time::Duration;

use anyserve_registry::{Follower, Registrar, RegistryError, SharedDirectory, open};

use super::proxy::Proxy;
use super::server::{Etcd, free_port};
use crate::support::{Backend, LONG, becomes, capability, replica, text};

async fn is_connected(directory: &SharedDirectory, expected: bool) {
    let mut status = directory.watch();
    let changed = status.wait_for(|status| status.connected == expected);
    tokio::time::timeout(LONG, changed).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_etcd_that_was_killed_is_followed_again_and_what_is_registered_stays() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let follower = Follower::start(etcd.registry());
    let registrar = Registrar::new(etcd.registry(), replica("a", 1, &[]), Duration::from_secs(5));
    registrar.offer([capability("echo")], []).unwrap();
    let steps = async {
        becomes(follower.directory(), "a.1{echo}").await;
        for forgets in [false, true] {
            etcd.kill();
            is_connected(follower.directory(), false).await;
            assert_eq!(text(follower.directory()), "a.1{echo}");
            if forgets {
                etcd.lose_data();
            }
            etcd.restart().await;
            is_connected(follower.directory(), true).await;
            // One that has forgotten hears of it at the next renewal.
            becomes(follower.directory(), "a.1{echo}").await;
        }
        registrar.offer([capability("chat")], []).unwrap();
        becomes(follower.directory(), "a.1{chat}").await;
    };
    tokio::select! {
        superseded = registrar.run() => panic!("{superseded:?}"),
        () = steps => {}
    }
}

#[tokio::test]
async fn an_etcd_that_falls_silent_is_noticed() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = etcd.registry();
    let follower = Follower::start(etcd.registry());
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;
    etcd.freeze(true);
    let error = registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::Unreachable { reason, .. } if reason.contains("no answer within 3s")),
        "{error}"
    );
    is_connected(follower.directory(), false).await;
    assert_eq!(text(follower.directory()), "a.1{echo}");
    etcd.freeze(false);
    is_connected(follower.directory(), true).await;
    registry.put(&replica("a", 1, &["chat"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{chat}").await;
}

#[tokio::test]
async fn a_watch_whose_revision_is_compacted_starts_from_a_new_snapshot() {
    let Some(etcd) = Etcd::start().await else { return };
    let direct = etcd.registry();
    for name in ["a", "b"] {
        direct.put(&replica(name, 1, &["echo"]), LONG).await.unwrap();
    }
    // The snapshot comes through, the watch that follows it is held up.
    let proxy = Proxy::hold_after(etcd.port, b"/anyserve/replicas/b").await;
    let follower = Follower::start(open(&format!("etcd://127.0.0.1:{}", proxy.port)).unwrap());
    proxy.holding().await;
    direct.remove(&crate::support::id("a"), None).await.unwrap();
    direct.put(&replica("c", 1, &["echo"]), LONG).await.unwrap();
    let status = etcd.control(&["get", "/", "--prefix", "--limit", "1", "-w", "fields"]);
    let revision = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : ")).unwrap();
    etcd.control(&["compact", revision]);
    proxy.release();
    becomes(follower.directory(), "b.1{echo} c.1{echo}").await;
    direct.put(&replica("d", 1, &[]), LONG).await.unwrap();
    becomes(follower.directory(), "b.1{echo} c.1{echo} d.1{}").await;
}

#[tokio::test]
async fn of_several_members_one_that_answers_is_enough() {
    let Some(etcd) = Etcd::start().await else { return };
    let url = format!("etcd://127.0.0.1:{},127.0.0.1:{}", free_port(), etcd.port);
    let registry = open(&url).unwrap();
    let follower = Follower::start(open(&url).unwrap());
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;
}

#[tokio::test]
async fn without_etcd_the_error_says_where_it_should_be() {
    let port = free_port();
    let registry = open(&format!("etcd://127.0.0.1:{port}")).unwrap();
    let message = registry.put(&replica("a", 1, &[]), LONG).await.unwrap_err().to_string();
    assert!(message.contains(&format!("127.0.0.1:{port}")) && message.contains("refused"), "{message}");
}

#[tokio::test]
async fn what_is_no_replica_is_passed_over_and_other_prefixes_are_others() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = etcd.registry();
    etcd.control(&["put", "/anyserve/replicas/a", "garbage"]);
    etcd.control(&["put", "/anyserve/replicas/b/c", "{}"]);
    etcd.control(&["put", "/anyserve/replicasx", "{}"]);
    let follower = Follower::start(etcd.registry());
    let other = Follower::start(open(&format!("{}?prefix=/other", etcd.url())).unwrap());
    for directory in [follower.directory(), other.directory()] {
        directory.loaded().await;
        assert_eq!(text(directory), "");
    }
    // Garbage has no incarnation that could be later.
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;
    let forged = r#"{"replica_id":"z","endpoint":"z:1","incarnation":9,"capabilities":[]}"#;
    etcd.control(&["put", "/anyserve/replicas/b", forged]);
    etcd.control(&["put", "/anyserve/replicas/a", "garbage"]);
    becomes(follower.directory(), "").await;
    assert_eq!(text(other.directory()), "");
}

#[tokio::test]
async fn a_fleet_larger_than_a_page_comes_whole() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = etcd.registry();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..700 {
        let registry = registry.clone();
        tasks.spawn(async move {
            registry.put(&replica(&format!("r{number}"), 1, &["echo"]), LONG).await.unwrap();
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    let follower = Follower::start(etcd.registry());
    follower.directory().loaded().await;
    assert_eq!(follower.directory().read().len(), 700);
}
