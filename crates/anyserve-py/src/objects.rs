//! `Objects`: the object system, as handlers see it.

use std::time::Duration;

use anyserve::core::object::Array;
use anyserve::proto::tensor::Datatype;
use anyserve::worker::objects::{Creation, Info, Name};
use bytes::Bytes;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::array;
use crate::client_objects::{found_to_python, to_keys, to_owner};
use crate::errors;
use crate::object_ref::PyObjectRef;
use crate::quick;
use crate::raw::PyRaw;
use crate::store;
use crate::writable::PyWritable;

/// The objects of the agent whose worker this process is.
#[pyclass(frozen, module = "anyserve", name = "Objects")]
#[derive(Debug)]
pub(crate) struct PyObjects;

/// What is known of an object.
#[pyclass(frozen, get_all, module = "anyserve", name = "ObjectInfo")]
#[derive(Debug)]
pub(crate) struct PyObjectInfo {
    /// What everybody calls it.
    pub(crate) reference: PyObjectRef,
    /// The key that it goes by, if it has one.
    pub(crate) key: Option<String>,
    /// It does not make room for others.
    pub(crate) pinned: bool,
    /// Seconds that it is there yet at most; None if it does not expire.
    pub(crate) expires_in: Option<f64>,
    /// Seconds that it has been there.
    pub(crate) age: f64,
    /// Who made it, in words.
    pub(crate) creator: String,
    /// How many hold it now.
    pub(crate) leases: u64,
    /// `memory`, `disk`, or the address of the agent that it was pulled from.
    pub(crate) location: String,
}

/// An array in shared memory that is filled in place, and then becomes an object.
#[pyclass(frozen, module = "anyserve", name = "EmptyObject")]
#[derive(Debug)]
pub(crate) struct PyEmptyObject {
    memory: Py<PyWritable>,
    array: Py<PyAny>,
    creation: Creation,
}

#[pymethods]
impl PyObjects {
    #[new]
    fn new() -> Self {
        Self
    }

    /// Makes an object of what `data` holds now.
    #[pyo3(signature = (data, key=None, ttl=None, pin=false))]
    #[expect(clippy::unused_self, reason = "to Python it is a method")]
    fn create(
        &self,
        data: &Bound<'_, PyAny>,
        key: Option<String>,
        ttl: Option<f64>,
        pin: bool,
    ) -> PyResult<PyObjectRef> {
        let creation = Creation { array: None, key, ttl: to_ttl(ttl)?, pin };
        with_bytes(data, |array, bytes| {
            let py = data.py();
            let objects = store::objects()?;
            let creation = Creation { array, ..creation };
            let made = py.detach(|| objects.create(bytes, creation));
            made.map(|info| PyObjectRef(info.reference)).map_err(|failure| errors::from_failure(py, &failure))
        })
    }

    /// An array of that shape and dtype in shared memory, to be filled and sealed.
    #[pyo3(signature = (shape, dtype, key=None, ttl=None, pin=false))]
    #[expect(clippy::unused_self, reason = "to Python it is a method")]
    fn create_empty(
        &self,
        py: Python<'_>,
        shape: &Bound<'_, PyAny>,
        dtype: &Bound<'_, PyAny>,
        key: Option<String>,
        ttl: Option<f64>,
        pin: bool,
    ) -> PyResult<PyEmptyObject> {
        let ttl = to_ttl(ttl)?;
        let shape: Vec<i64> = match shape.extract::<i64>() {
            Ok(length) => vec![length],
            Err(_) => shape.extract()?,
        };
        let (datatype, dtype) = array::datatype_of(dtype)?;
        let size = anyserve::proto::tensor::element_count(&shape)
            .ok()
            .and_then(|count| usize::try_from(count).ok()?.checked_mul(datatype.size()?))
            .ok_or_else(|| {
                PyValueError::new_err(format!("shape {shape:?} is not one of lengths from 0 on"))
            })?;
        let objects = store::objects()?;
        let allocation = py.detach(|| objects.allocate(size));
        let allocation = allocation.map_err(|failure| errors::from_failure(py, &failure))?;
        let memory = Bound::new(py, PyWritable::new(allocation))?;
        let flat = py.import("numpy")?.call_method1("frombuffer", (&memory, dtype))?;
        let array = flat.call_method1("reshape", (shape.clone(),))?.unbind();
        let described = Array { datatype: datatype.name().to_owned(), shape };
        let creation = Creation { array: Some(described), key, ttl, pin };
        Ok(PyEmptyObject { memory: memory.unbind(), array, creation })
    }

