//! Capabilities and queries from Python mappings.

use anyserve::core::capability::Value;
use anyserve::core::{Capability, CapabilityError, Query};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use crate::errors;

/// What a worker offers: a non-empty set of key-value pairs.
#[pyclass(frozen, eq, hash, module = "anyserve", name = "Capability")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct PyCapability(pub(crate) Capability);

#[pymethods]
impl PyCapability {
    #[new]
    fn new(py: Python<'_>, pairs: &Bound<'_, PyDict>) -> PyResult<Self> {
        to_capability(py, pairs).map(Self)
    }

    /// The pairs in canonical form: keys lower-cased, values as text.
    #[getter]
    fn pairs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (key, value) in self.0.pairs() {
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }

    /// True when every pair of the query is in this capability.
    fn matches(&self, py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<bool> {
        Ok(to_query(py, query)?.matches(&self.0))
    }

    fn __repr__(&self) -> String {
        format!("Capability({})", self.0)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }
}

/// A capability of these pairs.
pub(crate) fn to_capability(py: Python<'_>, pairs: &Bound<'_, PyDict>) -> PyResult<Capability> {
    Capability::new(values(pairs)?).map_err(|error| to_error(py, &error))
}

/// A query of these pairs.
pub(crate) fn to_query(py: Python<'_>, pairs: &Bound<'_, PyDict>) -> PyResult<Query> {
    Query::new(values(pairs)?).map_err(|error| to_error(py, &error))
}

fn to_error(py: Python<'_>, error: &CapabilityError) -> PyErr {
    errors::new(py, "CapabilityError", error.to_string())
}

fn values(pairs: &Bound<'_, PyDict>) -> PyResult<Vec<(String, Value)>> {
    pairs
        .iter()
        .map(|(key, value)| {
            let key: String = key
                .extract()
                .map_err(|_| PyTypeError::new_err(format!("capability key {key:?} is not a str")))?;
            let value = to_value(&key, &value)?;
            Ok((key, value))
        })
        .collect()
}

fn to_value(key: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    // bool first: it is an int to Python.
    if value.is_instance_of::<PyBool>() {
        Ok(Value::Boolean(value.extract()?))
    } else if value.is_instance_of::<PyInt>() {
        // An integer's text is canonical, whatever its size.
        Ok(Value::Text(value.str()?.to_string()))
    } else if value.is_instance_of::<PyFloat>() {
        Ok(Value::Float(value.extract()?))
    } else if value.is_instance_of::<PyString>() {
        Ok(Value::Text(value.extract()?))
    } else {
        let kind = value.get_type().qualname()?;
        Err(PyTypeError::new_err(format!(
            "the value of capability key '{key}' is a {kind}; it must be a str, int, float or bool"
        )))
    }
}
