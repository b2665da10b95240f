//! `ObjectRef`: what an object is called.

use anyserve::core::Reference;
use anyserve::core::object::Array;
use anyserve::proto::tensor::Datatype;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Where an object is and what it is. It goes wherever a tensor goes, and as text anywhere else.
#[pyclass(frozen, eq, hash, module = "anyserve", name = "ObjectRef")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PyObjectRef(pub(crate) Reference);

impl PyObjectRef {
    /// The datatype and shape it has as a tensor: plain bytes are UINT8.
    pub(crate) fn as_tensor(&self) -> PyResult<(Datatype, Vec<i64>)> {
        let Reference { array, size, .. } = &self.0;
        match array {
            Some(Array { datatype, shape }) => {
                let parsed = Datatype::parse(datatype);
                parsed
                    .map(|datatype| (datatype, shape.clone()))
                    .map_err(|error| PyValueError::new_err(error.to_string()))
            }
            None => Ok((Datatype::Uint8, vec![i64::try_from(*size)?])),
        }
    }
}

#[pymethods]
impl PyObjectRef {
    /// From its text.
    #[staticmethod]
    pub(crate) fn parse(text: &str) -> PyResult<Self> {
        text.parse()
            .map(Self)
            .map_err(|error: anyserve::core::object::ReferenceError| PyValueError::new_err(error.to_string()))
    }

    /// `HOST:PORT`, where the agent that has it gives it to other agents.
    #[getter]
    fn owner(&self) -> &str {
        &self.0.owner
    }

    /// 32 hexadecimal digits that nobody can guess.
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// How many bytes it has.
    #[getter]
    fn size(&self) -> u64 {
        self.0.size
    }

    /// The name of an array's datatype, such as `FP32`; None for plain bytes.
    #[getter]
    fn datatype(&self) -> Option<&str> {
        self.0.array.as_ref().map(|array| array.datatype.as_str())
    }

    /// An array's shape; None for plain bytes.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.0.array.as_ref().map(|array| PyTuple::new(py, &array.shape)).transpose()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("ObjectRef('{}')", self.0)
    }

    fn __reduce__(slf: Bound<'_, Self>) -> PyResult<(Bound<'_, PyAny>, (String,))> {
        Ok((slf.get_type().getattr("parse")?, (slf.get().0.to_string(),)))
    }
}
