//! KServe v2 over REST: the same calls as over gRPC, by HTTP/1.1 and JSON.
//!
//! `server.rs` has the connections, `patience.rs` how long they may take, `calls.rs` which path is which call,
//! `service.rs` answers them. What bodies mean is in `anyserve_proto::rest`; requests with tensors go by
//! `ingress::infer` and `ingress::StreamCall`, everything else by the gRPC service itself, so that both say the same.

mod answer;
mod body;
mod calls;
mod coding;
mod events;
mod metadata;
mod models;
mod patience;
mod refusal;
mod room;
mod server;
mod service;
mod tensors;

pub(crate) use server::RestServer;
