//! `ClientObjects`: the objects of the agent that a client is connected to.

use anyserve::client::Objects;
use anyserve::client::objects::Creation;
use anyserve::core::Reference;
use anyserve::core::object::is_owner;
use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use pyo3_async_runtimes::tokio::future_into_py;

use crate::client::{to_timeout, wait};
use crate::errors;
use crate::object_ref::PyObjectRef;
use crate::objects::{PyObjectInfo, to_name, to_python, with_bytes};

/// The objects of the agent that a client is connected to; blocking, or awaited.
#[pyclass(frozen, module = "anyserve._core", name = "ClientObjects")]
#[derive(Debug)]
pub(crate) struct PyClientObjects(pub(crate) Objects);

#[pymethods]
impl PyClientObjects {
    /// Makes an object of what `data` holds now.
    #[pyo3(signature = (data, key=None, ttl=None, pin=false, timeout=None))]
    fn create(
        &self,
        data: &Bound<'_, PyAny>,
        key: Option<String>,
        ttl: Option<f64>,
        pin: bool,
        timeout: Option<f64>,
    ) -> PyResult<PyObjectRef> {
        let (bytes, creation) = to_send(data, key, ttl, pin)?;
        let made = wait(data.py(), self.0.create(bytes, creation, to_timeout(timeout)?))?;
        Ok(PyObjectRef(made.reference))
    }

    /// The same; the awaitable's result is the reference.
    #[pyo3(signature = (data, key=None, ttl=None, pin=false, timeout=None))]
    fn create_async<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        key: Option<String>,
        ttl: Option<f64>,
        pin: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (bytes, creation) = to_send(data, key, ttl, pin)?;
        let (objects, timeout) = (self.0.clone(), to_timeout(timeout)?);
        future_into_py(data.py(), async move {
            let made = objects.create(bytes, creation, timeout).await;
            made.map(|info| PyObjectRef(info.reference)).map_err(raise)
        })
    }

    /// What an object holds, by its reference or its key.
    #[pyo3(signature = (name, copy=false, timeout=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        copy: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = to_name(name)?;
        let (reference, bytes) = wait(py, self.0.get(&name, to_timeout(timeout)?))?;
        to_python(py, &PyObjectRef(reference), bytes, copy)
    }

    /// The same; the awaitable's result is what the object holds.
    #[pyo3(signature = (name, copy=false, timeout=None))]
    fn get_async<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        copy: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (name, objects, timeout) = (to_name(name)?, self.0.clone(), to_timeout(timeout)?);
        future_into_py(py, async move {
            let (reference, bytes) = objects.get(&name, timeout).await.map_err(raise)?;
            Python::attach(|py| to_python(py, &PyObjectRef(reference), bytes, copy).map(Bound::unbind))
        })
    }

    /// The object of a key, or of each of a list of keys.
    #[pyo3(signature = (keys, owner=None, timeout=None))]
    fn lookup<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        owner: Option<&Bound<'py, PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ((one, asked), owner) = (to_keys(keys)?, to_owner(owner)?);
        let found = wait(py, self.0.lookup(asked, owner, to_timeout(timeout)?))?;
        let found = found.into_iter().map(|info| info.map(|info| PyObjectRef(info.reference))).collect();
        found_to_python(py, one, found)
    }

    /// The same; the awaitable's result is what was found.
    #[pyo3(signature = (keys, owner=None, timeout=None))]
    fn lookup_async<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        owner: Option<&Bound<'py, PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ((one, asked), owner) = (to_keys(keys)?, to_owner(owner)?);
        let (objects, timeout) = (self.0.clone(), to_timeout(timeout)?);
        future_into_py(py, async move {
            let found = objects.lookup(asked, owner, timeout).await.map_err(raise)?;
            let found = found.into_iter().map(|info| info.map(|info| PyObjectRef(info.reference))).collect();
            Python::attach(|py| found_to_python(py, one, found).map(Bound::unbind))
        })
    }

    /// Deletes an object, by its reference or its key; False if there was none.
    #[pyo3(signature = (name, timeout=None))]
    fn delete(&self, py: Python<'_>, name: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<bool> {
        wait(py, self.0.delete(&to_name(name)?, to_timeout(timeout)?))
    }

    /// The same; the awaitable's result is whether there was one.
    #[pyo3(signature = (name, timeout=None))]
    fn delete_async<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (name, objects, timeout) = (to_name(name)?, self.0.clone(), to_timeout(timeout)?);
        future_into_py(py, async move { objects.delete(&name, timeout).await.map_err(raise) })
    }

    /// What is known of an object, by its reference or its key.
    #[pyo3(signature = (name, timeout=None))]
    fn stat(&self, py: Python<'_>, name: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<PyObjectInfo> {
        wait(py, self.0.stat(&to_name(name)?, to_timeout(timeout)?)).map(PyObjectInfo::from)
    }

    /// The same; the awaitable's result is what is known.
    #[pyo3(signature = (name, timeout=None))]
    fn stat_async<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (name, objects, timeout) = (to_name(name)?, self.0.clone(), to_timeout(timeout)?);
        future_into_py(py, async move {
            objects.stat(&name, timeout).await.map(PyObjectInfo::from).map_err(raise)
        })
    }
}

fn to_send(
    data: &Bound<'_, PyAny>,
    key: Option<String>,
    ttl: Option<f64>,
    pin: bool,
) -> PyResult<(Bytes, Creation)> {
    let ttl = to_timeout(ttl)?;
    with_bytes(data, |array, bytes| Ok((Bytes::copy_from_slice(bytes), Creation { array, key, ttl, pin })))
}

/// Whether it is one key, and the keys.
pub(crate) fn to_keys(keys: &Bound<'_, PyAny>) -> PyResult<(bool, Vec<String>)> {
    let one = keys.is_instance_of::<PyString>();
    Ok((one, if one { vec![keys.extract()?] } else { keys.extract()? }))
}

/// The agent to ask, as it is named or as a reference names it.
pub(crate) fn to_owner(owner: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    let Some(owner) = owner else {
        return Ok(None);
    };
    if let Ok(reference) = owner.cast::<PyObjectRef>() {
        return Ok(Some(reference.get().0.owner.clone()));
    }
    let text: String = owner.extract()?;
    if let Ok(reference) = text.parse::<Reference>() {
        return Ok(Some(reference.owner));
    }
    if is_owner(&text) {
        return Ok(Some(text));
    }
    Err(PyValueError::new_err(format!("owner '{text}' is neither HOST:PORT nor a reference to an object")))
}

/// What was found for one key, or the list for several.
pub(crate) fn found_to_python(
    py: Python<'_>,
    one: bool,
    found: Vec<Option<PyObjectRef>>,
) -> PyResult<Bound<'_, PyAny>> {
    if one {
        return found.into_iter().flatten().next().into_pyobject(py).map(Bound::into_any);
    }
    PyList::new(py, found).map(Bound::into_any)
}

fn raise(error: anyserve::client::ClientError) -> PyErr {
    Python::attach(|py| errors::from_client(py, &error))
}
