//! Who offers what in a fleet.
//!
//! - [`Registry`]: where replicas are registered. [`open`] makes one of a URL: in memory (`memory:`), in etcd
//!   (`etcd://HOST:PORT`) or behind API servers (`http://HOST:PORT`).
//! - [`SharedDirectory`]: the replicas as a process knows them, kept up to date by a [`Follower`].
//! - [`Registrar`]: keeps a process's own entry.
//! - [`json`]: a replica as text, the same on every wire.
//!
//! A registry that is down stops changes and nothing else: a follower keeps what it knows and tries again, a registrar
//! registers again. Neither ever gives up.

mod backoff;
mod error;
mod etcd;
mod follower;
mod http;
pub mod json;
mod lapsed;
mod memory;
mod open;
mod registrar;
mod registry;
mod shared;

pub use error::RegistryError;
pub use follower::{Follower, follow};
pub use memory::{MAX_REPLICAS, MemoryRegistry};
pub use open::open;
pub use registrar::{Registrar, Superseded};
pub use registry::{Registry, incarnation};
pub use shared::{Changes, Reading, SharedDirectory, Status};
