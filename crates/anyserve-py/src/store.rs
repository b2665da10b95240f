//! Bytes of Python's into shared memory: the one copy that a large tensor takes on its way out.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyserve::worker::Objects;
use bytes::Bytes;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::raw::PyRaw;
use crate::staging;

/// From this size on, contents are put where the agent sees them, although that takes a word with it; smaller ones are
/// sent faster than it answers.
const SHARED: usize = 256 * 1024;

/// Smaller contents go with the message wherever they lie, so they may as well be copied.
const PLACED: usize = 8 * 1024;

/// Copies of so many bytes are made without the GIL.
const LARGE: usize = 1 << 20;

/// The objects of the agent whose worker this process is.
static OBJECTS: OnceLock<Objects> = OnceLock::new();

/// How many bytes of large contents this process has copied.
static COPIED: AtomicU64 = AtomicU64::new(0);

/// From now on this process is a worker.
pub(crate) fn set(objects: Objects) {
    // A process is one worker.
    let _ = OBJECTS.set(objects);
}

/// The objects of the agent; an error in a process that is no worker.
pub(crate) fn objects() -> PyResult<&'static Objects> {
    OBJECTS.get().ok_or_else(|| {
        PyRuntimeError::new_err("this process is no worker of an agent; use client.objects of a Client")
    })
}

/// How many bytes of large contents this process has copied in user space.
#[pyfunction]
pub(crate) fn copied_bytes() -> u64 {
    COPIED.load(Ordering::Relaxed)
}

/// A copy of `bytes`, where it need not be copied again on its way to the agent.
pub(crate) fn keep(py: Python<'_>, bytes: &[u8]) -> Bytes {
    if bytes.len() < SHARED {
        return Bytes::copy_from_slice(bytes);
    }
    COPIED.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    if let Some(kept) = staging::keep(py, bytes) {
        return kept;
    }
    let Some(objects) = OBJECTS.get() else {
        return copy(py, bytes);
    };
    // Without shared memory it goes the long way.
    match py.detach(|| objects.allocate(bytes.len())) {
        Ok(mut allocation) => {
            fill(py, &mut allocation, bytes);
            allocation.freeze()
        }
        Err(_) => copy(py, bytes),
    }
}

/// Copies `bytes` there.
pub(crate) fn fill(py: Python<'_>, into: &mut [u8], bytes: &[u8]) {
    if bytes.len() < LARGE {
        into.copy_from_slice(bytes);
    } else {
        py.detach(|| into.copy_from_slice(bytes));
    }
}

fn copy(py: Python<'_>, bytes: &[u8]) -> Bytes {
    if bytes.len() < LARGE {
        Bytes::copy_from_slice(bytes)
    } else {
        py.detach(|| Bytes::copy_from_slice(bytes))
    }
}

/// The bytes of an array that is a view of contents, without a copy: `bytes` lie in what one of its bases holds.
pub(crate) fn viewed(array: &Bound<'_, PyAny>, bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() < PLACED {
        return None;
    }
    let mut base = array.clone();
    // Views of views have few levels; numpy itself keeps one.
    for _ in 0..8 {
        if let Ok(raw) = base.cast::<PyRaw>() {
            let held = &raw.get().0;
            let (start, end) = (held.as_ptr() as usize, held.as_ptr() as usize + held.len());
            let first = bytes.as_ptr() as usize;
            let within = start <= first && first + bytes.len() <= end;
            return within.then(|| held.slice(first - start..first - start + bytes.len()));
        }
        base = match base.getattr("obj") {
            Ok(object) => object,
            Err(_) => base.getattr("base").ok()?,
        };
    }
    None
}

/// Numpy's `flags.writeable` of an array is switched off.
pub(crate) fn make_read_only(array: &Bound<'_, PyAny>) -> PyResult<()> {
    let options = PyDict::new(array.py());
    options.set_item("write", false)?;
    array.call_method("setflags", (), Some(&options)).map(drop)
}
