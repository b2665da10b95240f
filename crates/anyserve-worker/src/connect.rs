//! Taking over what the agent passed: the channel as standard input, and the claim file by its path.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use anyserve_channel::{CLAIM_FILE_VARIABLE, WORKER_VARIABLE};
use tokio::net::UnixStream;

use crate::claims::ClaimFile;
use crate::lead::{self, Shared};
use crate::{Worker, WorkerError, heartbeat};

pub(crate) fn from_env() -> Result<Worker, WorkerError> {
    let variable = |name| std::env::var_os(name).ok_or(WorkerError::NotAWorker(name));
    variable(WORKER_VARIABLE)?;
    let claims = ClaimFile::open(variable(CLAIM_FILE_VARIABLE)?)?;
    // The agent may be killed at any moment; a worker must not outlive it. If it is dead already, the channel's
    // end says so.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(io::Error::from)?;
    let socket = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // The user's code finds an empty standard input there, not our channel.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
    socket.set_nonblocking(true)?;
    let descriptor = socket.as_raw_fd();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stream = {
        let _context = runtime.enter();
        UnixStream::from_std(socket)?
    };
    let (sender, receiver) = anyserve_channel::split(stream, u64::MAX);
    let shared = Arc::new(Shared::new(sender, receiver, claims, runtime, descriptor));
    let for_watcher = Arc::clone(&shared);
    std::thread::Builder::new()
        .name("anyserve-watch".to_owned())
        .spawn(move || lead::watch(&for_watcher))
        .map(|watcher| shared.set_watcher(watcher.thread().clone()))?;
    shared.memory.set_teller(heartbeat::start(Arc::clone(&shared))?);
    Ok(Worker { shared })
}
