//! An input of a request: its JSON, and where its contents are.

use bytes::Bytes;

use super::BINARY_DATA_SIZE;
use super::binary::Binary;
use super::elements::{self, Elements};
use super::error::RestError;
use super::members::{Seen, missing};
use super::parameters::{self, Parameters, take_size};
use super::reader::Reader;
use crate::inference::model_infer_request::InferInputTensor;
use crate::tensor::{Datatype, TensorError, check, element_count, is_elsewhere};

/// The JSON of an input.
#[derive(Debug, Default)]
pub(super) struct Input<'a> {
    name: Option<String>,
    datatype: Option<Datatype>,
    shape: Option<Vec<i64>>,
    parameters: Parameters,
    data: Option<Data<'a>>,
}

/// `data`: read at once where the datatype stands before it, else found again.
#[derive(Debug)]
enum Data<'a> {
    Read(Elements),
    At(Reader<'a>),
}

/// Reads `inputs`.
pub(super) fn read_inputs<'a>(reader: &mut Reader<'a>) -> Result<Vec<Input<'a>>, RestError> {
    let mut inputs = Vec::new();
    let read = reader.array(|reader| {
        inputs.push(read_input(reader).map_err(|error| error.at(&format!("input {}", inputs.len())))?);
        Ok(())
    });
    read.map_err(|error| error.at("'inputs'"))?;
    Ok(inputs)
}

fn read_input<'a>(reader: &mut Reader<'a>) -> Result<Input<'a>, RestError> {
    let mut input = Input::default();
    let mut seen = Seen::new("");
    reader.object(|reader, name| {
        match name {
            "name" => input.name = Some(reader.text().map_err(|error| error.at("'name'"))?.into_owned()),
            "datatype" => input.datatype = Some(read_datatype(reader)?),
            "shape" => input.shape = Some(read_shape(reader)?),
            "parameters" => input.parameters = parameters::read(reader)?,
            "data" => input.data = Some(read_data(reader, input.datatype)?),
            _ => return reader.skip(),
        }
        seen.once(name)
    })?;
    Ok(input)
}

fn read_datatype(reader: &mut Reader<'_>) -> Result<Datatype, RestError> {
    let name = reader.text().map_err(|error| error.at("'datatype'"))?;
    Datatype::parse(&name).map_err(|error| RestError::Invalid(error.to_string()))
}

fn read_data<'a>(reader: &mut Reader<'a>, datatype: Option<Datatype>) -> Result<Data<'a>, RestError> {
    Ok(match datatype {
        Some(datatype) => Data::Read(elements::read(reader, datatype, "'data'")?),
        None => Data::At(reader.put_aside()?),
    })
}

fn read_shape(reader: &mut Reader<'_>) -> Result<Vec<i64>, RestError> {
    let mut shape = Vec::new();
    let read = reader.array(|reader| {
        let written = reader.number()?;
        let dimension = written.parse().map_err(|_| {
            RestError::Invalid(format!("'shape' has the dimension {written}; it must be a whole number"))
        })?;
        shape.push(dimension);
        Ok(())
    });
    read.map_err(|error| error.at("'shape'"))?;
    Ok(shape)
}

impl Input<'_> {
    /// The tensor, with its contents if they came with the request.
    pub(super) fn finish(self, binary: &mut Binary) -> Result<(InferInputTensor, Option<Bytes>), RestError> {
        let Self { name, datatype, shape, mut parameters, data } = self;
        let name = name.ok_or_else(|| missing("an input", "name"))?;
        let place = format!("input '{name}'");
        let datatype = datatype.ok_or_else(|| missing(&place, "datatype"))?;
        let shape = shape.ok_or_else(|| missing(&place, "shape"))?;
        let size = take_size(&mut parameters, BINARY_DATA_SIZE).map_err(|error| error.at(&place))?;
        let in_input = |error| RestError::input(&name, error);
        let raw = match (data, size, is_elsewhere(&parameters)) {
            (Some(data), None, false) => Some(from_json(data, datatype, &shape, &name, &place)?),
            (None, Some(size), false) => {
                let raw = binary.take(size, &place)?;
                check(datatype, &shape, &raw).map_err(in_input)?;
                Some(raw)
            }
            (None, None, true) => None,
            (None, None, false) => {
                return Err(RestError::Invalid(format!(
                    "{place} has no contents; it needs 'data', or one of the parameters 'binary_data_size', \
                     'shared_memory_region' and 'object_ref'"
                )));
            }
            _ => {
                return Err(RestError::Invalid(format!(
                    "{place} has its contents in two places; it needs one of 'data' and the parameters \
                     'binary_data_size', 'shared_memory_region' and 'object_ref'"
                )));
            }
        };
        let datatype = datatype.name().to_owned();
        Ok((InferInputTensor { name, datatype, shape, parameters, contents: None }, raw))
    }
}

fn from_json(
    data: Data<'_>,
    datatype: Datatype,
    shape: &[i64],
    name: &str,
    place: &str,
) -> Result<Bytes, RestError> {
    let elements = match data {
        Data::Read(elements) => elements,
        Data::At(mut reader) => elements::read(&mut reader, datatype, place)?,
    };
    let needed = element_count(shape).map_err(|error| RestError::input(name, error))?;
    if elements.count == needed {
        return Ok(elements.raw);
    }
    let (shape, found) = (shape.to_vec(), elements.count);
    Err(RestError::input(name, TensorError::WrongCount { shape, needed, found }))
}
