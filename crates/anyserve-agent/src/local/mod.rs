//! Clients on the agent's machine that share memory with it: `Client(shared_memory=True)`.
//!
//! They come by a Unix socket that only the agent's user can open, and say who they are by the kernel's word. From
//! then on they are to the shared memory what workers are: the agent makes the memory, lends them places in it, and has
//! everything back when the connection ends, however it does. What they ask for is served as what comes by gRPC is.

mod calls;
mod error;
mod server;
mod session;

pub(crate) use server::LocalServer;
