//! A request to infer: `$inference_request`, with what follows it.

use std::collections::HashMap;

use bytes::Bytes;

use super::binary::Binary;
use super::error::RestError;
use super::input::{Input, read_inputs};
use super::members::Seen;
use super::parameters::{self, Parameters, take_boolean};
use super::reader::Reader;
use super::{BINARY_DATA, BINARY_DATA_OUTPUT};
use crate::inference::ModelInferRequest;
use crate::inference::model_infer_request::InferRequestedOutputTensor;

/// The parameter of a requested output that asks for the names of the best classes, which nothing here knows.
const CLASSIFICATION: &str = "classification";

/// A request, and how its client wants the outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct InferCall {
    /// The request; each input's contents are raw.
    pub request: ModelInferRequest,
    /// How its response is to be encoded.
    pub form: OutputForm,
}

/// Which outputs are to follow the JSON as binary data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputForm {
    binary: bool,
    /// The outputs of which the client has said it.
    named: HashMap<String, bool>,
}

impl OutputForm {
    /// True if the output of that name is to be binary.
    pub fn is_binary(&self, output: &str) -> bool {
        self.named.get(output).copied().unwrap_or(self.binary)
    }
}

/// Reads a request for that model. `header_length` is the value of [`HEADER_LENGTH`](super::HEADER_LENGTH): how many
/// bytes of the body are JSON; none if all of it is. Contents behind the JSON are not copied.
///
/// Members of the JSON that the protocol does not have are passed over, as Triton does.
pub fn decode_infer(
    body: &Bytes,
    header_length: Option<usize>,
    model_name: &str,
    model_version: &str,
) -> Result<InferCall, RestError> {
    let header = header_length.unwrap_or(body.len());
    let json = body.get(..header).ok_or_else(|| {
        let length = body.len();
        RestError::Invalid(format!(
            "Inference-Header-Content-Length is {header}, but the body has only {length} bytes"
        ))
    })?;
    let call = read_call(&mut Reader::new(json)?)?;
    let mut binary = Binary { rest: body.slice(header..), follows: header_length.is_some() };
    let (mut inputs, mut contents) = (Vec::with_capacity(call.inputs.len()), Vec::new());
    for input in call.inputs {
        let (tensor, raw) = input.finish(&mut binary)?;
        inputs.push(tensor);
        contents.extend(raw);
    }
    binary.end()?;
    let mut parameters = call.parameters;
    let binary = take_boolean(&mut parameters, BINARY_DATA_OUTPUT)?.unwrap_or(false);
    let (outputs, named) = requested(call.outputs)?;
    let request = ModelInferRequest {
        model_name: model_name.to_owned(),
        model_version: model_version.to_owned(),
        id: call.id,
        parameters,
        inputs,
        outputs,
        raw_input_contents: contents,
    };
    Ok(InferCall { request, form: OutputForm { binary, named } })
}

/// The JSON of a request.
#[derive(Debug, Default)]
struct Call<'a> {
    id: String,
    parameters: Parameters,
    inputs: Vec<Input<'a>>,
    outputs: Vec<InferRequestedOutputTensor>,
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<Call<'a>, RestError> {
    if reader.rest().is_empty() {
        return Err(RestError::Invalid(
            "the request has no JSON; it must be an object with 'inputs', before any binary data".to_owned(),
        ));
    }
    let mut call = Call::default();
    let mut seen = Seen::new("the request");
    reader.object(|reader, name| {
        match name {
            "id" => call.id = read_id(reader)?,
            "parameters" => call.parameters = parameters::read(reader)?,
            "inputs" => call.inputs = read_inputs(reader)?,
            "outputs" => call.outputs = read_outputs(reader)?,
            _ => return reader.skip(),
        }
        seen.once(name)
    })?;
    reader.end()?;
    seen.must_have("inputs")?;
    Ok(call)
}

fn read_id(reader: &mut Reader<'_>) -> Result<String, RestError> {
    Ok(reader.text().map_err(|error| error.at("'id'"))?.into_owned())
}

fn read_outputs(reader: &mut Reader<'_>) -> Result<Vec<InferRequestedOutputTensor>, RestError> {
    let mut outputs = Vec::new();
    let read = reader.array(|reader| {
        outputs.push(read_output(reader).map_err(|error| error.at(&format!("output {}", outputs.len())))?);
        Ok(())
    });
    read.map_err(|error| error.at("'outputs'"))?;
    Ok(outputs)
}

fn read_output(reader: &mut Reader<'_>) -> Result<InferRequestedOutputTensor, RestError> {
    let mut output = InferRequestedOutputTensor::default();
    let mut seen = Seen::new("");
    reader.object(|reader, name| {
        match name {
            "name" => output.name = reader.text().map_err(|error| error.at("'name'"))?.into_owned(),
            "parameters" => output.parameters = parameters::read(reader)?,
            _ => return reader.skip(),
        }
        seen.once(name)
    })?;
    seen.must_have("name")?;
    Ok(output)
}

/// The outputs as the protocol's messages have them, and which of them are to be binary or not.
fn requested(
    mut outputs: Vec<InferRequestedOutputTensor>,
) -> Result<(Vec<InferRequestedOutputTensor>, HashMap<String, bool>), RestError> {
    let mut named = HashMap::new();
    for output in &mut outputs {
        let place = format!("output '{}'", output.name);
        if output.parameters.contains_key(CLASSIFICATION) {
            return Err(RestError::Invalid(format!(
                "{place} asks for 'classification', which is not supported; ask for the tensor itself"
            )));
        }
        let binary = take_boolean(&mut output.parameters, BINARY_DATA).map_err(|error| error.at(&place))?;
        named.extend(binary.map(|binary| (output.name.clone(), binary)));
    }
    Ok((outputs, named))
}
