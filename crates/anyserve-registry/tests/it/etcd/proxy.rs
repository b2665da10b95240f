//! A wire that can be cut.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes bytes on, in both directions. After the first answer that contains some bytes, it holds what clients say.
pub(super) struct Proxy {
    pub(super) port: u16,
    held: Arc<watch::Sender<Held>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    NotYet,
    Now,
    Released,
}

impl Proxy {
    /// To a port of this machine.
    pub(super) async fn hold_after(port: u16, bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let held = Arc::new(watch::Sender::new(Held::NotYet));
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let held = Arc::clone(&held);
            async move {
                let mut wires = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    wires.spawn(requests(from_client, to_server, held.subscribe()));
                    wires.spawn(answers(from_server, to_client, Arc::clone(&held), bytes));
                }
            }
        });
        Self { port: own_port, held, _tasks: tasks }
    }

    /// Waits until it holds something back.
    pub(super) async fn holding(&self) {
        self.held.subscribe().wait_for(|held| *held == Held::Now).await.unwrap();
    }

    /// Passes everything on from now on.
    pub(super) fn release(&self) {
        self.held.send_replace(Held::Released);
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<Held>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        held.wait_for(|held| *held != Held::Now).await.unwrap();
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    held: Arc<watch::Sender<Held>>,
    bytes: &'static [u8],
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if buffer[..count].windows(bytes.len()).any(|window| window == bytes) {
            // Before the client has it: what it says next is held.
            held.send_if_modified(|held| {
                let first = *held == Held::NotYet;
                *held = if first { Held::Now } else { *held };
                first
            });
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
