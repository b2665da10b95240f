//! Fork servers: processes that have imported what workers need, and fork them.
//!
//! One is exec'd for each set of modules, never forked from the agent. What it cannot do safely, it says, and workers are
//! exec'd as if it were not there. The protocol stands in `python/anyserve/worker/fork_server.py`.

use std::collections::{HashMap, hash_map};
use std::io;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyserve_channel::WORKER_VARIABLE;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::WorkerCommand;
use crate::fleet::Settings;

/// The flag behind which the worker's command names the module to run.
const MODULE_FLAG: &str = "-m";
const MODULE: &str = "anyserve.worker.fork_server";

/// How long forking a worker may take.
const LONGEST_FORK: std::time::Duration = std::time::Duration::from_secs(5);

/// The fork servers of an agent.
#[derive(Debug, Default)]
pub(crate) struct ForkServers {
    by_key: Mutex<HashMap<Key, Entry>>,
    tasks: TaskTracker,
}

/// Workers with the same key can come from the same server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// What runs Python, with its options.
    interpreter: WorkerCommand,
    preload: Vec<String>,
}

#[derive(Clone, Debug)]
enum Entry {
    Starting,
    Ready(mpsc::Sender<Request>, CancellationToken),
    /// Workers are exec'd.
    Unfit,
}

/// Why a server is there no more.
#[derive(Debug)]
enum End {
    /// It cannot fork workers safely, or could not be started.
    Unfit(String),
    /// It ended, or had to be ended.
    Died(String),
    /// Nobody needs it any more.
    Forgotten,
}

/// A worker that is to be forked.
#[derive(Debug)]
struct Request {
    message: Vec<u8>,
    channel: OwnedFd,
    stderr: OwnedFd,
    answer: oneshot::Sender<io::Result<Forked>>,
}

/// A forked worker: its process id, and its status once it has ended.
#[derive(Debug)]
pub(super) struct Forked {
    pub(super) pid: Pid,
    pub(super) status: oneshot::Receiver<ExitStatus>,
}

impl ForkServers {
    /// Starts the server for a pool's workers, if they want one and it is not there.
    pub(crate) fn prepare(self: &Arc<Self>, pool: &str, settings: &Settings, stop: &CancellationToken) {
        let Some((key, _)) = key(settings) else {
            return;
        };
        match self.lock().entry(key.clone()) {
            hash_map::Entry::Occupied(_) => return,
            hash_map::Entry::Vacant(entry) => drop(entry.insert(Entry::Starting)),
        }
        let (servers, stop, pool) = (Arc::clone(self), stop.clone(), pool.to_owned());
        self.tasks.spawn(async move {
            let end = tokio::select! {
                end = servers.run(&key) => end,
                () = stop.cancelled() => return,
            };
            match end {
                End::Unfit(why) => {
                    servers.lock().insert(key, Entry::Unfit);
                    tracing::warn!(pool, "workers start without a fork server: {why}");
                }
                End::Died(why) => {
                    // The next worker has another one started.
                    servers.lock().remove(&key);
                    tracing::warn!(pool, "the fork server has ended: {why}");
                }
                End::Forgotten => {}
            }
        });
    }

    /// Forks a worker with that control channel and standard error; gives them back if there is no server that can.
    pub(super) async fn fork(
        &self,
        settings: &Settings,
        environment: &[(String, String)],
        (channel, stderr): (OwnedFd, OwnedFd),
    ) -> Result<io::Result<Forked>, (OwnedFd, OwnedFd)> {
        let Some((key, arguments)) = key(settings) else {
            return Err((channel, stderr));
        };
        let Some(Entry::Ready(requests, kill)) = self.lock().get(&key).cloned() else {
            return Err((channel, stderr));
        };
        let mut words = vec![arguments.len().to_string()];
        words.extend(arguments);
        words.extend(environment.iter().map(|(key, value)| format!("{key}={value}")));
        let (answer, answered) = oneshot::channel();
        let request = Request { message: words.join("\0").into_bytes(), channel, stderr, answer };
        if let Err(mpsc::error::SendError(request)) = requests.send(request).await {
            return Err((request.channel, request.stderr));
        }
        let Ok(answer) = tokio::time::timeout(LONGEST_FORK, answered).await else {
            // One that hangs takes its workers with it: there is no other way to end it.
            kill.cancel();
            return Ok(Err(io::Error::other(format!(
                "the fork server did not answer within {LONGEST_FORK:?}"
            ))));
        };
        Ok(answer.unwrap_or_else(|_| Err(io::Error::other("the fork server ended before it had answered"))))
    }

    /// The next worker with these settings has another server started; the old one goes with its last worker.
    pub(crate) fn forget(&self, settings: &Settings) {
        if let Some((key, _)) = key(settings) {
            self.lock().remove(&key);
        }
    }

