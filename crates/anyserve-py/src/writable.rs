//! Shared memory that Python fills in place.

use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

use anyserve::worker::objects::Allocation;
use bytes::Bytes;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Bytes that Python writes to through the buffer protocol, until they become an object.
#[pyclass(frozen, module = "anyserve._core", name = "Writable")]
#[derive(Debug)]
pub(crate) struct PyWritable(Mutex<Memory>);

#[derive(Debug)]
enum Memory {
    Filling(Allocation),
    /// It is an object now. Arrays that were made before look at the same place, so it is held for them.
    #[expect(dead_code, reason = "it is held, not looked at")]
    Sealed(Bytes),
    /// Only between the two.
    Nothing,
}

impl PyWritable {
    pub(crate) fn new(allocation: Allocation) -> Self {
        Self(Mutex::new(Memory::Filling(allocation)))
    }

    /// The bytes, which must not change from now on; none if that was said before.
    pub(crate) fn seal(&self) -> Option<Bytes> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *memory, Memory::Nothing) {
            Memory::Filling(allocation) => {
                let bytes = allocation.freeze();
                *memory = Memory::Sealed(bytes.clone());
                Some(bytes)
            }
            other => {
                *memory = other;
                None
            }
        }
    }
}

#[pymethods]
impl PyWritable {
    #[expect(unsafe_code, reason = "the buffer protocol is a C interface")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let mut memory = slf.get().0.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory::Filling(allocation) = &mut *memory else {
            return Err(PyBufferError::new_err("it is an object already, and does not change any more"));
        };
        let (start, length) = (allocation.as_mut_ptr(), allocation.len().try_into()?);
        // SAFETY: `view` is Python's to fill. The view holds a reference to this object, which holds the memory, also
        // once it is sealed. Until then nobody else in this process looks at it; who goes on writing to an array after
        // that was told not to, and changes nothing but his own object.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), length, 0, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
