//! The wire contracts of anyserve, and the only place they are written down in Rust.
//!
//! - [`inference`]: KServe v2 (Open Inference Protocol) messages, client and server.
//! - [`worker`]: the control messages between an agent and its workers.
//! - [`admin`]: how an operator looks at an agent and steers it.
//! - [`metadata`]: what goes beside a request.
//! - [`local`]: what clients say that share memory with an agent.
//! - [`object`], [`objects`]: what objects are, and how clients make and read them.
//! - [`replica`]: what an agent tells about itself to whoever asks.
//! - [`tensor`]: what protobuf cannot say about a tensor: datatypes, element counts, the layout of `BYTES`.
//! - [`rest`]: the same protocol over HTTP, as JSON and binary tensors.
//! - [`codec`]: the gRPC codec that both ends use.

pub mod codec;
mod element;
mod elsewhere;
mod generated;
pub mod metadata;
pub mod object;
pub mod rest;
pub mod tensor;

pub use generated::anyserve::admin::v1 as admin;
pub use generated::anyserve::local::v1 as local;
pub use generated::anyserve::objects::v1 as objects;
pub use generated::anyserve::replica::v1 as replica;
pub use generated::anyserve::worker::v1 as worker;
pub use generated::inference;

/// The encoded file descriptors of the KServe service, for gRPC server reflection.
pub const INFERENCE_DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/inference_descriptor.bin"));

/// The version of the worker channel; both ends must agree on it.
pub const WORKER_PROTOCOL_VERSION: u32 = 5;

/// The version of what clients say that share memory with an agent; both ends must agree on it.
pub const LOCAL_PROTOCOL_VERSION: u32 = 1;

/// How many responses of a stream an agent sends such a client that has taken none of them.
pub const LOCAL_STREAM_WINDOW: u32 = 16;

/// How many calls such a client may have under way.
pub const LOCAL_CALLS: usize = 1024;
