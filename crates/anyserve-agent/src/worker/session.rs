//! One worker process from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use anyserve_channel::{ChannelError, FRAME_OVERHEAD, Receiver, Sender};
use anyserve_core::scaler::Grant;
use anyserve_core::scheduler::WorkerId;
use anyserve_proto::worker::{DeclaredPool, Hello, Stop, ToAgent, ToWorker, Welcome, to_agent, to_worker};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::calls::{Calls, Servers};
use super::exit::WorkerExit;
use super::fork_server::ForkServers;
use super::health::{self, SignsOfLife};
use super::process::Process;
use crate::config::AgentConfig;
use crate::dispatch::{
    CallMessage, Declaration, Dispatcher, Gone, HelloError, Launch, Link, WINDOW_BYTES, WINDOW_RESPONSES,
    check_version,
};
use crate::fleet::{Memory, Settings};
use crate::objects::WorkerMemory;

/// What the sessions of an agent share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) max_message_size: u64,
    pub(crate) stream_stall_timeout: Duration,
    /// Where handlers ask other servers.
    pub(crate) servers: Arc<Servers>,
    pub(crate) fork_servers: Arc<ForkServers>,
    /// The fork servers are to stop.
    pub(crate) servers_stop: CancellationToken,
    /// Every worker is to stop.
    pub(crate) stop: CancellationToken,
    /// And is not waited for.
    pub(crate) kill: CancellationToken,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: WorkerExit,
    pub(crate) gone: Gone,
}

/// Runs one process; when this returns it is gone, and its requests are requeued or failed.
pub(crate) async fn run(context: &Context, launch: &Launch) -> Ended {
    let Launch { worker: id, settings, .. } = launch;
    let dispatcher = &context.dispatcher;
    context.fork_servers.prepare(&launch.name, settings, &context.servers_stop);
    let started = tokio::select! {
        started = Process::start(settings, &launch.grant, &context.fork_servers) => {
            started.map_err(WorkerExit::Spawn)
        }
        () = tokio::time::sleep(settings.start_timeout) => Err(settings.start_timed_out()),
        () = context.stop.cancelled() => Err(WorkerExit::Stopped),
        () = launch.stop.cancelled() => Err(WorkerExit::Stopped),
    };
    let (mut process, stream) = match started {
        Ok(started) => started,
        Err(exit) => {
            let gone = dispatcher.worker_gone(*id, 0, &exit, "");
            return Ended { exit, gone };
        }
    };
    tracing::debug!(pool = launch.name, worker = id.0, pid = process.id(), "worker started");
    let (kill, killed) = oneshot::channel();
    dispatcher.worker_started(*id, process.id(), kill);
    let (sender, mut receiver) =
        anyserve_channel::split::<ToAgent>(stream, context.max_message_size + FRAME_OVERHEAD);
    let sender = Arc::new(sender);
    let signs = SignsOfLife::default();
    let mut ready = false;
    let pid = process.id();
    let name = worker_name(&launch.name, pid);
    let memory = WorkerMemory::new(Arc::clone(dispatcher.objects()), Arc::clone(&sender), name);
    let mut calls = Calls::new(*id, context, &memory);
    let talk = async {
        let hello = tokio::time::timeout(settings.start_timeout, receive_hello(&mut receiver, &signs)).await;
        let hello = hello.unwrap_or(Err(settings.start_timed_out()))?;
        let remembered = settings.remember.then(|| hello.clone());
        let refused = |error: HelloError| WorkerExit::Refused(error.to_string());
        let declaration = Declaration::try_from(hello).map_err(refused)?;
        send(&sender, to_worker::Message::Welcome(context.welcome()));
        let link = Link::new(Arc::clone(&sender), Arc::clone(&memory));
        dispatcher.worker_ready(*id, declaration, link).map_err(refused)?;
        if let Some(hello) = remembered {
            context.memory.keep(&settings.command, &hello);
        }
        ready = true;
        Err::<(), _>(receive_answers(dispatcher, *id, &mut calls, &mut receiver, &signs).await)
    };
    let exit = tokio::select! {
        Err::<(), _>(exit) = talk => exit,
        Ok(exit) = killed => exit,
        exit = health::watch(pid, settings, &signs) => exit,
        () = sender.drive() => WorkerExit::Disconnected,
        () = process.ended() => WorkerExit::Disconnected,
        () = context.stop.cancelled() => WorkerExit::Stopped,
        () = launch.stop.cancelled() => WorkerExit::Stopped,
    };
    if matches!(exit, WorkerExit::Stopped) && !ready {
        // It has nothing to finish, and does not listen while it loads the application.
        process.kill().await;
    } else if matches!(exit, WorkerExit::Stopped) {
        tokio::select! {
            finished = stop_politely(&sender, &mut receiver, &mut calls, settings) => {
                if !finished {
                    process.kill().await;
                }
            }
            () = context.kill.cancelled() => process.kill().await,
        }
    }
    finish(process, dispatcher, launch, exit).await
}

