//! How a connection is made, and how long it lasts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyserve_channel::{FRAME_OVERHEAD, Receiver};
use anyserve_proto::LOCAL_PROTOCOL_VERSION;
use anyserve_proto::local::{ClientHello, FromClient, from_client};
use anyserve_proto::worker::{Failure, ToWorker, answer, to_worker};
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

use super::wire::Wire;

/// How long the agent may take to say that this process is welcome.
const WELCOME_LIMIT: Duration = Duration::from_secs(5);

/// A connection that lasts until this is dropped: whoever looks at the agent's memory holds it, as the agent takes the
/// memory back when the connection ends.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Arc<Wire>,
    task: AbortHandle,
}

/// Why there is no connection.
pub(super) enum Refusal {
    /// No agent has the socket open.
    Nobody(std::io::Error),
    /// The agent said so.
    Refused(Box<Failure>),
    /// In other words.
    Other(String),
}

impl Connection {
    /// Connects to the agent that has the socket, and that listens at one of these addresses.
    pub(super) async fn open(socket: &Path, addresses: &[SocketAddr]) -> Result<Self, Refusal> {
        let stream = UnixStream::connect(socket).await.map_err(Refusal::Nobody)?;
        let owner = stream.peer_cred().map_err(Refusal::Nobody)?.uid();
        // In a folder for temporary files, somebody else could have made it.
        if owner != rustix::process::geteuid().as_raw() {
            return Err(Refusal::Other(format!("its socket belongs to user {owner}, not to this one")));
        }
        let (sender, mut receiver) =
            anyserve_channel::split::<ToWorker>(stream, u64::from(u32::MAX) + FRAME_OVERHEAD);
        let addresses = addresses.iter().map(SocketAddr::to_string).collect();
        let hello = ClientHello { protocol_version: LOCAL_PROTOCOL_VERSION, addresses };
        let hello = FromClient { message: Some(from_client::Message::Hello(hello)) };
        sender.send(&hello, &[]).map_err(|error| Refusal::Other(error.to_string()))?;
        let welcome = tokio::time::timeout(WELCOME_LIMIT, receive_welcome(&mut receiver)).await;
        welcome.unwrap_or_else(|_| {
            Err(Refusal::Other(format!("the agent said nothing for {WELCOME_LIMIT:?}")))
        })?;
        let wire = Arc::new(Wire::new(sender));
        let task = tokio::spawn(Arc::clone(&wire).run(receiver)).abort_handle();
        Ok(Self { wire, task })
    }
}

async fn receive_welcome(receiver: &mut Receiver<ToWorker>) -> Result<(), Refusal> {
    let first = receiver.receive().await.map_err(|error| Refusal::Other(error.to_string()))?;
    let message = first.and_then(|(message, _)| message.message);
    match message {
        Some(to_worker::Message::Welcome(_)) => Ok(()),
        Some(to_worker::Message::Answer(answer)) => match answer.result {
            Some(answer::Result::Failure(failure)) => Err(Refusal::Refused(Box::new(failure))),
            _ => Err(Refusal::Other("the agent refused without a word".to_owned())),
        },
        Some(_) => Err(Refusal::Other("what answers at its socket is no agent of this version".to_owned())),
        None => Err(Refusal::Other("the agent hung up".to_owned())),
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
