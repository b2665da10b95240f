//! From Python to raw contents without asking numpy, for the data that are most usual: a small response would spend most
//! of its time there otherwise. What is not plain is left to `array`, with its rules and its errors.

use anyserve::proto::tensor::Datatype;
use bytes::{BufMut, BytesMut};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyString};

use crate::array::Converted;
use crate::store;

/// Converts what is plain: an array in the protocol's own layout, or a flat list of one kind of number.
pub(crate) fn from_python(data: &Bound<'_, PyAny>, wanted: Option<Datatype>) -> Option<Converted> {
    if let Ok(list) = data.cast::<PyList>() {
        return from_list(list, wanted);
    }
    let text = data.is_instance_of::<PyString>() || data.is_instance_of::<PyBytes>();
    if text || data.is_instance_of::<PyByteArray>() { None } else { from_buffer(data, wanted) }
}

/// A list of integers that fit the datatype, or of floats.
fn from_list(list: &Bound<'_, PyList>, wanted: Option<Datatype>) -> Option<Converted> {
    let mut raw = BytesMut::with_capacity(list.len() * 8);
    let floats = list.iter().next()?.is_exact_instance_of::<PyFloat>();
    let datatype = wanted.unwrap_or(if floats { Datatype::Fp64 } else { Datatype::Int64 });
    for item in list.iter() {
        if floats {
            put_float(&mut raw, datatype, &item)?;
        } else {
            put_integer(&mut raw, datatype, &item)?;
        }
    }
    let shape = vec![i64::try_from(list.len()).ok()?];
    Some(Converted { datatype, shape, raw: raw.freeze() })
}

fn put_float(raw: &mut BytesMut, datatype: Datatype, item: &Bound<'_, PyAny>) -> Option<()> {
    let value: f64 = item.is_exact_instance_of::<PyFloat>().then(|| item.extract().ok())??;
    match datatype {
        Datatype::Fp64 => raw.put_f64_le(value),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "as numpy does it; what overflows is left to numpy"
        )]
        Datatype::Fp32 if (value as f32).is_finite() => raw.put_f32_le(value as f32),
        _ => return None,
    }
    Some(())
}

fn put_integer(raw: &mut BytesMut, datatype: Datatype, item: &Bound<'_, PyAny>) -> Option<()> {
    // A bool is an int to Python, and something else to the protocol.
    let value: i64 = item.is_exact_instance_of::<PyInt>().then(|| item.extract().ok())??;
    match datatype {
        Datatype::Int64 => raw.put_i64_le(value),
        Datatype::Int32 => raw.put_i32_le(value.try_into().ok()?),
        Datatype::Int16 => raw.put_i16_le(value.try_into().ok()?),
        Datatype::Int8 => raw.put_i8(value.try_into().ok()?),
        Datatype::Uint64 => raw.put_u64_le(value.try_into().ok()?),
        Datatype::Uint32 => raw.put_u32_le(value.try_into().ok()?),
        Datatype::Uint16 => raw.put_u16_le(value.try_into().ok()?),
        Datatype::Uint8 => raw.put_u8(value.try_into().ok()?),
        _ => return None,
    }
    Some(())
}

/// The contents of an array that is laid out as the protocol wants it and needs no cast, without asking numpy.
fn from_buffer(data: &Bound<'_, PyAny>, wanted: Option<Datatype>) -> Option<Converted> {
    let (datatype, shape, buffer) = array_buffer(data)?;
    if wanted.is_some_and(|wanted| wanted != datatype) {
        return None;
    }
    let bytes = contiguous_bytes(&buffer);
    let raw = store::viewed(data, bytes).unwrap_or_else(|| store::keep(data.py(), bytes));
    Some(Converted { datatype, shape, raw })
}

/// What an array is and its buffer, if that is laid out as the protocol wants it.
pub(crate) fn array_buffer(data: &Bound<'_, PyAny>) -> Option<(Datatype, Vec<i64>, PyUntypedBuffer)> {
    let buffer = PyUntypedBuffer::get(data).ok()?;
    let datatype = of_format(buffer.format().to_bytes())?;
    if !buffer.is_c_contiguous() {
        return None;
    }
    let shape = buffer.shape().iter().map(|&length| i64::try_from(length).ok()).collect::<Option<_>>()?;
    Some((datatype, shape, buffer))
}

/// The bytes of a C-contiguous buffer, for as long as it is held.
pub(crate) fn contiguous_bytes(buffer: &PyUntypedBuffer) -> &[u8] {
    let (start, length) = (buffer.buf_ptr().cast::<u8>(), buffer.len_bytes());
    if length == 0 {
        return &[];
    }
    #[expect(unsafe_code, reason = "the buffer protocol gives a pointer")]
    // SAFETY: the buffer is C-contiguous, so its `length` bytes lie behind `start`, and `buffer` keeps them there. As
    // with numpy's own copies, nothing stops another thread from writing to them meanwhile; then the copy is torn.
    unsafe {
        std::slice::from_raw_parts(start, length)
    }
}

/// The datatype of a native, little-endian format of the buffer protocol, as in Python's `struct`.
fn of_format(format: &[u8]) -> Option<Datatype> {
    Some(match format {
        b"?" => Datatype::Bool,
        b"B" => Datatype::Uint8,
        b"H" => Datatype::Uint16,
        b"I" => Datatype::Uint32,
        b"L" | b"Q" => Datatype::Uint64,
        b"b" => Datatype::Int8,
        b"h" => Datatype::Int16,
        b"i" => Datatype::Int32,
        b"l" | b"q" => Datatype::Int64,
        b"e" => Datatype::Fp16,
        b"f" => Datatype::Fp32,
        b"d" => Datatype::Fp64,
        _ => return None,
    })
}
