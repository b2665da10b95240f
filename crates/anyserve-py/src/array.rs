//! Between raw contents and what Python users hold: numpy arrays, lists and scalars.

use anyserve::proto::tensor::{self, BytesElements, Datatype};
use bytes::{Bytes, BytesMut};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::quick;
use crate::raw::PyRaw;
use crate::store;

/// What `data=` turned into.
pub(crate) struct Converted {
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<i64>,
    pub(crate) raw: Bytes,
}

/// The numpy dtype of each datatype; BF16 has none and is seen as the integers of its bits.
const DTYPES: [(Datatype, &str); 13] = [
    (Datatype::Bool, "bool"),
    (Datatype::Uint8, "uint8"),
    (Datatype::Uint16, "uint16"),
    (Datatype::Uint32, "uint32"),
    (Datatype::Uint64, "uint64"),
    (Datatype::Int8, "int8"),
    (Datatype::Int16, "int16"),
    (Datatype::Int32, "int32"),
    (Datatype::Int64, "int64"),
    (Datatype::Fp16, "float16"),
    (Datatype::Fp32, "float32"),
    (Datatype::Fp64, "float64"),
    (Datatype::Bf16, "uint16"),
];

fn dtype_name(datatype: Datatype) -> &'static str {
    DTYPES.iter().find(|(known, _)| *known == datatype).map_or("object", |(_, name)| name)
}

/// A read-only array that looks at `raw` in place; for `BYTES` an object array of copies.
pub(crate) fn to_numpy<'py>(
    py: Python<'py>,
    datatype: Datatype,
    shape: &[i64],
    raw: &Bytes,
) -> PyResult<Bound<'py, PyAny>> {
    let numpy = py.import("numpy")?;
    let shape = PyTuple::new(py, shape)?;
    if datatype == Datatype::Bytes {
        let elements = elements(py, raw)?;
        let array = numpy.call_method1("empty", (elements.len(), "object"))?;
        for (index, element) in elements.iter().enumerate() {
            array.set_item(index, element)?;
        }
        return array.call_method1("reshape", (shape,));
    }
    let buffer = Bound::new(py, PyRaw(raw.clone()))?;
    let flat = numpy.call_method1("frombuffer", (buffer, dtype_name(datatype)))?;
    flat.call_method1("reshape", (shape,))
}

/// The contents where an array of that datatype may start: small ones may have come anywhere in a message.
pub(crate) fn aligned(datatype: Datatype, raw: Bytes) -> Bytes {
    let size = datatype.size().unwrap_or(1);
    if (raw.as_ptr() as usize).is_multiple_of(size) { raw } else { Bytes::copy_from_slice(&raw) }
}

/// The elements of a raw `BYTES` tensor.
pub(crate) fn elements<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    BytesElements::new(raw)
        .map(|element| match element {
            Ok(element) => Ok(PyBytes::new(py, element)),
            Err(error) => Err(PyValueError::new_err(error.to_string())),
        })
        .collect()
}

/// Converts an array, a (nested) list or a scalar. A datatype or a shape that is not given is taken from the data.
pub(crate) fn from_python(
    data: &Bound<'_, PyAny>,
    datatype: Option<Datatype>,
    shape: Option<Vec<i64>>,
) -> PyResult<Converted> {
    let converted = match (quick::from_python(data, datatype), datatype) {
        (Some(converted), _) => converted,
        (None, Some(Datatype::Bytes)) => from_elements(data)?,
        (None, None) if is_text(data)? => from_elements(data)?,
        (None, Some(datatype)) => from_numbers(data, datatype)?,
        (None, None) => from_array(&py_array(data)?, None)?,
    };
    let shape = shape.unwrap_or(converted.shape);
    tensor::check(converted.datatype, &shape, &converted.raw)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(Converted { shape, ..converted })
}

