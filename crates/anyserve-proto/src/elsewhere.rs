//! Tensors whose contents are not in their message: the parameters that say where they are.

use std::collections::BTreeMap;

use crate::inference::InferParameter;
use crate::inference::infer_parameter::ParameterChoice;
use crate::tensor::RequestError;

/// The parameter of a tensor whose contents are an object: its reference.
pub const OBJECT_REF: &str = "object_ref";

/// The parameter of a tensor whose contents are in memory that the client has registered: the name of the region.
pub const SHARED_MEMORY_REGION: &str = "shared_memory_region";

type Parameters = BTreeMap<String, InferParameter>;

/// The reference of a tensor whose contents are an object.
pub fn object_ref(parameters: &Parameters) -> Option<&str> {
    text_parameter(parameters, OBJECT_REF)
}

/// The parameter of that name, if it is text.
pub fn text_parameter<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    match &parameters.get(name)?.parameter_choice {
        Some(ParameterChoice::StringParam(text)) => Some(text),
        _ => None,
    }
}

/// True if the tensor's contents are not in its message.
pub fn is_elsewhere(parameters: &Parameters) -> bool {
    named(parameters).is_some()
}

/// Checks a tensor whose contents are elsewhere; `here` if it has some in its message too.
pub(crate) fn check(
    kind: &'static str,
    name: &str,
    parameters: &Parameters,
    here: bool,
) -> Result<(), RequestError> {
    let name = name.to_owned();
    match named(parameters) {
        Some(parameter) if text_parameter(parameters, parameter).is_none() => {
            Err(RequestError::NoText { kind, name, parameter })
        }
        Some(parameter) if here => Err(RequestError::Beside { kind, name, parameter }),
        _ => Ok(()),
    }
}

fn named(parameters: &Parameters) -> Option<&'static str> {
    if parameters.is_empty() {
        return None;
    }
    [OBJECT_REF, SHARED_MEMORY_REGION].into_iter().find(|&name| parameters.contains_key(name))
}
