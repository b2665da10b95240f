//! The owner's side of a connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::yield_now;

use super::protocol::{Asked, CHUNK, Head, Hello, Request, Status, VERSION, check_hello, checksum};
use super::stream::{receive, receive_array, send};
use super::{Source, keys};

/// Why a connection is over, but for a reader who hung up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hangup {
    #[error("what connected is no agent")]
    Stranger,
    #[error("the reader speaks another version than {VERSION}")]
    Version,
    #[error("the reader asked for what this version does not know")]
    Garbage,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Answers requests until the reader hangs up, breaks the protocol, or nothing moves for as long as the limit.
pub(super) async fn answer(stream: &TcpStream, source: &dyn Source, limit: Duration) -> Result<(), Hangup> {
    match check_hello(receive_array(stream, limit).await?) {
        Hello::Agent => (),
        Hello::Stranger => return Err(Hangup::Stranger),
        Hello::OtherVersion => {
            refuse(stream, Status::Version, VERSION.into(), limit).await?;
            return Err(Hangup::Version);
        }
    }
    loop {
        match Asked::decode(&receive_array(stream, limit).await?).ok_or(Hangup::Garbage)? {
            Asked::Part(request) => reply(stream, source, &request, limit).await?,
            Asked::Keys { count, bytes } => {
                let mut texts = vec![0; bytes];
                receive(stream, &mut [IoSliceMut::new(&mut texts)], limit).await?;
                let keys = keys::decode(&texts, count).ok_or(Hangup::Garbage)?;
                let found = keys::encode_found(&source.look_up(&keys));
                let head = Head { status: Status::Found, size: found.len() as u64 }.encode();
                send(stream, &mut [IoSlice::new(&head), IoSlice::new(&found)], limit).await?;
            }
        }
    }
}

async fn reply(
    stream: &TcpStream,
    source: &dyn Source,
    request: &Request,
    limit: Duration,
) -> io::Result<()> {
    let object = match source.open(request.id) {
        None => source.load(request.id).await,
        found => found,
    };
    let Some(object) = object else {
        return refuse(stream, Status::Gone, 0, limit).await;
    };
    let size = object.len() as u64;
    let Some(part) = part(&object, request) else {
        return refuse(stream, Status::OutOfRange, size, limit).await;
    };
    // The lease, `object`, ends with this function: the kernel has its own copy of every byte by then.
    let head = Head { status: Status::Found, size }.encode();
    if part.is_empty() {
        return send(stream, &mut [IoSlice::new(&head)], limit).await;
    }
    let mut head = &head[..];
    for chunk in part.chunks(CHUNK) {
        let sum = if request.checksum { checksum(chunk) } else { [0; 4] };
        let sum = if request.checksum { &sum[..] } else { &[] };
        let pieces = &mut [IoSlice::new(head), IoSlice::new(chunk), IoSlice::new(sum)];
        send(stream, pieces, limit).await?;
        head = &[];
        // Others want to run, too: a socket that takes whatever it is given would never have us wait.
        yield_now().await;
    }
    Ok(())
}

fn part<'a>(object: &'a [u8], request: &Request) -> Option<&'a [u8]> {
    let end = usize::try_from(request.offset.checked_add(request.length)?).ok()?;
    object.get(usize::try_from(request.offset).ok()?..end)
}

async fn refuse(stream: &TcpStream, status: Status, size: u64, limit: Duration) -> io::Result<()> {
    send(stream, &mut [IoSlice::new(&Head { status, size }.encode())], limit).await
}
