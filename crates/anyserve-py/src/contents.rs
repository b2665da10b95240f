//! `InferTensorContents`: a tensor's elements as typed lists. It shares the tensor's bytes until somebody looks.

use anyserve::proto::tensor::Datatype;
use bytes::Bytes;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::array;

/// The contents of a tensor: assign them to another one, or read them as lists.
#[pyclass(frozen, module = "anyserve", name = "InferTensorContents")]
pub(crate) struct PyContents {
    pub(crate) datatype: Datatype,
    pub(crate) raw: Bytes,
}

impl PyContents {
    /// The elements if they belong in `field`, as the protocol has it, else an empty list.
    fn field<'py>(&self, py: Python<'py>, field: &str) -> PyResult<Bound<'py, PyList>> {
        field_elements(py, self.datatype, &self.raw, field)
    }
}

#[pymethods]
impl PyContents {
    /// Exactly one of the lists must be given, with a `datatype` where the list fits several.
    #[new]
    #[pyo3(signature = (datatype, elements))]
    fn new(datatype: &str, elements: &Bound<'_, PyAny>) -> PyResult<Self> {
        let datatype = Datatype::parse(datatype).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let converted = array::from_python(elements, Some(datatype), None)?;
        Ok(Self { datatype, raw: converted.raw })
    }

    /// The name of the datatype, such as `FP32`.
    #[getter]
    fn datatype(&self) -> &'static str {
        self.datatype.name()
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
        format!("InferTensorContents({}, {} bytes)", self.datatype, self.raw.len())
    }
}

/// The elements of a tensor if its datatype belongs in `field`, else an empty list, as with the protocol's messages.
pub(crate) fn field_elements<'py>(
    py: Python<'py>,
    datatype: Datatype,
    raw: &[u8],
    field: &str,
) -> PyResult<Bound<'py, PyList>> {
    if datatype.contents_field() != Some(field) {
        return Ok(PyList::empty(py));
    }
    match datatype {
        Datatype::Bool => list(py, raw, |[byte]: [u8; 1]| byte != 0),
        Datatype::Uint8 => list(py, raw, u8::from_le_bytes),
        Datatype::Uint16 => list(py, raw, u16::from_le_bytes),
        Datatype::Uint32 => list(py, raw, u32::from_le_bytes),
        Datatype::Uint64 => list(py, raw, u64::from_le_bytes),
        Datatype::Int8 => list(py, raw, i8::from_le_bytes),
        Datatype::Int16 => list(py, raw, i16::from_le_bytes),
        Datatype::Int32 => list(py, raw, i32::from_le_bytes),
        Datatype::Int64 => list(py, raw, i64::from_le_bytes),
        Datatype::Fp32 => list(py, raw, f32::from_le_bytes),
        Datatype::Fp64 => list(py, raw, f64::from_le_bytes),
        Datatype::Bytes => PyList::new(py, array::elements(py, raw)?),
        Datatype::Fp16 | Datatype::Bf16 => Ok(PyList::empty(py)),
    }
}

fn list<'py, T, const SIZE: usize>(
    py: Python<'py>,
    raw: &[u8],
    element: fn([u8; SIZE]) -> T,
) -> PyResult<Bound<'py, PyList>>
where
    T: IntoPyObjectExt<'py>,
{
    let (chunks, _) = raw.as_chunks::<SIZE>();
    let items =
        chunks.iter().map(|chunk| element(*chunk).into_bound_py_any(py)).collect::<PyResult<Vec<_>>>()?;
    PyList::new(py, items)
}
