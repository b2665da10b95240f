//! `Tensor`: an input or an output.

use anyserve::proto::tensor::{Datatype, OBJECT_REF};
use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::array;
use crate::contents::{PyContents, field_elements};
use crate::object_ref::PyObjectRef;
use crate::parameters::Parameters;
use crate::raw::PyRaw;

/// An input or output tensor: a name, a datatype, a shape and contents.
#[pyclass(module = "anyserve", name = "Tensor")]
pub(crate) struct PyTensor {
    #[pyo3(get, set)]
    pub(crate) name: String,
    pub(crate) datatype: Datatype,
    #[pyo3(get, set)]
    pub(crate) shape: Vec<i64>,
    pub(crate) parameters: Parameters,
    pub(crate) raw: Bytes,
}

impl PyTensor {
    /// A tensor whose contents are an object; another shape or datatype than the object's own are the reader's to check.
    fn by_reference(
        py: Python<'_>,
        name: String,
        reference: &PyObjectRef,
        datatype: Option<Datatype>,
        shape: Option<Vec<i64>>,
        mut parameters: Parameters,
    ) -> PyResult<Self> {
        let own = reference.as_tensor()?;
        parameters.set_text(py, OBJECT_REF, reference.0.to_string())?;
        let (datatype, shape) = (datatype.unwrap_or(own.0), shape.unwrap_or(own.1));
        Ok(Self { name, datatype, shape, parameters, raw: Bytes::new() })
    }

    /// True if what it holds is not here: it goes without contents.
    pub(crate) fn is_elsewhere(&self, py: Python<'_>) -> bool {
        self.parameters.text(py, OBJECT_REF).is_some()
    }

    /// Moves the contents to where an array of the datatype may start, if they are not there already.
    fn aligned(&mut self) -> &Bytes {
        self.raw = array::aligned(self.datatype, std::mem::take(&mut self.raw));
        &self.raw
    }

    fn field<'py>(&self, py: Python<'py>, field: &str) -> PyResult<Bound<'py, PyList>> {
        field_elements(py, self.datatype, &self.raw, field)
    }
}

#[pymethods]
impl PyTensor {
    /// A tensor of `data`; the datatype and the shape default to what the data says.
    #[new]
    #[pyo3(signature = (name, data=None, *, datatype=None, shape=None, parameters=None))]
    pub(crate) fn new(
        name: String,
        data: Option<&Bound<'_, PyAny>>,
        datatype: Option<&str>,
        shape: Option<Vec<i64>>,
        parameters: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let parse = |name| Datatype::parse(name).map_err(|error| PyValueError::new_err(error.to_string()));
        let datatype = datatype.map(parse).transpose()?;
        let parameters = Parameters::from_dict(parameters)?;
        let Some(data) = data else {
            let datatype = datatype.ok_or_else(|| {
                PyValueError::new_err(format!("tensor '{name}' needs a datatype, or data that has one"))
            })?;
            return Ok(Self {
                name,
                datatype,
                shape: shape.unwrap_or_default(),
                parameters,
                raw: Bytes::new(),
            });
        };
        if let Ok(reference) = data.cast::<PyObjectRef>() {
            return Self::by_reference(data.py(), name, reference.get(), datatype, shape, parameters);
        }
        if let Ok(contents) = data.cast::<PyContents>() {
            let datatype = datatype.unwrap_or(contents.get().datatype);
            let shape = shape.unwrap_or_default();
            let mut tensor = Self { name, datatype, shape, parameters, raw: Bytes::new() };
            tensor.set_contents(contents)?;
            return Ok(tensor);
        }
        let converted =
            array::from_python(data, datatype, shape).map_err(|error| in_tensor(data.py(), &name, &error))?;
        let array::Converted { datatype, shape, raw } = converted;
        Ok(Self { name, datatype, shape, parameters, raw })
    }

    /// The name of the datatype, such as `FP32`.
    #[getter]
    fn datatype(&self) -> &'static str {
        self.datatype.name()
    }

    /// A dict of the tensor's parameters; changes to it are kept.
    #[getter]
    fn parameters<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.parameters.dict(py)
    }

    /// The contents, for assigning them to another tensor: no bytes are copied.
    #[getter]
    fn contents(&self) -> PyContents {
        PyContents { datatype: self.datatype, raw: self.raw.clone() }
    }

    #[setter]
    fn set_contents(&mut self, value: &Bound<'_, PyContents>) -> PyResult<()> {
        let contents = value.get();
        if contents.datatype != self.datatype {
            return Err(PyValueError::new_err(format!(
                "contents of {} cannot be those of tensor '{}', which is {}",
                contents.datatype, self.name, self.datatype
            )));
        }
        self.raw = contents.raw.clone();
        // They are what is sent now.
        self.parameters.remove(value.py(), OBJECT_REF)
    }

    /// The object that the contents are; None if they came with the message.
    #[getter]
    fn object_ref(&self, py: Python<'_>) -> PyResult<Option<PyObjectRef>> {
        let text = self.parameters.text(py, OBJECT_REF);
        text.map(|text| PyObjectRef::parse(&text)).transpose()
    }

    /// The contents as they travel: little-endian, row-major; a read-only view.
    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let buffer = Bound::new(py, PyRaw(self.raw.clone()))?;
        py.import("builtins")?.call_method1("memoryview", (buffer,))
    }

    /// A read-only array that is a view of the contents; for BYTES an object array of bytes.
    fn as_numpy<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.aligned();
        array::to_numpy(py, self.datatype, &self.shape, &self.raw)
    }

    #[getter]
    fn bool_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "bool_contents")
    }

    #[getter]
    fn int_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "int_contents")
    }

    #[getter]
    fn int64_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "int64_contents")
    }

    #[getter]
    fn uint_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "uint_contents")
    }

    #[getter]
    fn uint64_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "uint64_contents")
    }

    #[getter]
    fn fp32_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "fp32_contents")
    }

    #[getter]
    fn fp64_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "fp64_contents")
    }

    #[getter]
    fn bytes_contents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.field(py, "bytes_contents")
    }

    fn __repr__(&self) -> String {
        format!("Tensor('{}', {}, shape={:?})", self.name, self.datatype, self.shape)
    }
}

/// The same exception, with the tensor's name in front.
fn in_tensor(py: Python<'_>, name: &str, error: &PyErr) -> PyErr {
    let message = format!("tensor '{name}': {}", error.value(py));
    if error.is_instance_of::<pyo3::exceptions::PyTypeError>(py) {
        pyo3::exceptions::PyTypeError::new_err(message)
    } else {
        PyValueError::new_err(message)
    }
}
