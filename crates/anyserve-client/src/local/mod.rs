//! Requests whose large tensors are not sent but lie in memory that an agent on this machine shares with its clients.
//!
//! The agent makes the memory and lends places in it: an input is written to one, and an output looked at where its
//! worker left it. Requests and responses go by a Unix socket that only the agent's user can open.

mod check;
mod connection;
mod memory;
mod session;
mod stream;
mod wire;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_shm::ViewMut;

use crate::{Client, ClientError};
use session::Session;
pub(crate) use stream::LocalStream;

/// The least contents that are worth a word with the agent for a place; smaller ones are sent.
pub const LEAST: usize = 256 * 1024;

/// An agent on this machine that shares memory with this process. Connects at the first call, and again after the
/// connection ended. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Local(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Where its socket is.
    socket: PathBuf,
    /// `HOST:PORT` of its gRPC port.
    endpoint: String,
    session: Mutex<Option<Arc<Session>>>,
    /// Held by whoever connects.
    connecting: tokio::sync::Mutex<()>,
}

impl Client {
    /// A client of an agent on this machine and of this process's user, which passes tensors of [`LEAST_SHARED`](crate::LEAST_SHARED) bytes
    /// and more through memory that the agent shares with it, to [`infer`](Self::infer) and [`stream`](Self::stream).
    /// `socket` is where the agent has its socket for this: `PORT.shm.sock`, beside its control socket.
    ///
    /// The contents of responses may be such memory: the agent has it back once they are dropped.
    pub fn sharing_memory(endpoint: &str, socket: PathBuf) -> Result<Self, ClientError> {
        let client = Self::new(endpoint)?;
        let local = Some(Local::new(client.endpoint(), socket));
        Ok(Self { local, ..client })
    }

    /// Memory of so many bytes that is shared with the agent, to be filled with an input: what lies there is not copied
    /// again. None if this client shares no memory, has not connected yet, or finds no room at once.
    pub async fn try_allocate(&self, size: usize) -> Option<ViewMut> {
        self.local.as_ref()?.try_allocate(size).await
    }

    /// True if tensors of [`LEAST_SHARED`](crate::LEAST_SHARED) bytes and more are not sent.
    pub fn shares_memory(&self) -> bool {
        self.local.is_some()
    }
}

impl Local {
    pub(crate) fn new(endpoint: &str, socket: PathBuf) -> Self {
        Self(Arc::new(Shared {
            socket,
            endpoint: endpoint.to_owned(),
            session: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }))
    }

    /// A request that has one response.
    pub(crate) async fn infer(
        &self,
        request: ModelInferRequest,
        timeout: Option<Duration>,
    ) -> Result<ModelInferResponse, ClientError> {
        let call = async { self.session().await?.infer(request, timeout).await };
        within(timeout, call).await
    }

    /// A request that may have any number of responses.
    pub(crate) async fn stream(
        &self,
        request: ModelInferRequest,
        timeout: Option<Duration>,
    ) -> Result<LocalStream, ClientError> {
        let call = async { self.session().await?.stream(request, timeout).await };
        within(timeout, call).await
    }

    /// Shared memory of so many bytes, if there is a connection already, and room.
    pub(crate) async fn try_allocate(&self, size: usize) -> Option<ViewMut> {
        let session = self.open_session()?;
        session.allocate(size, false).await.ok()
    }

    /// The connection, which is made if there is none.
    async fn session(&self) -> Result<Arc<Session>, ClientError> {
        if let Some(session) = self.open_session() {
            return Ok(session);
        }
        let _alone = self.0.connecting.lock().await;
        if let Some(session) = self.open_session() {
            return Ok(session);
        }
        let Shared { socket, endpoint, .. } = &*self.0;
        let session = Arc::new(Session::open(endpoint, socket).await?);
        *self.lock() = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The connection, if there is one that has not ended.
    fn open_session(&self) -> Option<Arc<Session>> {
        let mut session = self.lock();
        if session.as_ref().is_some_and(|session| session.has_ended()) {
            *session = None;
        }
        session.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn within<T>(
    timeout: Option<Duration>,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match timeout {
        None => call.await,
        Some(limit) => tokio::time::timeout(limit, call).await.unwrap_or(Err(ClientError::Timeout(limit))),
    }
}