    /// Waits until every server has ended.
    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs a server until it ends; returns why it did.
    async fn run(&self, key: &Key) -> End {
        let (mut process, socket) = match spawn(key) {
            Ok(spawned) => spawned,
            Err(error) => return End::Unfit(error.to_string()),
        };
        let (reader, writer) = socket.into_split();
        let mut lines = BufReader::new(reader).lines();
        let first = lines.next_line().await.ok().flatten().unwrap_or_default();
        if first != "ready" {
            let _ = process.kill().await;
            return End::Unfit(first.strip_prefix("unfit ").unwrap_or("it did not start").to_owned());
        }
        let ((sender, requests), kill) = (mpsc::channel(64), CancellationToken::new());
        self.lock().insert(key.clone(), Entry::Ready(sender, kill.clone()));
        let served = tokio::select! {
            served = serve(lines, writer, requests) => served,
            () = kill.cancelled() => Err(io::Error::other("it did not answer")),
        };
        let _ = process.kill().await;
        match served {
            Ok(()) => End::Forgotten,
            Err(error) => End::Died(error.to_string()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Entry>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends requests on and brings answers back, until the server ends, or nobody needs it and its workers are gone.
async fn serve(
    mut lines: Lines<BufReader<OwnedReadHalf>>,
    mut writer: OwnedWriteHalf,
    mut requests: mpsc::Receiver<Request>,
) -> io::Result<()> {
    let mut waiting = std::collections::VecDeque::new();
    let mut running: HashMap<i32, oneshot::Sender<ExitStatus>> = HashMap::new();
    let mut needed = true;
    while needed || !waiting.is_empty() || !running.is_empty() {
        tokio::select! {
            request = requests.recv(), if needed => match request {
                None => needed = false,
                Some(request) => {
                    send(&mut writer, &request).await?;
                    waiting.push_back(request.answer);
                }
            },
            line = lines.next_line() => {
                let Some(line) = line? else {
                    return Err(io::Error::other("it has closed its socket"));
                };
                let mut words = line.split(' ');
                let (verb, pid) = (words.next(), words.next().and_then(|pid| pid.parse().ok()));
                match (verb, pid) {
                    (Some("started"), Some(number)) => {
                        let (ended, status) = oneshot::channel();
                        running.insert(number, ended);
                        let forked = Pid::from_raw(number).map(|pid| Forked { pid, status });
                        let answer = waiting.pop_front().zip(forked);
                        if let Some((answer, forked)) = answer {
                            let _ = answer.send(Ok(forked));
                        }
                    }
                    (Some("ended"), Some(number)) => {
                        let status = words.next().and_then(|status| status.parse().ok()).unwrap_or_default();
                        if let Some(ended) = running.remove(&number) {
                            let _ = ended.send(ExitStatus::from_raw(status));
                        }
                    }
                    (Some("failed"), _) => {
                        if let Some(answer) = waiting.pop_front() {
                            let _ = answer.send(Err(io::Error::other(line)));
                        }
                    }
                    _ => return Err(io::Error::other(format!("it said '{line}'"))),
                }
            }
        }
    }
    Ok(())
}

/// Sends a request; its descriptors go with the first bytes.
async fn send(writer: &mut OwnedWriteHalf, request: &Request) -> io::Result<()> {
    let length = u32::try_from(request.message.len()).map_err(io::Error::other)?.to_le_bytes();
    writer
        .as_ref()
        .async_io(tokio::io::Interest::WRITABLE, || {
            let descriptors = [request.channel.as_fd(), request.stderr.as_fd()];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            let sent = rustix::net::sendmsg(
                writer.as_ref(),
                &[IoSlice::new(&length)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            );
            Ok(sent?)
        })
        .await?;
    writer.write_all(&request.message).await
}

fn spawn(key: &Key) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(&key.interpreter.program)
        .args(&key.interpreter.args)
        .args([MODULE_FLAG, MODULE])
        .args(&key.preload)
        .envs(&key.interpreter.env)
        .env(WORKER_VARIABLE, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// What the workers of a pool have in common with others, and the arguments that are their own; none if they want no
/// fork server, or their command is not of the form `python … -m anyserve.worker …`.
fn key(settings: &Settings) -> Option<(Key, Vec<String>)> {
    let Settings { command, preload, .. } = settings;
    let module = command.args.iter().position(|arg| arg == MODULE_FLAG)?;
    if preload.is_empty() {
        return None;
    }
    let text = |arg: &std::ffi::OsString| arg.to_str().map(str::to_owned);
    let arguments: Option<Vec<String>> = command.args.get(module + 2..)?.iter().map(text).collect();
    let interpreter = WorkerCommand { args: command.args[..module].to_vec(), ..command.clone() };
    Some((Key { interpreter, preload: preload.clone() }, arguments?))
}
