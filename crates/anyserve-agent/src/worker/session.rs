//! One worker process from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use anyserve_channel::{ChannelError, FRAME_OVERHEAD, Receiver, Sender};
use anyserve_core::scheduler::WorkerId;
use anyserve_proto::worker::{Stop, ToAgent, ToWorker, Welcome, to_agent, to_worker};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::exit::WorkerExit;
use super::process::Process;
use crate::config::AgentConfig;
use crate::dispatch::{Declaration, Dispatcher, Link, WINDOW_BYTES, WINDOW_RESPONSES};

/// How long a worker that was told to stop may take.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How a session is ended from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    /// Ask the worker to finish and end.
    pub(super) stop: &'a CancellationToken,
    /// Do not wait for it.
    pub(super) kill: &'a CancellationToken,
}

/// Runs one process; returns how it ended, with the process gone and its requests requeued or failed.
pub(super) async fn run(
    config: &AgentConfig,
    dispatcher: &Dispatcher,
    id: WorkerId,
    end: End<'_>,
    on_ready: impl FnOnce(),
) -> WorkerExit {
    let (mut process, stream) = match Process::spawn(&config.command) {
        Ok(spawned) => spawned,
        Err(error) => return WorkerExit::Spawn(error),
    };
    tracing::debug!(worker = id.0, pid = process.id(), "worker started");
    let (sender, mut receiver) =
        anyserve_channel::split::<ToAgent>(stream, config.max_message_size as u64 + FRAME_OVERHEAD);
    let sender = Arc::new(sender);
    let mut ready = false;
    let pid = process.id();
    let talk = async {
        let start = tokio::time::timeout(config.start_timeout, receive_hello(&mut receiver)).await;
        let declaration = start.unwrap_or(Err(WorkerExit::StartTimedOut(config.start_timeout)))?;
        let (kill, killed) = oneshot::channel();
        let welcome = Welcome {
            max_message_size: config.max_message_size as u64,
            stream_window_responses: WINDOW_RESPONSES,
            stream_window_bytes: WINDOW_BYTES,
            stream_stall_timeout_us: u64::try_from(config.stream_stall_timeout.as_micros())
                .unwrap_or(u64::MAX),
        };
        send(&sender, to_worker::Message::Welcome(welcome));
        dispatcher
            .worker_ready(id, declaration, Link::new(Arc::clone(&sender), pid, kill))
            .map_err(|error| WorkerExit::Refused(error.to_string()))?;
        ready = true;
        on_ready();
        tokio::select! {
            exit = receive_answers(dispatcher, id, &mut receiver) => Err(exit),
            Ok(exit) = killed => Err(exit),
        }
    };
    let exit = tokio::select! {
        Err::<(), _>(exit) = talk => exit,
        () = sender.drive() => WorkerExit::Disconnected,
        () = process.ended() => WorkerExit::Disconnected,
        () = end.stop.cancelled() => WorkerExit::Stopped,
    };
    if matches!(exit, WorkerExit::Stopped) && !ready {
        // It has nothing to finish, and does not listen while it loads the application.
        process.kill().await;
    } else if matches!(exit, WorkerExit::Stopped) {
        tokio::select! {
            () = stop_politely(&sender, &mut receiver) => {}
            () = end.kill.cancelled() => process.kill().await,
        }
    }
    let exit = finish(process, dispatcher, id, exit).await;
    tracing::debug!(worker = id.0, %exit, "worker ended");
    exit
}

/// Waits for the worker's first message: what it serves.
async fn receive_hello(receiver: &mut Receiver<ToAgent>) -> Result<Declaration, WorkerExit> {
    let message = match receiver.receive().await {
        Ok(Some((message, _))) => message.message,
        Ok(None) | Err(ChannelError::Truncated) => return Err(WorkerExit::Disconnected),
        Err(error) => return Err(WorkerExit::Malformed(error.to_string())),
    };
    match message {
        Some(to_agent::Message::Hello(hello)) => {
            Declaration::try_from(hello).map_err(|error| WorkerExit::Refused(error.to_string()))
        }
        Some(to_agent::Message::StartFailed(failed)) => {
            Err(WorkerExit::StartFailed { message: failed.message, traceback: failed.traceback })
        }
        _ => Err(WorkerExit::Malformed("its first message was not a hello".to_owned())),
    }
}

/// Brings the worker's answers to the dispatcher until the channel ends.
async fn receive_answers(
    dispatcher: &Dispatcher,
    id: WorkerId,
    receiver: &mut Receiver<ToAgent>,
) -> WorkerExit {
    loop {
        let first = match receiver.receive().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(ChannelError::Truncated) => return WorkerExit::Disconnected,
            Err(error) => return WorkerExit::Malformed(error.to_string()),
        };
        // What came with it is dealt with under the same lock.
        let mut broken = None;
        let buffered = std::iter::from_fn(|| {
            receiver.buffered().unwrap_or_else(|error| {
                broken = Some(error);
                None
            })
        });
        let streams = match dispatcher.receive(id, std::iter::once(first).chain(buffered)) {
            Ok(streams) => streams,
            Err(violation) => return WorkerExit::Malformed(violation.to_string()),
        };
        if let Some(error) = broken {
            return WorkerExit::Malformed(error.to_string());
        }
        if streams {
            // A worker that streams has always more to read; first, what came goes on to the client.
            tokio::task::yield_now().await;
        }
    }
}

/// Asks the worker to end, and waits for it for a while.
async fn stop_politely(sender: &Sender, receiver: &mut Receiver<ToAgent>) {
    send(sender, to_worker::Message::Stop(Stop {}));
    let end = async {
        sender.flush().await;
        while let Ok(Some(_)) = receiver.receive().await {}
    };
    let _ = tokio::time::timeout(STOP_GRACE, end).await;
}

/// Ends the process, and then what depended on it.
async fn finish(mut process: Process, dispatcher: &Dispatcher, id: WorkerId, exit: WorkerExit) -> WorkerExit {
    // These will not end by themselves.
    if let WorkerExit::Malformed(_)
    | WorkerExit::Hung(_)
    | WorkerExit::StartTimedOut(_)
    | WorkerExit::Refused(_) = exit
    {
        process.kill().await;
    }
    let status = process.end().await;
    let exit = match (exit, status) {
        (WorkerExit::Disconnected, Some(status)) => WorkerExit::Exited(status),
        (exit, _) => exit,
    };
    dispatcher.worker_gone(id, process.claimed(), &exit);
    exit
}

fn send(sender: &Sender, message: to_worker::Message) {
    // Small messages always fit a frame.
    let _ = sender.send(&ToWorker { message: Some(message) }, &[]);
}