fn from_numbers(data: &Bound<'_, PyAny>, datatype: Datatype) -> PyResult<Converted> {
    let array = py_array(data)?;
    let (found, wanted) = (dtype(&array, "name")?, dtype_name(datatype));
    if datatype == Datatype::Bf16 {
        // Numbers are not bits: only what holds bits already will do.
        if found == "bfloat16" || (found == wanted && array.is(data)) {
            return from_array(&array, Some(datatype));
        }
        return Err(PyTypeError::new_err(
            "BF16 needs an array of bfloat16, or of uint16 that holds its bits",
        ));
    }
    from_array(&cast(&array, wanted)?, Some(datatype))
}

/// The array with that dtype. A cast keeps the kind, and an integer its value: nothing becomes another number.
fn cast<'py>(array: &Bound<'py, PyAny>, wanted: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let numpy = py.import("numpy")?;
    let integers = ["i", "u"];
    let wanted_kind = numpy.call_method1("dtype", (wanted,))?.getattr("kind")?.extract::<String>()?;
    let both_integers =
        integers.contains(&wanted_kind.as_str()) && integers.contains(&dtype(array, "kind")?.as_str());
    if both_integers || array.getattr("size")?.extract::<usize>()? == 0 {
        let cast = array.call_method1("astype", (wanted,))?;
        if !numpy.call_method1("array_equal", (&cast, array))?.extract::<bool>()? {
            return Err(PyValueError::new_err(format!("a value does not fit {wanted}")));
        }
        return Ok(cast);
    }
    let options = PyDict::new(py);
    options.set_item("casting", "same_kind")?;
    options.set_item("copy", false)?;
    array.call_method("astype", (wanted,), Some(&options)).map_err(|error| {
        // Text that is no number is a value; everything else is of the wrong type.
        match dtype(array, "kind").as_deref() {
            Ok("U" | "S") => PyValueError::new_err(error.value(py).to_string()),
            _ => error,
        }
    })
}

fn dtype(array: &Bound<'_, PyAny>, attribute: &str) -> PyResult<String> {
    array.getattr("dtype")?.getattr(attribute)?.extract()
}

/// The bytes of an array, as `datatype` or as what its dtype says.
fn from_array(array: &Bound<'_, PyAny>, datatype: Option<Datatype>) -> PyResult<Converted> {
    let name = dtype(array, "name")?;
    let of_dtype = || match name.as_str() {
        "bfloat16" => Some(Datatype::Bf16),
        name => DTYPES.iter().find(|(_, dtype)| *dtype == name).map(|(datatype, _)| *datatype),
    };
    let datatype = datatype.or_else(of_dtype).ok_or_else(|| no_datatype(&name))?;
    let shape = array.getattr("shape")?.extract()?;
    let numpy = array.py().import("numpy")?;
    let little_endian = array.getattr("dtype")?.call_method1("newbyteorder", ("<",))?;
    let contiguous = numpy.call_method1("ascontiguousarray", (array, little_endian))?;
    let bytes = contiguous.call_method1("reshape", (-1,))?.call_method1("view", ("uint8",))?;
    Ok(Converted { datatype, shape, raw: copy(&bytes)? })
}

fn no_datatype(dtype: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "an array of dtype {dtype} has no datatype in KServe v2; use bool, an integer, a float, or text"
    ))
}

/// The datatype of arrays of that dtype, or of the datatype of that name, and the dtype that numpy has for it.
pub(crate) fn datatype_of<'py>(dtype: &Bound<'py, PyAny>) -> PyResult<(Datatype, Bound<'py, PyAny>)> {
    let numpy = dtype.py().import("numpy")?;
    if let Ok(name) = dtype.extract::<String>()
        && let Ok(datatype) = Datatype::parse(&name)
        && datatype != Datatype::Bytes
    {
        return Ok((datatype, numpy.call_method1("dtype", (dtype_name(datatype),))?));
    }
    let dtype = numpy.call_method1("dtype", (dtype,))?;
    let name: String = dtype.getattr("name")?.extract()?;
    let datatype = match name.as_str() {
        "bfloat16" => Some(Datatype::Bf16),
        name => DTYPES.iter().find(|(_, known)| *known == name).map(|(datatype, _)| *datatype),
    };
    // What others read is little-endian.
    let dtype = dtype.call_method1("newbyteorder", ("<",))?;
    Ok((datatype.ok_or_else(|| no_datatype(&name))?, dtype))
}

