//! Parameters: objects of plain values.

use std::collections::BTreeMap;

use super::error::RestError;
use super::number;
use super::reader::{Kind, Reader};
use super::writer::Writer;
use crate::inference::InferParameter;
use crate::inference::infer_parameter::ParameterChoice;

/// The parameters of a request, a response or a tensor.
pub(super) type Parameters = BTreeMap<String, InferParameter>;

/// Reads an object of parameters.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Parameters, RestError> {
    let mut parameters = Parameters::new();
    let read = reader.object(|reader, name| read_into(reader, name, &mut parameters));
    read.map_err(|error| error.at("'parameters'"))?;
    Ok(parameters)
}

/// Reads the value of one parameter.
pub(super) fn read_into(
    reader: &mut Reader<'_>,
    name: &str,
    parameters: &mut Parameters,
) -> Result<(), RestError> {
    let choice = match reader.peek()? {
        Kind::Boolean => ParameterChoice::BoolParam(reader.boolean()?),
        Kind::Text => ParameterChoice::StringParam(reader.text()?.into_owned()),
        Kind::Number => number(name, reader.number()?)?,
        found => {
            return Err(RestError::Kind {
                place: format!("parameter '{name}'"),
                found: found.name(),
                expected: "a boolean, a number or a string",
            });
        }
    };
    let parameter = InferParameter { parameter_choice: Some(choice) };
    match parameters.insert(name.to_owned(), parameter) {
        None => Ok(()),
        Some(_) => Err(RestError::Twice { place: String::new(), field: name.to_owned() }),
    }
}

/// An integer as such, as far as 64 bits go.
fn number(name: &str, written: &str) -> Result<ParameterChoice, RestError> {
    if !number::is_integer(written) {
        let value = number::float(written).ok_or_else(|| out_of_range(name, written))?;
        return Ok(ParameterChoice::DoubleParam(value));
    }
    let signed = written.parse().map(ParameterChoice::Int64Param);
    signed
        .or_else(|_| written.parse().map(ParameterChoice::Uint64Param))
        .map_err(|_| out_of_range(name, written))
}

fn out_of_range(name: &str, written: &str) -> RestError {
    RestError::Invalid(format!("parameter '{name}' is {written}, which does not fit 64 bits"))
}

/// Takes out a parameter that must be a boolean.
pub(super) fn take_boolean(parameters: &mut Parameters, name: &str) -> Result<Option<bool>, RestError> {
    match parameters.remove(name).map(|parameter| parameter.parameter_choice) {
        None => Ok(None),
        Some(Some(ParameterChoice::BoolParam(value))) => Ok(Some(value)),
        Some(_) => Err(RestError::Invalid(format!("parameter '{name}' must be true or false"))),
    }
}

/// Takes out a parameter that must be a number of bytes.
pub(super) fn take_size(parameters: &mut Parameters, name: &str) -> Result<Option<usize>, RestError> {
    let size = match parameters.remove(name).map(|parameter| parameter.parameter_choice) {
        None => return Ok(None),
        Some(Some(ParameterChoice::Int64Param(size))) => usize::try_from(size).ok(),
        Some(_) => None,
    };
    let size =
        size.ok_or_else(|| RestError::Invalid(format!("parameter '{name}' must be a number of bytes")))?;
    Ok(Some(size))
}

/// Writes a member for each parameter.
pub(super) fn write_members<'a>(
    writer: &mut Writer,
    parameters: impl IntoIterator<Item = (&'a String, &'a InferParameter)>,
) {
    for (name, parameter) in parameters {
        let writer = writer.name(name);
        match &parameter.parameter_choice {
            Some(ParameterChoice::BoolParam(value)) => writer.boolean(*value),
            Some(ParameterChoice::Int64Param(value)) => writer.integer(*value),
            Some(ParameterChoice::Uint64Param(value)) => writer.integer(*value),
            Some(ParameterChoice::DoubleParam(value)) => writer.float(*value),
            Some(ParameterChoice::StringParam(value)) => writer.text(value),
            None => writer.null(),
        }
    }
}
