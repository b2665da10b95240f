//! Objects that come from other agents: the owner serves, whoever needs an object pulls it.
//!
//! [`Transport`] is what the rest of the agent sees; [`Tcp`] is the one there is, and [`TransferServer`] is its other
//! end. An engine that writes into another machine's memory (RDMA) would be another.
//!
//! What a pull does, over TCP: a large object is cut into parts (`parts.rs`), of which every connection takes the next
//! when it is done with one. A connection (`connection.rs`) asks for a part and reads straight into its place in the
//! destination. If it breaks, what is missing of that part is asked for on a new connection (`tcp.rs`). Connections that
//! are done wait a few seconds for the next pull (`idle.rs`).
//!
//! Keys are looked up (`look_up.rs`, `keys.rs`) over the same connections.
//!
//! The owner writes to the socket from the memory where the object lies, and holds a lease on it until the kernel has
//! taken the last byte. `sendfile(2)`, which would spare that copy, is left out for two reasons. The kernel then sends
//! what lies in those pages at the time: should the owner give up on a slow reader, and use the memory for something
//! else, the reader would get that. And over loopback it is slower, as it goes by pages where a copy goes by 32 KiB.

use std::pin::Pin;

use anyserve_core::{ObjectId, Reference};
use bytes::Bytes;

mod answer;
mod connection;
mod error;
mod idle;
mod keys;
mod look_up;
mod parts;
mod protocol;
mod server;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;

pub(crate) use error::{LookUpError, PullError, Reason};
pub(crate) use server::TransferServer;
pub(crate) use tcp::{CONNECTIONS, Tcp};

/// Where the owner finds its objects.
pub(crate) trait Source: Send + Sync + 'static {
    /// The contents of an object, if it is here; they are leased for as long as any part of them is held.
    fn open(&self, id: ObjectId) -> Option<Bytes>;

    /// The objects of these keys, one for each.
    fn look_up(&self, keys: &[String]) -> Vec<Option<Reference>> {
        vec![None; keys.len()]
    }

    /// The same of an object that is not in memory, if it can be brought there.
    fn load(&self, _id: ObjectId) -> Opening<'_> {
        Box::pin(std::future::ready(None))
    }
}

/// An object on its way into memory.
pub(crate) type Opening<'a> = Pin<Box<dyn Future<Output = Option<Bytes>> + Send + 'a>>;

/// A way to get an object that another agent owns.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Fills `into`, which is as long as the object. `progress` is told how many bytes more are there for good.
    /// After an error, whatever `into` holds means nothing. Safe to cancel.
    fn pull<'a>(
        &'a self,
        owner: &'a str,
        id: ObjectId,
        into: &'a mut [u8],
        progress: &'a Progress<'a>,
    ) -> Pulling<'a>;

    /// What the owner has of these keys, one for each. Safe to cancel.
    fn look_up<'a>(&'a self, owner: &'a str, keys: &'a [String]) -> LookingUp<'a>;
}

/// Keys that are being looked up.
pub(crate) type LookingUp<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Option<Reference>>, LookUpError>> + Send + 'a>>;

/// Who is told how many bytes more are there.
pub(crate) type Progress<'a> = dyn Fn(usize) + Send + Sync + 'a;

/// A pull under way.
pub(crate) type Pulling<'a> = Pin<Box<dyn Future<Output = Result<(), PullError>> + Send + 'a>>;
