//! Tensors in memory that clients share with the agent: KServe's system shared memory.
//!
//! A client registers a part of a shared memory object as a [`Region`]. Its inputs are used where they are, by the
//! workers too, and its outputs are written where it wants them.

mod elements;
mod error;
mod inputs;
mod key;
mod outputs;
mod place;
mod region;
mod registry;

pub(crate) use error::ClientShmError;
pub(crate) use outputs::Targets;
pub(in crate::objects) use outputs::is_for_shm;
pub(crate) use registry::{ClientShm, RegionStatus};
