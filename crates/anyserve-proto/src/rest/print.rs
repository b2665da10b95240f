//! Raw contents to JSON.

use super::error::RestError;
use super::writer::Writer;
use crate::tensor::{BytesElements, Datatype};

/// Writes the elements of an output as a flat array.
pub(super) fn array(
    writer: &mut Writer,
    name: &str,
    datatype: Datatype,
    raw: &[u8],
) -> Result<(), RestError> {
    let mut written = Ok(());
    // Digits are seldom fewer than a third of the bytes.
    writer.out.reserve(raw.len());
    writer.array(|writer| written = elements(writer, name, datatype, raw));
    written
}

/// Writes the elements of an output one after the other, which must be checked to be whole.
pub(super) fn elements(
    writer: &mut Writer,
    name: &str,
    datatype: Datatype,
    raw: &[u8],
) -> Result<(), RestError> {
    match datatype {
        Datatype::Bool => raw.iter().for_each(|&byte| writer.boolean(byte != 0)),
        Datatype::Uint8 => each(raw, |bytes| writer.integer(u8::from_le_bytes(bytes))),
        Datatype::Uint16 => each(raw, |bytes| writer.integer(u16::from_le_bytes(bytes))),
        Datatype::Uint32 => each(raw, |bytes| writer.integer(u32::from_le_bytes(bytes))),
        Datatype::Uint64 => each(raw, |bytes| writer.integer(u64::from_le_bytes(bytes))),
        Datatype::Int8 => each(raw, |bytes| writer.integer(i8::from_le_bytes(bytes))),
        Datatype::Int16 => each(raw, |bytes| writer.integer(i16::from_le_bytes(bytes))),
        Datatype::Int32 => each(raw, |bytes| writer.integer(i32::from_le_bytes(bytes))),
        Datatype::Int64 => each(raw, |bytes| writer.integer(i64::from_le_bytes(bytes))),
        Datatype::Fp32 => each(raw, |bytes| writer.float(f32::from_le_bytes(bytes))),
        Datatype::Fp64 => each(raw, |bytes| writer.float(f64::from_le_bytes(bytes))),
        Datatype::Bytes => return texts(writer, name, raw),
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(RestError::BinaryOnly { name: name.to_owned(), datatype });
        }
    }
    Ok(())
}

fn each<const SIZE: usize>(raw: &[u8], write: impl FnMut([u8; SIZE])) {
    raw.as_chunks().0.iter().copied().for_each(write);
}

fn texts(writer: &mut Writer, name: &str, raw: &[u8]) -> Result<(), RestError> {
    for (index, element) in (0..).zip(BytesElements::new(raw)) {
        let element = element.map_err(|error| RestError::output(name, error))?;
        let text =
            std::str::from_utf8(element).map_err(|_| RestError::NotText { name: name.to_owned(), index })?;
        writer.text(text);
    }
    Ok(())
}
