//! Where a client's inputs are copied to as they become tensors: the one copy that they take.

use std::cell::RefCell;
use std::time::Duration;

use anyserve::client::{Client, LEAST_SHARED};
use bytes::Bytes;
use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::get_runtime;

use crate::store;

/// How long the agent may take to say where; without its word, the contents are copied there later, as they are sent.
const PATIENCE: Duration = Duration::from_millis(250);

thread_local! {
    /// The client whose requests are being made on this thread, if it shares memory with its agent.
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
}

/// Calls a function that makes requests of that client's.
pub(crate) fn staged<T>(client: &Client, make: impl FnOnce() -> T) -> T {
    /// Puts back what was there before, however the function ends.
    struct Before(Option<Client>);
    impl Drop for Before {
        fn drop(&mut self) {
            CLIENT.set(self.0.take());
        }
    }
    let client = client.shares_memory().then(|| client.clone());
    let _before = Before(CLIENT.replace(client));
    make()
}

/// A copy of `bytes` where the agent sees it, if they are an input of a client that shares memory with its agent.
pub(crate) fn keep(py: Python<'_>, bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() < LEAST_SHARED {
        return None;
    }
    let client = CLIENT.with_borrow(Clone::clone)?;
    let allocate = async { tokio::time::timeout(PATIENCE, client.try_allocate(bytes.len())).await };
    let mut place = py.detach(|| get_runtime().block_on(allocate)).ok()??;
    store::fill(py, &mut place, bytes);
    Some(place.freeze().into_bytes())
}
