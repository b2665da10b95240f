//! Bytes to and from a socket, straight from and into where they lie, with a limit on how long nothing moves.

use std::io::{self, IoSlice, IoSliceMut};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Writes all of the pieces.
pub(super) async fn send(
    stream: &TcpStream,
    mut pieces: &mut [IoSlice<'_>],
    limit: Duration,
) -> io::Result<()> {
    // Drops the empty ones, of which a write could say that it wrote nothing.
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match stream.try_write_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut pieces, count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                timeout(limit, stream.writable()).await??;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads what there is into the pieces, at least one byte; they are not all empty.
pub(super) async fn receive_some(
    stream: &TcpStream,
    pieces: &mut [IoSliceMut<'_>],
    limit: Duration,
) -> io::Result<usize> {
    loop {
        match stream.try_read_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                timeout(limit, stream.readable()).await??;
            }
            read => return read,
        }
    }
}

/// Fills all of the pieces.
pub(super) async fn receive(
    stream: &TcpStream,
    mut pieces: &mut [IoSliceMut<'_>],
    limit: Duration,
) -> io::Result<()> {
    IoSliceMut::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        let count = receive_some(stream, pieces, limit).await?;
        IoSliceMut::advance_slices(&mut pieces, count);
    }
    Ok(())
}

/// Fills a few bytes.
pub(super) async fn receive_array<const N: usize>(
    stream: &TcpStream,
    limit: Duration,
) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    receive(stream, &mut [IoSliceMut::new(&mut bytes)], limit).await?;
    Ok(bytes)
}
