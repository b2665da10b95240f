//! Taking over what the agent passed: the channel as standard input, and the claim file by its path.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use anyserve_channel::{CLAIM_FILE_VARIABLE, Receiver, WORKER_VARIABLE};
use anyserve_proto::worker::{Returned, ToWorker, to_agent, to_worker};
use tokio::net::UnixStream;

use crate::inbox::{Assigned, Inbox};
use crate::{Shared, Worker, WorkerError};

/// Where the worker notes what it has started.
#[derive(Debug)]
pub(crate) struct ClaimFile(File);

impl ClaimFile {
    /// Notes that the assignment with this sequence number is started now.
    pub(crate) fn claim(&self, sequence: u64) {
        // A write to memory; if it fails after all, the agent takes what was started for not started.
        let _ = self.0.write_all_at(&sequence.to_le_bytes(), 0);
    }
}

pub(crate) fn from_env() -> Result<Worker, WorkerError> {
    if std::env::var_os(WORKER_VARIABLE).is_none() {
        return Err(WorkerError::NotAWorker(WORKER_VARIABLE));
    }
    let path = std::env::var_os(CLAIM_FILE_VARIABLE).ok_or(WorkerError::NotAWorker(CLAIM_FILE_VARIABLE))?;
    let claims = ClaimFile(File::options().write(true).open(path)?);
    // The agent may be killed at any moment; a worker must not outlive it. If it is dead already, the channel's
    // end says so.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(std::io::Error::from)?;
    let socket = StdUnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    // The user's code finds an empty standard input there, not our channel.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(std::io::Error::from)?;
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = {
        let _context = runtime.enter();
        UnixStream::from_std(socket)?
    };
    let (sender, receiver) = anyserve_channel::split(stream, u64::MAX);
    let shared =
        Arc::new(Shared { sender, inbox: Inbox::default(), claims, runtime: runtime.handle().clone() });
    let for_thread = Arc::clone(&shared);
    std::thread::Builder::new()
        .name("anyserve-channel".to_owned())
        .spawn(move || runtime.block_on(serve_channel(&for_thread, receiver)))?;
    Ok(Worker { shared })
}

/// Reads the channel until the agent is gone, and ends the process then.
async fn serve_channel(shared: &Shared, mut receiver: Receiver<ToWorker>) {
    let receive = async {
        while let Ok(Some((message, payload))) = receiver.receive().await {
            let Some(message) = message.message else { continue };
            if handle(shared, message, payload).is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = receive => {}
        () = shared.sender.drive() => {}
    }
    // Nobody is left to answer to, and a handler may hold this process for as long as it likes.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

fn handle(
    shared: &Shared,
    message: to_worker::Message,
    payload: bytes::Bytes,
) -> Result<(), anyserve_channel::ChannelError> {
    let returned = |requests| shared.send(to_agent::Message::Returned(Returned { requests }), &[]);
    match message {
        to_worker::Message::Welcome(welcome) => shared.inbox.welcome(welcome.max_message_size),
        to_worker::Message::Assign(assign) => {
            let inputs = anyserve_channel::split_payload(payload, &assign.payload_sizes)?;
            shared.inbox.push(Assigned::new(assign, inputs));
        }
        to_worker::Message::Recall(_) => returned(shared.inbox.take_unstarted()),
        to_worker::Message::Cancel(cancel) => {
            if shared.inbox.cancel(cancel.request) {
                returned(vec![cancel.request]);
            }
        }
        to_worker::Message::Stop(_) => shared.inbox.stop(),
    }
    Ok(())
}
