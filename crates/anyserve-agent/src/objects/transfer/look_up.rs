//! Looking up keys at another agent, over TCP.

use std::io::{self, IoSlice, IoSliceMut};
use std::time::Duration;

use anyserve_core::Reference;
use tokio::net::TcpStream;

use super::error::Reason;
use super::keys::{MOST_BYTES, MOST_KEYS, decode_found, encode};
use super::protocol::{Asked, HEAD_BYTES, Head, Status, VERSION};
use super::stream::{receive, receive_array, send};

/// Why keys were not looked up.
pub(super) enum Failure {
    /// Another connection may do better.
    Broken(io::Error),
    /// It is no use to try again.
    Final(Reason),
}

/// What the owner has of these keys. If this fails, nothing more can be asked on that connection.
pub(super) async fn look_up(
    stream: &TcpStream,
    keys: &[String],
    stalled: Duration,
) -> Result<Vec<Option<Reference>>, Failure> {
    let mut found = Vec::with_capacity(keys.len());
    for some in keys.chunks(MOST_KEYS) {
        found.extend(look_up_some(stream, some, stalled).await?);
    }
    Ok(found)
}

async fn look_up_some(
    stream: &TcpStream,
    keys: &[String],
    stalled: Duration,
) -> Result<Vec<Option<Reference>>, Failure> {
    let io = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::Final(Reason::Stalled(stalled)),
        _ => Failure::Broken(error),
    };
    let texts = encode(keys.iter().map(String::as_str));
    let asked = Asked::Keys { count: keys.len(), bytes: texts.len() }.encode();
    send(stream, &mut [IoSlice::new(&asked), IoSlice::new(&texts)], stalled).await.map_err(io)?;
    let head = receive_array::<HEAD_BYTES>(stream, stalled).await.map_err(io)?;
    let size = size_of_answer(&head).map_err(Failure::Final)?;
    let mut bytes = vec![0; size];
    receive(stream, &mut [IoSliceMut::new(&mut bytes)], stalled).await.map_err(io)?;
    decode_found(&bytes, keys.len()).ok_or_else(|| {
        Failure::Final(Reason::Protocol(format!("its answer to {} keys is not one for each", keys.len())))
    })
}

fn size_of_answer(head: &[u8; HEAD_BYTES]) -> Result<usize, Reason> {
    let protocol = |what: &str| Reason::Protocol(what.to_owned());
    let Head { status, size } =
        Head::decode(head).ok_or_else(|| protocol("its reply starts with an unknown status"))?;
    match status {
        Status::Version => Err(Reason::Protocol(format!("it speaks version {size}, not {VERSION}"))),
        Status::Gone | Status::OutOfRange => Err(protocol("it does not look keys up")),
        Status::Found => usize::try_from(size)
            .ok()
            .filter(|&size| size <= MOST_BYTES)
            .ok_or_else(|| Reason::Protocol(format!("its answer should have {size} bytes"))),
    }
}
