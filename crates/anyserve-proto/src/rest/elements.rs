//! `data`: arrays of JSON, nested or flat, to the raw contents of a tensor.

use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};

use super::error::RestError;
use super::number::{self, Float};
use super::reader::{Kind, Reader};
use crate::tensor::{Datatype, put_bytes_element};

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elements {
    pub(super) raw: Bytes,
    pub(super) count: u64,
    /// How long the arrays are, from the outermost to the innermost; none for a value that is no array.
    pub(super) lengths: Vec<u64>,
}

/// Reads the elements of a tensor. `place` is what an error calls it.
pub(super) fn read(reader: &mut Reader<'_>, datatype: Datatype, place: &str) -> Result<Elements, RestError> {
    let gathered = match datatype {
        Datatype::Bool => gather(reader, &mut |reader, out| {
            out.put_u8(u8::from(reader.boolean()?));
            Ok(())
        }),
        Datatype::Uint8 => integers(reader, datatype, u8::to_le_bytes),
        Datatype::Uint16 => integers(reader, datatype, u16::to_le_bytes),
        Datatype::Uint32 => integers(reader, datatype, u32::to_le_bytes),
        Datatype::Uint64 => integers(reader, datatype, u64::to_le_bytes),
        Datatype::Int8 => integers(reader, datatype, i8::to_le_bytes),
        Datatype::Int16 => integers(reader, datatype, i16::to_le_bytes),
        Datatype::Int32 => integers(reader, datatype, i32::to_le_bytes),
        Datatype::Int64 => integers(reader, datatype, i64::to_le_bytes),
        Datatype::Fp32 => floats(reader, datatype, f32::to_le_bytes),
        Datatype::Fp64 => floats(reader, datatype, f64::to_le_bytes),
        Datatype::Bytes => gather(reader, &mut |reader, out| {
            let text = reader.text()?;
            put_bytes_element(out, text.as_bytes()).map_err(|error| RestError::Invalid(error.to_string()))
        }),
        Datatype::Fp16 | Datatype::Bf16 => Err(RestError::Invalid(format!(
            "{datatype} has no form in JSON; send it as binary data ('binary_data_size')"
        ))),
    };
    gathered.map_err(|error| error.at(place))
}

fn integers<T: FromStr, const SIZE: usize>(
    reader: &mut Reader<'_>,
    datatype: Datatype,
    bytes: fn(T) -> [u8; SIZE],
) -> Result<Elements, RestError> {
    gather(reader, &mut |reader, out| {
        let written = reader.number()?;
        // The type's own parser takes no `1.0`, and no `+`, which JSON has not either.
        let value =
            written.parse().or_else(|_| negative_zero(written)).map_err(|()| no_value(written, datatype))?;
        out.put_slice(&bytes(value));
        Ok(())
    })
}

/// `-0`, which the parsers of unsigned types do not take.
fn negative_zero<T: FromStr>(written: &str) -> Result<T, ()> {
    if written == "-0" { "0".parse().map_err(|_| ()) } else { Err(()) }
}

fn floats<T: Float, const SIZE: usize>(
    reader: &mut Reader<'_>,
    datatype: Datatype,
    bytes: fn(T) -> [u8; SIZE],
) -> Result<Elements, RestError> {
    gather(reader, &mut |reader, out| {
        let written = reader.number()?;
        let value = number::float(written).ok_or_else(|| no_value(written, datatype))?;
        out.put_slice(&bytes(value));
        Ok(())
    })
}

fn no_value(written: &str, datatype: Datatype) -> RestError {
    RestError::Element { place: String::new(), value: written.to_owned(), datatype }
}

/// What was read so far of arrays within arrays.
#[derive(Debug, Default)]
struct Gathered {
    raw: BytesMut,
    count: u64,
    /// By depth, once an array has been read there.
    lengths: Vec<Option<u64>>,
    /// How deep the elements are, once there is one.
    leaves_at: Option<usize>,
}

fn gather(
    reader: &mut Reader<'_>,
    element: &mut impl FnMut(&mut Reader<'_>, &mut BytesMut) -> Result<(), RestError>,
) -> Result<Elements, RestError> {
    let mut gathered = Gathered::default();
    gathered.value(reader, 0, element)?;
    let Gathered { raw, count, lengths, .. } = gathered;
    Ok(Elements {
        raw: raw.freeze(),
        count,
        lengths: lengths.into_iter().map_while(|length| length).collect(),
    })
}

impl Gathered {
    fn value(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
        element: &mut impl FnMut(&mut Reader<'_>, &mut BytesMut) -> Result<(), RestError>,
    ) -> Result<(), RestError> {
        if reader.peek()? != Kind::Array {
            if *self.leaves_at.get_or_insert(depth) != depth {
                return Err(uneven());
            }
            self.count += 1;
            return element(reader, &mut self.raw);
        }
        if self.lengths.len() == depth {
            self.lengths.push(None);
        }
        let mut length = 0;
        reader.array(|reader| {
            length += 1;
            self.value(reader, depth + 1, element)
        })?;
        if *self.lengths[depth].get_or_insert(length) == length { Ok(()) } else { Err(uneven()) }
    }
}

fn uneven() -> RestError {
    RestError::Uneven { place: String::new() }
}