/// Runs a process that only says what its application declares.
pub(crate) async fn describe(
    context: &Context,
    settings: &Settings,
) -> Result<Vec<DeclaredPool>, WorkerExit> {
    let (mut process, stream) = Process::start(settings, &Grant::default(), &context.fork_servers)
        .await
        .map_err(WorkerExit::Spawn)?;
    let (_sender, mut receiver) =
        anyserve_channel::split::<ToAgent>(stream, context.max_message_size + FRAME_OVERHEAD);
    let signs = SignsOfLife::default();
    let exit = tokio::select! {
        hello = receive_hello(&mut receiver, &signs) => hello.err(),
        () = tokio::time::sleep(settings.start_timeout) => Some(settings.start_timed_out()),
        () = process.ended() => Some(WorkerExit::Disconnected),
        () = context.stop.cancelled() => Some(WorkerExit::Stopped),
    };
    let exit =
        exit.unwrap_or_else(|| WorkerExit::Malformed("it said hello when it was to describe".to_owned()));
    if let WorkerExit::Declared(pools) = exit {
        process.end().await;
        return Ok(pools);
    }
    let status = if matches!(exit, WorkerExit::Disconnected) { process.end().await } else { None };
    process.kill().await;
    Err(match (exit, status) {
        (WorkerExit::Disconnected, Some(status)) => WorkerExit::Exited(status),
        (exit, _) => exit,
    })
}

/// Waits for the worker's first message: what it serves.
async fn receive_hello(receiver: &mut Receiver<ToAgent>, signs: &SignsOfLife) -> Result<Hello, WorkerExit> {
    loop {
        let message = match receiver.receive().await {
            Ok(Some((message, _))) => message.message,
            Ok(None) | Err(ChannelError::Truncated) => return Err(WorkerExit::Disconnected),
            Err(error) => return Err(WorkerExit::Malformed(error.to_string())),
        };
        signs.note();
        match message {
            Some(to_agent::Message::Heartbeat(_)) => {}
            Some(to_agent::Message::Hello(hello)) => return Ok(hello),
            Some(to_agent::Message::Declared(declared)) => {
                check_version(declared.protocol_version)
                    .map_err(|error| WorkerExit::Refused(error.to_string()))?;
                return Err(WorkerExit::Declared(declared.pools));
            }
            Some(to_agent::Message::StartFailed(failed)) => {
                return Err(WorkerExit::StartFailed { message: failed.message, traceback: failed.traceback });
            }
            _ => return Err(WorkerExit::Malformed("its first message was not a hello".to_owned())),
        }
    }
}

