//! How an operator looks at the agent and steers it: gRPC over a Unix socket that only the agent's user can open.

mod server;
mod service;
mod socket;
mod status;

pub(crate) use server::AdminServer;
pub(crate) use service::AdminService;
pub(crate) use socket::Socket;
pub(crate) use status::status;
