//! An etcd that does not let everybody in.

use std::path::Path;
use std::process::Command;

use anyserve_registry::{Follower, RegistryError, open};

use super::server::Etcd;
use crate::support::{LONG, becomes, replica};

async fn refusal(url: &str) -> RegistryError {
    open(url).unwrap().put(&replica("x", 1, &[]), LONG).await.unwrap_err()
}

#[tokio::test]
async fn a_password_lets_in_and_outlives_a_restart() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let root = ["--user", "root:secret"];
    etcd.control(&["user", "add", "root:secret"]);
    etcd.control(&["user", "grant-role", "root", "root"]);
    etcd.control(&["user", "add", "agent:p@ss:w/d"]);
    etcd.control(&["role", "add", "replicas"]);
    etcd.control(&["role", "grant-permission", "replicas", "--prefix=true", "readwrite", "/anyserve/"]);
    etcd.control(&["user", "grant-role", "agent", "replicas"]);
    etcd.control(&["auth", "enable"]);
    let url = format!("etcd://agent:p%40ss%3Aw%2Fd@127.0.0.1:{}", etcd.port);
    let registry = open(&url).unwrap();
    let follower = Follower::start(open(&url).unwrap());
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;

    for bad in [
        format!("etcd://127.0.0.1:{}", etcd.port),
        format!("etcd://agent:wrong@127.0.0.1:{}", etcd.port),
        format!("{url}?prefix=/elsewhere"),
    ] {
        let error = refusal(&bad).await;
        assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }

    // Tokens are forgotten, and asked for anew.
    etcd.kill();
    etcd.restart().await;
    registry.put(&replica("a", 1, &["chat"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{chat}").await;

    // The password goes with the users: everybody may come in again, those with one too.
    etcd.control(&[&root[..], &["auth", "disable"]].concat());
    open(&url).unwrap().put(&replica("b", 1, &[]), LONG).await.unwrap();
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo} b.1{}").await;
}

#[tokio::test]
async fn certificates_let_in_who_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    if !make_certificates(folder.path()) {
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    }
    let options = [
        format!("--cert-file={}", file("server.pem")),
        format!("--key-file={}", file("server.key")),
        format!("--trusted-ca-file={}", file("ca.pem")),
        "--client-cert-auth".to_owned(),
    ];
    let Some(etcd) = Etcd::start_with(&options).await else { return };
    let place = etcd.url();
    let url = format!("{place}?ca={}&cert={}&key={}", file("ca.pem"), file("client.pem"), file("client.key"));
    let registry = open(&url).unwrap();
    let follower = Follower::start(open(&url).unwrap());
    registry.put(&replica("a", 1, &["echo"]), LONG).await.unwrap();
    becomes(follower.directory(), "a.1{echo}").await;

    for bad in [
        // No certificate of its own, etcd's is not known, no TLS at all.
        format!("{place}?ca={}", file("ca.pem")),
        format!("{place}?ca={}&cert={}&key={}", file("client.pem"), file("client.pem"), file("client.key")),
        place.clone(),
    ] {
        let error = refusal(&bad).await;
        assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    }
    std::fs::write(folder.path().join("no.pem"), "garbage").unwrap();
    let error = open(&format!("{place}?ca={}&cert={0}&key={0}", file("no.pem"))).unwrap_err();
    assert!(matches!(error, RegistryError::Url { .. }), "{error}");
}

/// An authority, and certificates by it for an etcd at 127.0.0.1 and for a client; false without openssl.
fn make_certificates(folder: &Path) -> bool {
    let openssl = |arguments: &str| {
        let arguments = arguments.split(' ');
        Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let mut made =
        openssl(&format!("req -x509 {new_key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    for name in ["server", "client"] {
        made &= openssl(&format!("req {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        made &= openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile names"
        ));
    }
    made
}
