//! A worker process, its channel and its claim file.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyserve_channel::{CLAIM_FILE_VARIABLE, WORKER_VARIABLE};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::config::WorkerCommand;

/// How long a process may take to end after its channel closed, before it is killed.
const END_GRACE: Duration = Duration::from_secs(1);

/// How long a killed process is waited for.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// How long the channel of a process that has ended is read on. It ends with the process, unless a child of the
/// worker's holds it open.
const LAST_MESSAGES: Duration = Duration::from_millis(100);

/// Kernel buffer for each direction of the channel; the kernel cuts it to what it allows.
const SOCKET_BUFFER: usize = 4 << 20;

/// A worker process. It is killed, and whatever it started in its process group, when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    claims: File,
}

impl Process {
    /// Starts the program, with the control channel as its standard input.
    pub(super) fn spawn(command: &WorkerCommand) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        for end in [&ours, &theirs] {
            rustix::net::sockopt::set_socket_send_buffer_size(end, SOCKET_BUFFER)?;
        }
        ours.set_nonblocking(true)?;
        let claims = File::from(rustix::fs::memfd_create("anyserve-claims", MemfdFlags::CLOEXEC)?);
        claims.write_all_at(&0_u64.to_le_bytes(), 0)?;
        let claim_path = format!("/proc/{}/fd/{}", std::process::id(), claims.as_raw_fd());
        let child = Command::new(&command.program)
            .args(&command.args)
            .env(WORKER_VARIABLE, "1")
            .env(CLAIM_FILE_VARIABLE, claim_path)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // A terminal's Ctrl-C is for the agent, which lets its workers finish.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok((Self { child, group, claims }, UnixStream::from_std(ours)?))
    }

    /// The process id, while it lives.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The sequence number of the last assignment that it started.
    pub(super) fn claimed(&self) -> u64 {
        let mut bytes = [0; 8];
        match self.claims.read_exact_at(&mut bytes, 0) {
            Ok(()) => u64::from_le_bytes(bytes),
            // Then nothing can be assumed not to have started.
            Err(_) => u64::MAX,
        }
    }

    /// Returns once the process has ended, and its last messages had time to be read.
    pub(super) async fn ended(&mut self) {
        let _ = self.child.wait().await;
        tokio::time::sleep(LAST_MESSAGES).await;
    }

    /// Waits a moment for the process to end by itself, then kills it; none if it had to be killed.
    pub(super) async fn end(&mut self) -> Option<ExitStatus> {
        let status = tokio::time::timeout(END_GRACE, self.child.wait()).await;
        self.kill().await;
        status.ok()?.ok()
    }

    /// Kills the process and its group, and reaps it.
    pub(super) async fn kill(&mut self) {
        self.kill_group();
        // Stuck in a driver, a process outlives even SIGKILL; nobody else should wait for it.
        if tokio::time::timeout(KILL_GRACE, self.child.wait()).await.is_err() {
            tracing::error!(pid = self.child.id(), "a killed worker does not die; going on without it");
        }
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
    }
}
