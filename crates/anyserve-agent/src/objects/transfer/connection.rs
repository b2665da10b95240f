//! The reader's side of a connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::time::Duration;

use anyserve_core::ObjectId;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::Progress;
use super::error::Reason;
use super::parts::Part;
use super::protocol::{CHECKSUM_BYTES, CHUNK, HEAD_BYTES, Head, Request, Status, VERSION, checksum, hello};
use super::stream::{receive, receive_array, receive_some, send};

/// The object that is pulled, and how.
pub(super) struct Wanted<'a> {
    pub(super) id: ObjectId,
    pub(super) size: u64,
    pub(super) checksum: bool,
    /// How long nothing may come.
    pub(super) stalled: Duration,
    pub(super) progress: &'a Progress<'a>,
}

/// Why a part was not filled.
pub(super) enum Failure {
    /// Another connection may do better.
    Broken(io::Error),
    /// Another time it may come as it was sent.
    Corrupt { chunk: u64 },
    /// It is no use to try again.
    Final(Reason),
}

impl Failure {
    fn io(error: io::Error, stalled: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Final(Reason::Stalled(stalled)),
            _ => Self::Broken(error),
        }
    }
}

/// A new connection, over which nothing but the hello has gone.
pub(super) async fn connect(owner: &str, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(owner)).await??;
    stream.set_nodelay(true)?;
    send(&stream, &mut [IoSlice::new(&hello())], limit).await?;
    Ok(stream)
}

/// Asks for what is missing of a part, and fills it. If this fails, nothing more can be asked on that connection.
pub(super) async fn fill(
    stream: &TcpStream,
    wanted: &Wanted<'_>,
    part: &mut Part<'_>,
) -> Result<(), Failure> {
    let io = |error| Failure::io(error, wanted.stalled);
    let length = part.missing().len() as u64;
    let request = Request { id: wanted.id, offset: part.offset(), length, checksum: wanted.checksum };
    send(stream, &mut [IoSlice::new(&request.encode())], wanted.stalled).await.map_err(io)?;
    let head = receive_array::<HEAD_BYTES>(stream, wanted.stalled).await.map_err(io)?;
    check(&head, wanted.size).map_err(Failure::Final)?;
    while !part.missing().is_empty() {
        let count = if wanted.checksum {
            receive_checked(stream, wanted, part).await?
        } else {
            receive_bytes(stream, wanted, part).await.map_err(io)?
        };
        part.filled(count);
        (wanted.progress)(count);
    }
    Ok(())
}

fn check(head: &[u8; HEAD_BYTES], expected: u64) -> Result<(), Reason> {
    let Some(Head { status, size }) = Head::decode(head) else {
        return Err(Reason::Protocol("its reply starts with an unknown status".to_owned()));
    };
    match status {
        Status::Found if size == expected => Ok(()),
        Status::Found | Status::OutOfRange if size != expected => {
            Err(Reason::WrongSize { expected, found: size })
        }
        Status::Gone => Err(Reason::Gone),
        Status::Version => Err(Reason::Protocol(format!("it speaks version {size}, not {VERSION}"))),
        Status::Found | Status::OutOfRange => {
            Err(Reason::Protocol("it refused a part that the object has".to_owned()))
        }
    }
}

/// Whatever comes next, up to a chunk.
async fn receive_bytes(stream: &TcpStream, wanted: &Wanted<'_>, part: &mut Part<'_>) -> io::Result<usize> {
    let missing = part.missing();
    let most = missing.len().min(CHUNK);
    let count = receive_some(stream, &mut [IoSliceMut::new(&mut missing[..most])], wanted.stalled).await?;
    let chunk = |offset| offset / CHUNK as u64;
    if chunk(part.offset()) != chunk(part.offset() + count as u64) {
        // Others want to run, too: bytes may come faster than we read them.
        yield_now().await;
    }
    Ok(count)
}

/// A chunk and its checksum.
async fn receive_checked(
    stream: &TcpStream,
    wanted: &Wanted<'_>,
    part: &mut Part<'_>,
) -> Result<usize, Failure> {
    let chunk = part.offset() / CHUNK as u64;
    let missing = part.missing();
    let length = missing.len().min(CHUNK);
    let missing = &mut missing[..length];
    let mut sum = [0; CHECKSUM_BYTES];
    let pieces = &mut [IoSliceMut::new(missing), IoSliceMut::new(&mut sum)];
    receive(stream, pieces, wanted.stalled).await.map_err(|error| Failure::io(error, wanted.stalled))?;
    if checksum(missing) != sum {
        return Err(Failure::Corrupt { chunk });
    }
    yield_now().await;
    Ok(length)
}
