//! Waiting for calls: without the GIL, and so that Ctrl-C is heard.

use std::time::Duration;

use anyserve::client::ClientError;
use anyserve::client::blocking::Blocking;
use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::get_runtime;

use crate::errors;

/// How often a waiting call looks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// Waits for a call on a connection that the shared runtime drives.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    call: impl Future<Output = Result<T, ClientError>> + Send,
) -> PyResult<T> {
    wait_on(py, None, call)
}

/// Waits for a call on a connection that is driven there, or by the shared runtime.
pub(crate) fn wait_on<T: Send>(
    py: Python<'_>,
    blocking: Option<&Blocking>,
    call: impl Future<Output = Result<T, ClientError>> + Send,
) -> PyResult<T> {
    let mut call = std::pin::pin!(call);
    loop {
        let result = py.detach(|| {
            let slice = async { tokio::time::timeout(SIGNAL_CHECK, call.as_mut()).await };
            match blocking {
                Some(blocking) => blocking.run(slice),
                None => get_runtime().block_on(slice),
            }
        });
        match result {
            Ok(result) => return result.map_err(|error| errors::from_client(py, &error)),
            Err(_) => py.check_signals()?,
        }
    }
}