/// Brings the worker's answers to the dispatcher until the channel ends.
async fn receive_answers(
    dispatcher: &Dispatcher,
    id: WorkerId,
    calls: &mut Calls,
    receiver: &mut Receiver<ToAgent>,
    signs: &SignsOfLife,
) -> WorkerExit {
    loop {
        let first = match receiver.receive().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(ChannelError::Truncated) => return WorkerExit::Disconnected,
            Err(error) => return WorkerExit::Malformed(error.to_string()),
        };
        signs.note();
        // What came with it is dealt with under the same lock.
        let mut broken = None;
        let buffered = std::iter::from_fn(|| {
            receiver.buffered().unwrap_or_else(|error| {
                broken = Some(error);
                None
            })
        });
        let (streams, wanted) = match dispatcher.receive(id, std::iter::once(first).chain(buffered)) {
            Ok(found) => found,
            Err(violation) => return WorkerExit::Malformed(violation.to_string()),
        };
        for message in wanted {
            if let Err(violation) = calls.receive(message) {
                return WorkerExit::Malformed(violation.to_string());
            }
        }
        if let Some(error) = broken {
            return WorkerExit::Malformed(error.to_string());
        }
        if streams {
            // A worker that streams has always more to read; first, what came goes on to the client.
            tokio::task::yield_now().await;
        }
    }
}

/// Asks the worker to end, and waits for it for a while; returns whether that was long enough.
async fn stop_politely(
    sender: &Sender,
    receiver: &mut Receiver<ToAgent>,
    calls: &mut Calls,
    settings: &Settings,
) -> bool {
    send(sender, to_worker::Message::Stop(Stop {}));
    let end = async {
        sender.flush().await;
        while let Ok(Some((message, payload))) = receiver.receive().await {
            // What else it sends is of no use any more, but its last hook may want something.
            let message = message.message.and_then(|message| CallMessage::of(message, payload));
            if message.is_some_and(|message| calls.receive(message).is_err()) {
                return;
            }
            sender.flush().await;
        }
    };
    tokio::time::timeout(settings.stop_timeout, end).await.is_ok()
}

/// Ends the process, and then what depended on it.
async fn finish(mut process: Process, dispatcher: &Dispatcher, launch: &Launch, exit: WorkerExit) -> Ended {
    // Others end by themselves.
    if !matches!(
        exit,
        WorkerExit::Stopped
            | WorkerExit::Disconnected
            | WorkerExit::StartFailed { .. }
            | WorkerExit::Declared(_)
    ) {
        process.kill().await;
    }
    let status = process.end().await;
    let exit = match (exit, status) {
        (WorkerExit::Disconnected, Some(status)) => WorkerExit::Exited(status),
        (exit, _) => exit,
    };
    let claimed = process.claimed();
    let words = process.last_words().await;
    let gone = dispatcher.worker_gone(launch.worker, claimed, &exit, &words);
    tracing::debug!(pool = launch.name, worker = launch.worker.0, %exit, "worker ended");
    Ended { exit, gone }
}

impl Context {
    fn welcome(&self) -> Welcome {
        let stall = self.stream_stall_timeout.as_micros();
        Welcome {
            max_message_size: self.max_message_size,
            stream_window_responses: WINDOW_RESPONSES,
            stream_window_bytes: WINDOW_BYTES,
            stream_stall_timeout_us: u64::try_from(stall).unwrap_or(u64::MAX),
        }
    }
}

impl AgentConfig {
    /// What sessions have to know of it.
    pub(crate) fn sessions(&self, dispatcher: Arc<Dispatcher>, memory: Arc<Memory>) -> Context {
        Context {
            dispatcher,
            memory,
            max_message_size: self.max_message_size as u64,
            stream_stall_timeout: self.stream_stall_timeout,
            servers: Arc::default(),
            fork_servers: Arc::default(),
            servers_stop: CancellationToken::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        }
    }
}

/// How people call a worker.
fn worker_name(pool: &str, pid: Option<u32>) -> Arc<str> {
    match pid {
        Some(pid) => format!("{pool}, pid {pid}").into(),
        None => pool.into(),
    }
}

fn send(sender: &Sender, message: to_worker::Message) {
    // Small messages always fit a frame.
    let _ = sender.send(&ToWorker { message: Some(message) }, &[]);
}
