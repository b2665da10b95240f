//! An etcd process.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How often a start is tried: somebody may take the ports in between.
const STARTS: usize = 5;
/// How often is looked whether it answers, for how long.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: usize = 3000;

/// An etcd with its data, gone when this is dropped.
pub(super) struct Etcd {
    process: Child,
    pub(super) port: u16,
    folder: TempDir,
    options: Vec<String>,
}

impl Etcd {
    /// An empty one; none, with a word about it, where there is no etcd to start.
    pub(super) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// One with these options as well.
    pub(super) async fn start_with(options: &[String]) -> Option<Self> {
        if !is_installed("etcd") || !is_installed("etcdctl") {
            assert!(std::env::var_os("CI").is_none(), "no etcd: tests/install_tools.sh installs it");
            eprintln!("skipped: there is no etcd; tests/install_tools.sh installs it");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..STARTS {
            let port = free_port();
            if let Some(process) = spawn(port, folder.path(), options).await {
                return Some(Self { process, port, folder, options: options.to_vec() });
            }
        }
        panic!("etcd did not start");
    }

    pub(super) fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a machine that loses power does.
    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after that, with its data.
    pub(super) async fn restart(&mut self) {
        let process = spawn(self.port, self.folder.path(), &self.options).await;
        self.process = process.expect("nobody has the port");
    }

    /// Loses its data, while it is not running.
    pub(super) fn lose_data(&mut self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    /// Stops its time, as a network that loses every packet does, or lets it go on.
    pub(super) fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Runs `etcdctl`; returns what it prints.
    pub(super) fn control(&self, arguments: &[&str]) -> String {
        let endpoint = format!("127.0.0.1:{}", self.port);
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoint]).args(arguments);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "etcdctl {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts it and waits until it answers; none if it ends instead.
async fn spawn(port: u16, folder: &Path, options: &[String]) -> Option<Child> {
    let scheme =
        if options.iter().any(|option| option.starts_with("--cert-file")) { "https" } else { "http" };
    let client = format!("{scheme}://127.0.0.1:{port}");
    let mut command = Command::new("etcd");
    command
        .args(["--data-dir".as_ref(), folder.join("data").as_os_str()])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        // Alone as it is, it talks to nobody; a port of its own all the same.
        .args(["--listen-peer-urls", "http://127.0.0.1:0"])
        .args(["--heartbeat-interval", "20", "--election-timeout", "100", "--log-level", "error"])
        .args(options)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap());
    let mut process = command.spawn().unwrap();
    for _ in 0..LOOKS {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Some(process);
        }
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        sleep(LOOK).await;
    }
    let _ = process.kill();
    None
}
