//! The generate extension: flat objects, whose members are tensors by the model's declaration, or else parameters.

use bytes::Bytes;

use super::elements::{self, Elements};
use super::error::RestError;
use super::number;
use super::parameters::{self, write_members};
use super::print;
use super::reader::{Kind, Reader};
use super::writer::Writer;
use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::inference::model_metadata_response::TensorMetadata;
use crate::inference::{ModelInferRequest, ModelInferResponse};
use crate::tensor::{Datatype, check_output, element_count};

/// Members of a response that are no outputs and no parameters.
const RESERVED: [&str; 3] = ["id", "model_name", "model_version"];
/// What says that a response is its request's last, which a body's end says too.
const FINAL: &str = "triton_final_response";

/// Reads a request for that model, whose inputs are `declared`.
///
/// A member that is called as an input is that input; where nothing is declared, every member is one, by the type that
/// JSON gives it (`BYTES`, `INT64`, `FP64` or `BOOL`). The members of `parameters`, and the others, are parameters;
/// `id` is the request's id. What is no array gives a tensor of one element, and a tensor whose declared shape has more
/// dimensions than the value gets them in front, each of length 1.
pub fn decode_generate(
    body: &[u8],
    declared: &[TensorMetadata],
    model_name: &str,
    model_version: &str,
) -> Result<ModelInferRequest, RestError> {
    let mut reader = Reader::new(body)?;
    let mut request = ModelInferRequest {
        model_name: model_name.to_owned(),
        model_version: model_version.to_owned(),
        ..Default::default()
    };
    reader.object(|reader, name| match name {
        "parameters" if find(declared, name).is_none() => reader
            .object(|reader, name| read_member(reader, name, declared, false, &mut request))
            .map_err(|error| error.at("'parameters'")),
        "id" if find(declared, name).is_none() => {
            request.id = reader.text().map_err(|error| error.at("'id'"))?.into_owned();
            Ok(())
        }
        _ => read_member(reader, name, declared, declared.is_empty(), &mut request),
    })?;
    reader.end()?;
    Ok(request)
}

/// Writes a response whose contents are raw as a flat object: an output of one element as that, others as flat arrays.
pub fn encode_generate(response: &ModelInferResponse) -> Result<Vec<u8>, RestError> {
    let mut writer = Writer::default();
    let mut written = Ok(());
    writer.object(|writer| {
        if !response.id.is_empty() {
            writer.name("id").text(&response.id);
        }
        writer.name("model_name").text(&response.model_name);
        writer.name("model_version").text(&response.model_version);
        let is_output = |name: &str| response.outputs.iter().any(|output| output.name == name);
        let parameters = response.parameters.iter();
        write_members(
            writer,
            parameters
                .filter(|(name, _)| *name != FINAL && !RESERVED.contains(&name.as_str()) && !is_output(name)),
        );
        written = response.outputs.iter().zip(&response.raw_output_contents).try_for_each(|(output, raw)| {
            if RESERVED.contains(&output.name.as_str()) {
                return Err(RestError::Invalid(format!(
                    "output '{}' has the name of something else in a generate response; call it by infer",
                    output.name
                )));
            }
            write_output(writer, output, raw)
        });
    });
    written.map(|()| writer.out)
}

fn find<'a>(declared: &'a [TensorMetadata], name: &str) -> Option<&'a TensorMetadata> {
    declared.iter().find(|tensor| tensor.name == name)
}

/// Reads a member; `undeclared` if it is an input for want of anything that is declared.
fn read_member(
    reader: &mut Reader<'_>,
    name: &str,
    declared: &[TensorMetadata],
    undeclared: bool,
    request: &mut ModelInferRequest,
) -> Result<(), RestError> {
    let place = format!("'{name}'");
    let (datatype, rank) = match find(declared, name) {
        Some(tensor) => {
            let datatype = Datatype::parse(&tensor.datatype);
            (datatype.map_err(|error| RestError::input(name, error))?, tensor.shape.len())
        }
        None if undeclared => (guess(&mut reader.clone()).map_err(|error| error.at(&place))?, 1),
        None => return parameters::read_into(reader, name, &mut request.parameters),
    };
    if request.inputs.iter().any(|input| input.name == name) {
        return Err(RestError::Twice { place: "the request".to_owned(), field: name.to_owned() });
    }
    let Elements { raw, lengths, .. } = elements::read(reader, datatype, &place)?;
    request.inputs.push(InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.name().to_owned(),
        shape: shape_of(&lengths, rank),
        ..Default::default()
    });
    request.raw_input_contents.push(raw);
    Ok(())
}

/// The lengths of the value's arrays, behind ones for the dimensions that it lacks.
fn shape_of(lengths: &[u64], rank: usize) -> Vec<i64> {
    let ones = std::iter::repeat_n(1, rank.saturating_sub(lengths.len()));
    // No array of JSON in memory is longer.
    ones.chain(lengths.iter().map(|&length| i64::try_from(length).unwrap_or(i64::MAX))).collect()
}

/// The datatype that JSON gives a value, by its first element; numbers are whole only if all of them are.
fn guess(reader: &mut Reader<'_>) -> Result<Datatype, RestError> {
    let mut found = None;
    leaves(reader, &mut |reader| {
        let datatype = match reader.peek()? {
            Kind::Text => Datatype::Bytes,
            Kind::Boolean => Datatype::Bool,
            Kind::Number if number::is_integer(reader.clone().number()?) => Datatype::Int64,
            Kind::Number => Datatype::Fp64,
            kind => {
                return Err(RestError::Kind {
                    place: String::new(),
                    found: kind.name(),
                    expected: "a string, a number, a boolean, or an array of one of these",
                });
            }
        };
        found = match (found, datatype) {
            (Some(Datatype::Int64) | None, _) => Some(datatype),
            (before, _) => before,
        };
        reader.skip()
    })?;
    found.ok_or_else(|| {
        RestError::Invalid("an empty array has no datatype; send it by infer, which names one".to_owned())
    })
}

fn leaves(
    reader: &mut Reader<'_>,
    leaf: &mut impl FnMut(&mut Reader<'_>) -> Result<(), RestError>,
) -> Result<(), RestError> {
    if reader.peek()? == Kind::Array { reader.array(|reader| leaves(reader, leaf)) } else { leaf(reader) }
}

fn write_output(writer: &mut Writer, output: &InferOutputTensor, raw: &Bytes) -> Result<(), RestError> {
    let name = &output.name;
    let in_output = |error| RestError::output(name, error);
    check_output(output, raw)?;
    let datatype = Datatype::parse(&output.datatype).map_err(in_output)?;
    let one = element_count(&output.shape).map_err(in_output)? == 1;
    let writer = writer.name(name);
    if one { print::elements(writer, name, datatype, raw) } else { print::array(writer, name, datatype, raw) }
}
