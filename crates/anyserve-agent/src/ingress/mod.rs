//! From gRPC to requests: the listening socket, the services behind it, and what a request asks for.

mod edge;
mod io;
mod server;
mod service;
mod stream;
mod wanted;

pub(crate) use edge::Edge;
pub(crate) use server::Server;
