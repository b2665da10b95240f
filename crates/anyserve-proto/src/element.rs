//! Typed contents to raw bytes: each datatype's one field, and the little-endian bytes of its elements.

use bytes::{BufMut, Bytes, BytesMut};

use crate::inference::InferTensorContents;
use crate::tensor::{Datatype, TensorError, put_bytes_element};

/// The raw bytes of typed `contents`, or why they are not of `datatype`.
pub(crate) fn to_raw(datatype: Datatype, contents: &InferTensorContents) -> Result<Bytes, TensorError> {
    check_one_field(datatype, contents)?;
    let mut out = BytesMut::new();
    match datatype {
        Datatype::Bool => out.extend(contents.bool_contents.iter().map(|&value| u8::from(value))),
        Datatype::Int8 => narrow(&contents.int_contents, &mut out, i8::to_le_bytes)?,
        Datatype::Int16 => narrow(&contents.int_contents, &mut out, i16::to_le_bytes)?,
        Datatype::Int32 => narrow(&contents.int_contents, &mut out, i32::to_le_bytes)?,
        Datatype::Int64 => narrow(&contents.int64_contents, &mut out, i64::to_le_bytes)?,
        Datatype::Uint8 => narrow(&contents.uint_contents, &mut out, u8::to_le_bytes)?,
        Datatype::Uint16 => narrow(&contents.uint_contents, &mut out, u16::to_le_bytes)?,
        Datatype::Uint32 => narrow(&contents.uint_contents, &mut out, u32::to_le_bytes)?,
        Datatype::Uint64 => narrow(&contents.uint64_contents, &mut out, u64::to_le_bytes)?,
        Datatype::Fp32 => narrow(&contents.fp32_contents, &mut out, f32::to_le_bytes)?,
        Datatype::Fp64 => narrow(&contents.fp64_contents, &mut out, f64::to_le_bytes)?,
        Datatype::Bytes => {
            for element in &contents.bytes_contents {
                put_bytes_element(&mut out, element)?;
            }
        }
        Datatype::Fp16 | Datatype::Bf16 => return Err(TensorError::RawOnly(datatype)),
    }
    Ok(out.freeze())
}

/// How many elements each field of `contents` holds, with the field's name.
fn field_lengths(contents: &InferTensorContents) -> [(&'static str, usize); 8] {
    [
        ("bool_contents", contents.bool_contents.len()),
        ("int_contents", contents.int_contents.len()),
        ("int64_contents", contents.int64_contents.len()),
        ("uint_contents", contents.uint_contents.len()),
        ("uint64_contents", contents.uint64_contents.len()),
        ("fp32_contents", contents.fp32_contents.len()),
        ("fp64_contents", contents.fp64_contents.len()),
        ("bytes_contents", contents.bytes_contents.len()),
    ]
}

/// True when no field of `contents` holds an element.
pub(crate) fn is_empty(contents: &InferTensorContents) -> bool {
    field_lengths(contents).iter().all(|&(_, length)| length == 0)
}

fn check_one_field(datatype: Datatype, contents: &InferTensorContents) -> Result<(), TensorError> {
    let expected = datatype.contents_field();
    let wrong =
        field_lengths(contents).into_iter().find(|&(field, length)| length > 0 && Some(field) != expected);
    match (wrong, expected) {
        (Some((found, _)), Some(expected)) => Err(TensorError::WrongField { datatype, found, expected }),
        _ => Ok(()),
    }
}

fn narrow<Wide, Narrow, const SIZE: usize>(
    values: &[Wide],
    out: &mut BytesMut,
    bytes: fn(Narrow) -> [u8; SIZE],
) -> Result<(), TensorError>
where
    Wide: Copy + std::fmt::Display,
    Narrow: TryFrom<Wide>,
{
    out.reserve(values.len() * SIZE);
    for &value in values {
        let narrow =
            Narrow::try_from(value).map_err(|_| TensorError::OutOfRange { value: value.to_string() })?;
        out.put_slice(&bytes(narrow));
    }
    Ok(())
}
