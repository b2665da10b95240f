//! One client's connection from its hello to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyserve_channel::{FRAME_OVERHEAD, Receiver, Sender};
use anyserve_proto::LOCAL_PROTOCOL_VERSION;
use anyserve_proto::local::{ClientHello, FromClient, from_client};
use anyserve_proto::worker::{Answer, Failure, ToWorker, Welcome, answer, to_worker};
use bytes::Bytes;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::error::Hangup;
use crate::dispatch::Dispatcher;
use crate::objects::WorkerMemory;

/// How long a client may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may take to leave that says why the client is cut off.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a client until it hangs up, breaks the protocol, or `stop`; what it holds is free again when this returns. A
/// client that is `refused` hears why.
pub(super) async fn serve(
    stream: UnixStream,
    refused: Option<&Hangup>,
    dispatcher: &Arc<Dispatcher>,
    address: SocketAddr,
    stop: &CancellationToken,
) -> Result<(), Hangup> {
    let peer = stream.peer_cred().map_err(anyserve_channel::ChannelError::from)?;
    let (found, expected) = (peer.uid(), rustix::process::geteuid().as_raw());
    let limit = dispatcher.max_message_size() as u64 + FRAME_OVERHEAD;
    let (sender, mut receiver) = anyserve_channel::split::<FromClient>(stream, limit);
    let sender = Arc::new(sender);
    if found != expected {
        let stranger = Hangup::Stranger { found, expected };
        return farewell(&sender, &stranger).await.and(Err(stranger));
    }
    if let Some(refused) = refused {
        return farewell(&sender, refused).await;
    }
    let pid = peer.pid();
    let name = pid.map_or_else(|| "a client".to_owned(), |pid| format!("client, pid {pid}"));
    let memory = WorkerMemory::new(Arc::clone(dispatcher.objects()), Arc::clone(&sender), name.into());
    let mut calls = Calls::new(Arc::clone(dispatcher), memory);
    let talk = async {
        let hello = tokio::time::timeout(HELLO_LIMIT, receive_hello(&mut receiver, address)).await;
        hello.unwrap_or(Err(Hangup::Silent))?;
        // The other limits are those of streams from workers.
        let welcome =
            Welcome { max_message_size: dispatcher.max_message_size() as u64, ..Welcome::default() };
        send(&sender, to_worker::Message::Welcome(welcome));
        receive(&sender, &mut receiver, &mut calls).await
    };
    let ended = tokio::select! {
        ended = talk => ended,
        () = sender.drive() => Ok(()),
        () = stop.cancelled() => {
            // Whoever stops says how long this may take.
            calls.finish().await;
            sender.flush().await;
            Ok(())
        }
    };
    if let Err(hangup) = &ended {
        farewell(&sender, hangup).await?;
    }
    ended
}

/// Waits for the client's first message, and for whom it takes this agent.
async fn receive_hello(receiver: &mut Receiver<FromClient>, address: SocketAddr) -> Result<(), Hangup> {
    let Some((message, _)) = receiver.receive().await? else {
        return Err(Hangup::Silent);
    };
    let Some(from_client::Message::Hello(ClientHello { protocol_version, addresses })) = message.message
    else {
        return Err(Hangup::OutOfTurn);
    };
    if protocol_version != LOCAL_PROTOCOL_VERSION {
        return Err(Hangup::Version { found: protocol_version });
    }
    let is_here = |asked: &String| {
        let same = |asked: SocketAddr| address.ip().is_unspecified() || asked.ip() == address.ip();
        asked.parse().is_ok_and(same)
    };
    // Another agent of this machine may have the port at another of its addresses.
    if addresses.iter().any(is_here) {
        return Ok(());
    }
    Err(Hangup::Elsewhere { here: address, asked: addresses.join(", ") })
}

/// Does what the client says until it hangs up.
async fn receive(
    sender: &Sender,
    receiver: &mut Receiver<FromClient>,
    calls: &mut Calls,
) -> Result<(), Hangup> {
    while let Some((message, payload)) = receiver.receive().await? {
        match message.message.ok_or(Hangup::OutOfTurn)? {
            from_client::Message::Hello(_) => return Err(Hangup::OutOfTurn),
            from_client::Message::Allocate(allocate) => calls.allocate(&allocate),
            from_client::Message::Infer(infer) => calls.infer(infer, payload)?,
            from_client::Message::Taken(taken) => calls.taken(&taken),
            from_client::Message::Cancel(cancel) => calls.cancel(cancel.call),
            from_client::Message::Released(released) => calls.release(&released.leases)?,
        }
        // A client that reads no answers is not read from either: so what waits for it has a bound.
        sender.flush().await;
    }
    Ok(())
}

/// Tells the client why it is cut off; call 0 is nobody's.
async fn farewell(sender: &Sender, hangup: &Hangup) -> Result<(), Hangup> {
    let (kind, message) = (hangup.kind() as i32, hangup.to_string());
    let result = Some(answer::Result::Failure(Failure { kind, message, ..Failure::default() }));
    send(sender, to_worker::Message::Answer(Answer { result, ..Answer::default() }));
    // It may have gone.
    let _ = tokio::time::timeout(FAREWELL, sender.flush()).await;
    Ok(())
}

fn send(sender: &Sender, message: to_worker::Message) {
    // Small messages always fit a frame.
    let _ = sender.send(&ToWorker { message: Some(message) }, &[] as &[Bytes]);
}