fn copy(contiguous: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let buffer = PyUntypedBuffer::get(contiguous)?;
    Ok(store::keep(contiguous.py(), quick::contiguous_bytes(&buffer)))
}

fn py_array<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    data.py().import("numpy")?.call_method1("asarray", (data,))
}

/// True for what holds text or bytes: a string, a list that begins with one, an array of them.
fn is_text(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    if data.is_instance_of::<PyString>() || is_bytes(data) {
        return Ok(true);
    }
    if let Ok(list) = data.cast::<PyList>() {
        return if list.is_empty() { Ok(false) } else { is_text(&list.get_item(0)?) };
    }
    if let Ok(tuple) = data.cast::<PyTuple>() {
        return if tuple.is_empty() { Ok(false) } else { is_text(&tuple.get_item(0)?) };
    }
    match data.getattr("dtype").and_then(|dtype| dtype.getattr("kind")?.extract::<String>()) {
        Ok(kind) => Ok(matches!(kind.as_str(), "O" | "S" | "U")),
        Err(_) => Ok(false),
    }
}

fn is_bytes(data: &Bound<'_, PyAny>) -> bool {
    data.is_instance_of::<PyBytes>() || data.is_instance_of::<PyByteArray>()
}

/// `BYTES` from a scalar, a nested list or an array of str and bytes.
fn from_elements(data: &Bound<'_, PyAny>) -> PyResult<Converted> {
    let (mut shape, mut raw) = (Vec::new(), BytesMut::new());
    let data = if data.hasattr("tolist")? { data.call_method0("tolist")? } else { data.clone() };
    put_elements(&data, 0, &mut shape, &mut raw)?;
    if shape.is_empty() {
        shape.push(1);
    }
    Ok(Converted { datatype: Datatype::Bytes, shape, raw: raw.freeze() })
}

fn put_elements(
    data: &Bound<'_, PyAny>,
    depth: usize,
    shape: &mut Vec<i64>,
    raw: &mut BytesMut,
) -> PyResult<()> {
    let put = |raw: &mut BytesMut, bytes: &[u8]| {
        if depth != shape.len() {
            return Err(PyValueError::new_err("the nested lists of a BYTES tensor differ in depth"));
        }
        tensor::put_bytes_element(raw, bytes).map_err(|error| PyValueError::new_err(error.to_string()))
    };
    if let Ok(text) = data.extract::<std::borrow::Cow<'_, str>>() {
        return put(raw, text.as_bytes());
    }
    if is_bytes(data) {
        return put(raw, &data.extract::<Vec<u8>>()?);
    }
    if !data.is_instance_of::<PyList>() && !data.is_instance_of::<PyTuple>() {
        let kind = data.get_type().qualname()?;
        return Err(PyTypeError::new_err(format!(
            "an element of a BYTES tensor is a {kind}; it must be str or bytes"
        )));
    }
    let length = i64::try_from(data.len()?)?;
    match shape.get(depth) {
        None if !raw.is_empty() => {
            return Err(PyValueError::new_err("the nested lists of a BYTES tensor differ in depth"));
        }
        None => shape.push(length),
        Some(&expected) if expected == length => {}
        Some(expected) => {
            let message =
                format!("the nested lists of a BYTES tensor differ in length: {expected} and {length}");
            return Err(PyValueError::new_err(message));
        }
    }
    for item in data.try_iter()? {
        put_elements(&item?, depth + 1, shape, raw)?;
    }
    Ok(())
}
