//! From gRPC to requests: the listening socket, the services behind it, and what a request asks for.

mod assembly;
mod edge;
mod frames;
mod infer;
mod intake;
mod io;
mod objects;
mod reader;
mod replica;
mod reply;
mod requests;
mod scan;
mod server;
mod service;
mod shm;
mod stream;
mod wanted;

pub(crate) use edge::{Edge, over_limit};
pub(crate) use frames::Frames;
pub(crate) use infer::infer;
pub(crate) use io::Corked;
pub(crate) use requests::Requests;
pub(crate) use server::Server;
pub(crate) use service::InferenceService;
pub(crate) use stream::StreamCall;
