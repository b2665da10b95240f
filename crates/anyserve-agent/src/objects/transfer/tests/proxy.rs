//! A network that breaks things, between a reader and an owner.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::localhost;

/// What happens to what the owner sends over one connection.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    None,
    /// The connection ends after so many bytes.
    CutAfter(usize),
    /// That byte is another.
    Flip(usize),
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    sent: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// A way to that owner; `faults` says what happens on which connection, counted from 0.
    pub(super) async fn to(owner: SocketAddr, faults: impl Fn(usize) -> Fault + Send + 'static) -> Self {
        let listener = TcpListener::bind(localhost()).await.unwrap();
        let (sent, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            sent: Arc::clone(&sent),
            connections: Arc::clone(&connections),
        };
        tokio::spawn(async move {
            while let Ok((reader, _)) = listener.accept().await {
                let fault = faults(connections.fetch_add(1, Ordering::SeqCst));
                let owner = TcpStream::connect(owner).await.unwrap();
                tokio::spawn(forward(reader, owner, fault, Arc::clone(&sent)));
            }
        });
        proxy
    }

    /// How many bytes the owner sent to readers.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn forward(reader: TcpStream, owner: TcpStream, fault: Fault, sent: Arc<AtomicUsize>) {
    let (mut from_reader, to_reader) = reader.into_split();
    let (from_owner, mut to_owner) = owner.into_split();
    let asks = async {
        let _ = tokio::io::copy(&mut from_reader, &mut to_owner).await;
    };
    tokio::select! {
        () = asks => (),
        () = spoil(from_owner, to_reader, fault, &sent) => (),
    }
}

async fn spoil(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    fault: Fault,
    sent: &AtomicUsize,
) {
    let (mut buffer, mut so_far) = (vec![0; 64 << 10], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut bytes = &mut buffer[..count];
        match fault {
            Fault::CutAfter(most) => bytes = &mut bytes[..count.min(most - so_far)],
            Fault::Flip(at) if (so_far..so_far + count).contains(&at) => bytes[at - so_far] ^= 1,
            _ => (),
        }
        so_far += bytes.len();
        sent.fetch_add(bytes.len(), Ordering::SeqCst);
        if to.write_all(bytes).await.is_err() || bytes.len() < count {
            return;
        }
    }
}