    /// What an object holds, by its reference or its key: a read-only view, or a copy that may be written to.
    #[pyo3(signature = (name, copy=false, timeout=None))]
    #[expect(clippy::unused_self, reason = "to Python it is a method")]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        copy: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (name, timeout) = (to_name(name)?, to_ttl(timeout)?);
        let objects = store::objects()?;
        let (reference, bytes) = py
            .detach(|| objects.get(&name, timeout))
            .map_err(|failure| errors::from_failure(py, &failure))?;
        to_python(py, &PyObjectRef(reference), bytes, copy)
    }

    /// The object of a key; or, for a list of keys, a list of them. None where there is none.
    #[expect(clippy::unused_self, reason = "to Python it is a method")]
    #[pyo3(signature = (keys, owner=None, timeout=None))]
    fn lookup<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        owner: Option<&Bound<'py, PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ((one, asked), owner, timeout) = (to_keys(keys)?, to_owner(owner)?, to_ttl(timeout)?);
        let objects = store::objects()?;
        let found = py
            .detach(|| objects.lookup(asked, owner, timeout))
            .map_err(|failure| errors::from_failure(py, &failure))?;
        let found = found.into_iter().map(|info| info.map(|info| PyObjectRef(info.reference))).collect();
        found_to_python(py, one, found)
    }

    /// Deletes an object, by its reference or its key; False if there was none.
    #[expect(clippy::unused_self, reason = "to Python it is a method")]
    fn delete(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (name, objects) = (to_name(name)?, store::objects()?);
        py.detach(|| objects.delete(&name)).map_err(|failure| errors::from_failure(py, &failure))
    }

    /// What is known of an object, by its reference or its key.
    #[expect(clippy::unused_self, reason = "to Python it is a method")]
    fn stat(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<PyObjectInfo> {
        let (name, objects) = (to_name(name)?, store::objects()?);
        let info = py.detach(|| objects.stat(&name)).map_err(|failure| errors::from_failure(py, &failure))?;
        Ok(PyObjectInfo::from(info))
    }
}

#[pymethods]
impl PyEmptyObject {
    /// The array to fill; read-only once it is sealed.
    #[getter]
    fn array(&self, py: Python<'_>) -> Py<PyAny> {
        self.array.clone_ref(py)
    }

    /// Makes an object of what the array holds, which does not change from now on.
    fn seal(&self, py: Python<'_>) -> PyResult<PyObjectRef> {
        store::make_read_only(self.array.bind(py))?;
        let Some(bytes) = self.memory.get().seal() else {
            return Err(PyValueError::new_err("it was sealed before"));
        };
        let objects = store::objects()?;
        let info = py
            .detach(|| objects.seal(bytes, self.creation.clone()))
            .map_err(|failure| errors::from_failure(py, &failure))?;
        Ok(PyObjectRef(info.reference))
    }
}

impl From<Info> for PyObjectInfo {
    fn from(info: Info) -> Self {
        Self {
            reference: PyObjectRef(info.reference),
            key: info.key,
            pinned: info.pinned,
            expires_in: info.expires_in.map(|left| left.as_secs_f64()),
            age: info.age.as_secs_f64(),
            creator: info.creator,
            leases: info.leases,
            location: info.location,
        }
    }
}

/// An object's bytes as Python has them.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    reference: &PyObjectRef,
    bytes: Bytes,
    copy: bool,
) -> PyResult<Bound<'py, PyAny>> {
    if reference.0.array.is_none() {
        if copy {
            return Ok(PyByteArray::new(py, &bytes).into_any());
        }
        let raw = Bound::new(py, PyRaw(bytes))?;
        return PyMemoryView::from(raw.as_any()).map(Bound::into_any);
    }
    let (datatype, shape) = reference.as_tensor()?;
    let bytes = array::aligned(datatype, bytes);
    let view = array::to_numpy(py, datatype, &shape, &bytes)?;
    if copy && datatype != Datatype::Bytes { view.call_method0("copy") } else { Ok(view) }
}

/// Calls `then` with what `data` means and its bytes, which are copied before that only if they do not lie together.
pub(crate) fn with_bytes<T>(
    data: &Bound<'_, PyAny>,
    then: impl FnOnce(Option<Array>, &[u8]) -> PyResult<T>,
) -> PyResult<T> {
    let plain = data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>();
    if plain {
        let buffer = PyUntypedBuffer::get(data)?;
        if !buffer.is_c_contiguous() {
            return Err(PyTypeError::new_err("the memoryview is not contiguous"));
        }
        return then(None, quick::contiguous_bytes(&buffer));
    }
    let from_other_library;
    let foreign = data.hasattr("__dlpack__")? && !data.hasattr("__array_interface__")?;
    let data = if foreign && PyUntypedBuffer::get(data).is_err() {
        from_other_library = data.py().import("numpy")?.call_method1("from_dlpack", (data,))?;
        &from_other_library
    } else {
        data
    };
    if let Some((datatype, shape, buffer)) = quick::array_buffer(data) {
        let array = Array { datatype: datatype.name().to_owned(), shape };
        return then(Some(array), quick::contiguous_bytes(&buffer));
    }
    let converted = array::from_python(data, None, None)?;
    let array = Array { datatype: converted.datatype.name().to_owned(), shape: converted.shape };
    then(Some(array), &converted.raw)
}

/// An object by its `ObjectRef`, or by its key.
pub(crate) fn to_name(name: &Bound<'_, PyAny>) -> PyResult<Name> {
    if let Ok(reference) = name.cast::<PyObjectRef>() {
        return Ok(Name::Reference(reference.get().0.clone()));
    }
    name.extract().map(Name::Key).map_err(|_| {
        let kind = name.get_type().qualname().map_or_else(|_| "that".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("an object is named by an ObjectRef or by its key (str), not by {kind}"))
    })
}

/// A positive number of seconds.
pub(crate) fn to_ttl(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let convert = |seconds: f64| match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(PyValueError::new_err(format!("{seconds} is not a positive number of seconds"))),
    };
    seconds.map(convert).transpose()
}
