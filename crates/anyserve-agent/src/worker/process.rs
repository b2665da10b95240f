//! A worker process, its channel and its claim file.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyserve_channel::{CLAIM_FILE_VARIABLE, GPUS_VARIABLE, WORKER_VARIABLE};
use anyserve_core::scaler::Grant;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::fork_server::{ForkServers, Forked};
use super::last_words::LastWords;
use crate::config::WorkerCommand;
use crate::fleet::Settings;

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
    child: Running,
    group: Option<Pid>,
    claims: File,
    stderr: Option<LastWords>,
}

/// Where a process came from.
#[derive(Debug)]
enum Running {
    /// It was exec'd, and is a child of this process.
    Executed(Box<Child>),
    /// It was forked by a fork server, which tells its status.
    Forked(Forked, Option<ExitStatus>),
}

impl Process {
    /// Starts a worker, with the control channel as its standard input: by the pool's fork server, or by executing its
    /// command.
    pub(super) async fn start(
        settings: &Settings,
        grant: &Grant,
        servers: &ForkServers,
    ) -> io::Result<(Self, UnixStream)> {
        let claims = File::from(rustix::fs::memfd_create("anyserve-claims", MemfdFlags::CLOEXEC)?);
        claims.write_all_at(&0_u64.to_le_bytes(), 0)?;
        let claim_path = format!("/proc/{}/fd/{}", std::process::id(), claims.as_raw_fd());
        let mut environment = gpus_to_see(grant);
        environment.push((CLAIM_FILE_VARIABLE.to_owned(), claim_path));
        let (mut ends, theirs) = Ends::new()?;
        let theirs = match servers.fork(settings, &environment, theirs).await {
            Ok(Ok(forked)) => return Self::new(Running::Forked(forked, None), claims, ends),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a worker could not be forked; it is executed instead");
                let (again, theirs) = Ends::new()?;
                ends = again;
                theirs
            }
            Err(theirs) => theirs,
        };
        let child = execute(&settings.command, environment, theirs)?;
        Self::new(Running::Executed(Box::new(child)), claims, ends)
    }

    fn new(child: Running, claims: File, ends: Ends) -> io::Result<(Self, UnixStream)> {
        let group = match &child {
            Running::Executed(child) => {
                child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
            }
            Running::Forked(forked, _) => Some(forked.pid),
        };
        let stderr = Some(LastWords::of(pipe::Receiver::from_owned_fd(ends.stderr.into())?));
        Ok((Self { child, group, claims, stderr }, UnixStream::from_std(ends.channel)?))
    }

    /// The process id, while it lives.
    pub(super) fn id(&self) -> Option<u32> {
        match &self.child {
            Running::Executed(child) => child.id(),
            Running::Forked(..) => self.group.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()),
        }
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

    /// What it wrote to stderr last, once it has ended.
    pub(super) async fn last_words(mut self) -> String {
        match self.stderr.take() {
            Some(stderr) => stderr.finish().await,
            None => String::new(),
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
            tracing::error!(pid = self.id(), "a killed worker does not die; going on without it");
        }
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

/// The agent's ends of what it shares with a worker.
#[derive(Debug)]
struct Ends {
    channel: StdUnixStream,
    stderr: io::PipeReader,
}

impl Ends {
    /// Both ends of both; the worker's are its standard input and its standard error.
    fn new() -> io::Result<(Self, (OwnedFd, OwnedFd))> {
        let (channel, theirs) = StdUnixStream::pair()?;
        for end in [&channel, &theirs] {
            rustix::net::sockopt::set_socket_send_buffer_size(end, SOCKET_BUFFER)?;
        }
        channel.set_nonblocking(true)?;
        let (stderr, written) = io::pipe()?;
        Ok((Self { channel, stderr }, (OwnedFd::from(theirs), OwnedFd::from(written))))
    }
}

impl Running {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Executed(child) => child.wait().await,
            Self::Forked(_, Some(status)) => Ok(*status),
            Self::Forked(forked, status) => {
                // A fork server takes its workers with it.
                let ended = (&mut forked.status).await.unwrap_or(ExitStatus::from_raw(Signal::KILL.as_raw()));
                Ok(*status.insert(ended))
            }
        }
    }
}

fn execute(
    command: &WorkerCommand,
    environment: Vec<(String, String)>,
    (channel, stderr): (OwnedFd, OwnedFd),
) -> io::Result<Child> {
    Command::new(&command.program)
        .args(&command.args)
        .envs(&command.env)
        .envs(environment)
        .env(WORKER_VARIABLE, "1")
        .stdin(Stdio::from(channel))
        .stderr(Stdio::from(stderr))
        // A terminal's Ctrl-C is for the agent, which lets its workers finish.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// What tells a process which GPUs are its own; nothing, if none was asked for.
fn gpus_to_see(grant: &Grant) -> Vec<(String, String)> {
    if grant.gpus.is_empty() {
        return Vec::new();
    }
    let gpus: Vec<_> = grant.gpus.iter().map(u32::to_string).collect();
    let gpus = gpus.join(",");
    vec![(GPUS_VARIABLE.to_owned(), gpus.clone()), ("CUDA_VISIBLE_DEVICES".to_owned(), gpus)]
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
    }
}
