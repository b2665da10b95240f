//! Raw contents as a read-only buffer, so that numpy and memoryview can look at them in place.

use std::ffi::c_int;

use bytes::Bytes;
use pyo3::ffi;
use pyo3::prelude::*;

/// Read-only bytes that Python sees through the buffer protocol.
#[pyclass(frozen, module = "anyserve._core", name = "Raw")]
pub(crate) struct PyRaw(pub(crate) Bytes);

#[pymethods]
impl PyRaw {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[expect(unsafe_code, reason = "the buffer protocol is a C interface")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = &slf.get().0;
        let length = bytes.len().try_into()?;
        // SAFETY: `view` is Python's to fill. The view holds a reference to this object, which holds the bytes and
        // never changes them; PyBuffer_FillInfo refuses a writable view because of `readonly`.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.as_ptr().cast_mut().cast(), length, 1, flags)
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
