//! The answer to a request to infer: `$inference_response`, with what follows it.

use bytes::Bytes;

use super::error::RestError;
use super::infer::OutputForm;
use super::parameters::write_members;
use super::writer::Writer;
use super::{BINARY_DATA_SIZE, print};
use crate::inference::ModelInferResponse;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::tensor::{Datatype, check_output, is_elsewhere};

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The JSON.
    pub json: Vec<u8>,
    /// What follows it, none of it copied.
    pub binary: Vec<Bytes>,
    /// The value of [`HEADER_LENGTH`](super::HEADER_LENGTH), which a response with binary outputs must have.
    pub header_length: Option<usize>,
}

/// Writes a response whose contents are raw, one for each output.
pub fn encode_response(response: &ModelInferResponse, form: &OutputForm) -> Result<Encoded, RestError> {
    let mut writer = Writer::default();
    let mut binary = Binary::default();
    let mut outputs = Ok(());
    writer.object(|writer| {
        if !response.id.is_empty() {
            writer.name("id").text(&response.id);
        }
        writer.name("model_name").text(&response.model_name);
        writer.name("model_version").text(&response.model_version);
        if !response.parameters.is_empty() {
            writer.name("parameters").object(|writer| write_members(writer, &response.parameters));
        }
        writer.name("outputs").array(|writer| {
            let mut contents = response.raw_output_contents.iter();
            outputs = response.outputs.iter().try_for_each(|output| {
                let raw = contents.next().cloned().unwrap_or_default();
                write_output(writer, output, raw, form, &mut binary)
            });
        });
    });
    outputs?;
    let header_length = binary.any.then_some(writer.out.len());
    Ok(Encoded { json: writer.out, binary: binary.contents, header_length })
}

/// The outputs that follow the JSON.
#[derive(Debug, Default)]
struct Binary {
    /// There is one, if only an empty one.
    any: bool,
    contents: Vec<Bytes>,
}

fn write_output(
    writer: &mut Writer,
    output: &InferOutputTensor,
    raw: Bytes,
    form: &OutputForm,
    binary: &mut Binary,
) -> Result<(), RestError> {
    check_output(output, &raw)?;
    let here = !is_elsewhere(&output.parameters);
    let is_binary = here && form.is_binary(&output.name);
    let mut data = Ok(());
    writer.object(|writer| {
        writer.name("name").text(&output.name);
        writer.name("datatype").text(&output.datatype);
        writer.name("shape").array(|writer| output.shape.iter().for_each(|&length| writer.integer(length)));
        if is_binary || !output.parameters.is_empty() {
            writer.name("parameters").object(|writer| {
                write_members(writer, output.parameters.iter().filter(|(name, _)| *name != BINARY_DATA_SIZE));
                if is_binary {
                    writer.name(BINARY_DATA_SIZE).integer(raw.len());
                }
            });
        }
        if here && !is_binary {
            writer.name("data");
            data = Datatype::parse(&output.datatype)
                .map_err(|error| RestError::output(&output.name, error))
                .and_then(|datatype| print::array(writer, &output.name, datatype, &raw));
        }
    });
    if is_binary {
        binary.any = true;
        binary.contents.push(raw);
    }
    data
}
