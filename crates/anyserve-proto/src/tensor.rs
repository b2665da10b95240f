//! What protobuf cannot say about a tensor: datatypes, element counts, and the layout of `BYTES`.
//!
//! Inside anyserve a tensor's contents are always *raw*: little-endian, row-major, and for `BYTES` each element behind
//! its length as a 4-byte little-endian number. [`normalize`] brings a client's request into that form and checks it,
//! so that nothing behind it has to ask again.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::element;
use crate::elsewhere;
pub use crate::elsewhere::{OBJECT_REF, SHARED_MEMORY_REGION, is_elsewhere, object_ref, text_parameter};
use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::inference::{InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse};

/// The element types of KServe v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

/// Why a tensor is not well formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum TensorError {
    #[error(
        "datatype '{0}' is unknown; known are BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64 and BYTES"
    )]
    UnknownDatatype(String),
    #[error("shape {0:?} has a negative or too large dimension")]
    BadShape(Vec<i64>),
    #[error("shape {shape:?} of {datatype} needs {needed} bytes, but the contents hold {found}")]
    WrongSize { datatype: Datatype, shape: Vec<i64>, needed: u64, found: u64 },
    #[error("shape {shape:?} needs {needed} elements, but the contents hold {found}")]
    WrongCount { shape: Vec<i64>, needed: u64, found: u64 },
    #[error("element {index} of BYTES claims {claimed} bytes at offset {offset}, but only {left} are left")]
    LyingLength { index: u64, offset: usize, claimed: u64, left: usize },
    #[error("{0} has no typed contents; send it in raw_input_contents")]
    RawOnly(Datatype),
    #[error("{datatype} belongs in {expected}, but the contents are in {found}")]
    WrongField { datatype: Datatype, found: &'static str, expected: &'static str },
    #[error("value {value} does not fit the datatype")]
    OutOfRange { value: String },
    #[error("an element of {0} bytes is over the limit of 4294967295 bytes")]
    ElementTooLong(usize),
}

/// Why a request's tensors are not well formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum RequestError {
    #[error("{kind} '{name}': {source}")]
    Tensor { kind: &'static str, name: String, source: TensorError },
    #[error("{kind} '{name}' has typed contents beside raw_{kind}_contents; send all one way or the other")]
    Mixed { kind: &'static str, name: String },
    #[error("{tensors} {kind}s, but {raw} raw_{kind}_contents; there must be one for each")]
    RawCount { kind: &'static str, tensors: usize, raw: usize },
    #[error("{kind} '{name}' has contents beside its parameter '{parameter}', which says where they are")]
    Beside { kind: &'static str, name: String, parameter: &'static str },
    #[error("{kind} '{name}': parameter '{parameter}' must be text")]
    NoText { kind: &'static str, name: String, parameter: &'static str },
    #[error("{kind} '{name}' is there twice; names must be unique")]
    Duplicate { kind: &'static str, name: String },
}

impl Datatype {
    /// The datatype of that name, such as `FP32`.
    pub fn parse(name: &str) -> Result<Self, TensorError> {
        Ok(match name {
            "BOOL" => Self::Bool,
            "UINT8" => Self::Uint8,
            "UINT16" => Self::Uint16,
            "UINT32" => Self::Uint32,
            "UINT64" => Self::Uint64,
            "INT8" => Self::Int8,
            "INT16" => Self::Int16,
            "INT32" => Self::Int32,
            "INT64" => Self::Int64,
            "FP16" => Self::Fp16,
            "BF16" => Self::Bf16,
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            "BYTES" => Self::Bytes,
            _ => return Err(TensorError::UnknownDatatype(name.to_owned())),
        })
    }

    /// The protocol's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Bytes per element; none for `BYTES`, whose elements differ.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// The field of `InferTensorContents` that holds it; none for those that must be raw.
    pub fn contents_field(self) -> Option<&'static str> {
        match self {
            Self::Bool => Some("bool_contents"),
            Self::Int8 | Self::Int16 | Self::Int32 => Some("int_contents"),
            Self::Int64 => Some("int64_contents"),
            Self::Uint8 | Self::Uint16 | Self::Uint32 => Some("uint_contents"),
            Self::Uint64 => Some("uint64_contents"),
            Self::Fp32 => Some("fp32_contents"),
            Self::Fp64 => Some("fp64_contents"),
            Self::Bytes => Some("bytes_contents"),
            Self::Fp16 | Self::Bf16 => None,
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How many elements a tensor of that shape holds; a scalar's empty shape holds one.
pub fn element_count(shape: &[i64]) -> Result<u64, TensorError> {
    shape
        .iter()
        .try_fold(1_u64, |count, &dimension| count.checked_mul(u64::try_from(dimension).ok()?))
        .ok_or_else(|| TensorError::BadShape(shape.to_vec()))
}

/// Checks that `raw` holds exactly a tensor of that datatype and shape.
pub fn check(datatype: Datatype, shape: &[i64], raw: &[u8]) -> Result<(), TensorError> {
    let count = element_count(shape)?;
    let Some(size) = datatype.size() else {
        let found = BytesElements::new(raw).try_fold(0_u64, |found, element| element.map(|_| found + 1))?;
        if found == count {
            return Ok(());
        }
        return Err(TensorError::WrongCount { shape: shape.to_vec(), needed: count, found });
    };
    let needed = count.checked_mul(size as u64).ok_or_else(|| TensorError::BadShape(shape.to_vec()))?;
    if needed == raw.len() as u64 {
        return Ok(());
    }
    Err(TensorError::WrongSize { datatype, shape: shape.to_vec(), needed, found: raw.len() as u64 })
}

/// Checks a request's tensors and brings their contents into `raw_input_contents`.
///
/// Afterwards there is exactly one raw content for each input, none is typed, and each fits its datatype and shape; but
/// that of an input whose contents [are elsewhere](is_elsewhere) is empty.
pub fn normalize(request: &mut ModelInferRequest) -> Result<(), RequestError> {
    let mut names = HashSet::with_capacity(request.inputs.len());
    if let Some(twice) = request.inputs.iter().find(|input| !names.insert(&input.name)) {
        return Err(RequestError::Duplicate { kind: "input", name: twice.name.clone() });
    }
    let mut names = HashSet::with_capacity(request.outputs.len());
    if let Some(twice) = request.outputs.iter().find(|output| !names.insert(&output.name)) {
        return Err(RequestError::Duplicate { kind: "requested output", name: twice.name.clone() });
    }
    let elsewhere = request.inputs.iter().filter(|input| is_elsewhere(&input.parameters)).count();
    let inputs = request.inputs.iter_mut().map(|input| TensorParts {
        kind: "input",
        name: &input.name,
        datatype: &input.datatype,
        shape: &input.shape,
        parameters: &input.parameters,
        contents: &mut input.contents,
    });
    normalize_tensors("input", inputs, elsewhere, &mut request.raw_input_contents)
}

/// Checks a response's tensors and brings their contents into `raw_output_contents`, as [`normalize`] does. Outputs
/// whose contents are elsewhere may have empty ones here, if all of them do.
pub fn normalize_response(response: &mut ModelInferResponse) -> Result<(), RequestError> {
    let is_there = |output: &InferOutputTensor| is_elsewhere(&output.parameters);
    let elsewhere = response.outputs.iter().filter(|output| is_there(output)).count();
    let raw = &mut response.raw_output_contents;
    if elsewhere > 0 && raw.len() == response.outputs.len() {
        let mut outputs = response.outputs.iter();
        // One that is not empty is left, and found to be too many.
        raw.retain(|content| {
            let left_out = outputs.next().is_some_and(is_there) && content.is_empty();
            !left_out
        });
    }
    let outputs = response.outputs.iter_mut().map(|output| TensorParts {
        kind: "output",
        name: &output.name,
        datatype: &output.datatype,
        shape: &output.shape,
        parameters: &output.parameters,
        contents: &mut output.contents,
    });
    normalize_tensors("output", outputs, elsewhere, &mut response.raw_output_contents)
}

/// What inputs and outputs have in common.
struct TensorParts<'a> {
    kind: &'static str,
    name: &'a str,
    datatype: &'a str,
    shape: &'a [i64],
    parameters: &'a BTreeMap<String, InferParameter>,
    contents: &'a mut Option<InferTensorContents>,
}

impl TensorParts<'_> {
    /// Checks a tensor whose contents are elsewhere: they cannot be here too.
    fn check_elsewhere(&self, raw: bool) -> Result<(), RequestError> {
        Datatype::parse(self.datatype).map_err(|error| self.in_tensor(error))?;
        let here = raw || self.contents.as_ref().is_some_and(|contents| !element::is_empty(contents));
        elsewhere::check(self.kind, self.name, self.parameters, here)
    }

    fn in_tensor(&self, source: TensorError) -> RequestError {
        RequestError::Tensor { kind: self.kind, name: self.name.to_owned(), source }
    }
}

fn normalize_tensors<'a>(
    kind: &'static str,
    tensors: impl ExactSizeIterator<Item = TensorParts<'a>>,
    elsewhere: usize,
    raw_contents: &mut Vec<Bytes>,
) -> Result<(), RequestError> {
    let typed = raw_contents.is_empty();
    let (needed, given) = (tensors.len() - elsewhere, raw_contents.len());
    if !typed && given == tensors.len() && elsewhere > 0 {
        return Err(tensors
            .map(|tensor| tensor.check_elsewhere(true))
            .find_map(Result::err)
            .unwrap_or(RequestError::RawCount { kind, tensors: needed, raw: given }));
    }
    if !typed && given != needed {
        return Err(RequestError::RawCount { kind, tensors: needed, raw: given });
    }
    for (index, tensor) in tensors.enumerate() {
        if is_elsewhere(tensor.parameters) {
            tensor.check_elsewhere(false)?;
            raw_contents.insert(index, Bytes::new());
            continue;
        }
        let datatype = Datatype::parse(tensor.datatype).map_err(|error| tensor.in_tensor(error))?;
        let contents = tensor.contents.take().filter(|contents| !element::is_empty(contents));
        if typed {
            let raw = contents.map_or(Ok(Bytes::new()), |contents| element::to_raw(datatype, &contents));
            raw_contents.push(raw.map_err(|error| tensor.in_tensor(error))?);
        } else if contents.is_some() {
            return Err(RequestError::Mixed { kind, name: tensor.name.to_owned() });
        }
        check(datatype, tensor.shape, &raw_contents[index]).map_err(|error| tensor.in_tensor(error))?;
    }
    Ok(())
}

/// Checks one input against its raw contents.
pub fn check_input(input: &InferInputTensor, raw: &[u8]) -> Result<(), RequestError> {
    Datatype::parse(&input.datatype)
        .and_then(|datatype| check(datatype, &input.shape, raw))
        .map_err(|source| RequestError::Tensor { kind: "input", name: input.name.clone(), source })
}

/// Checks one output against its raw contents, if these are not elsewhere.
pub fn check_output(output: &InferOutputTensor, raw: &[u8]) -> Result<(), RequestError> {
    if is_elsewhere(&output.parameters) && raw.is_empty() {
        return Ok(());
    }
    Datatype::parse(&output.datatype)
        .and_then(|datatype| check(datatype, &output.shape, raw))
        .map_err(|source| RequestError::Tensor { kind: "output", name: output.name.clone(), source })
}

/// Appends one element of `BYTES`: its length, then itself.
pub fn put_bytes_element(out: &mut BytesMut, element: &[u8]) -> Result<(), TensorError> {
    let length = u32::try_from(element.len()).map_err(|_| TensorError::ElementTooLong(element.len()))?;
    out.reserve(4 + element.len());
    out.put_u32_le(length);
    out.put_slice(element);
    Ok(())
}

/// The elements of a raw `BYTES` tensor; ends at the first one whose length does not fit.
#[derive(Clone, Debug)]
pub struct BytesElements<'a> {
    raw: &'a [u8],
    offset: usize,
    index: u64,
}

impl<'a> BytesElements<'a> {
    /// Reads `raw` from its start.
    pub fn new(raw: &'a [u8]) -> Self {
        Self { raw, offset: 0, index: 0 }
    }
}

impl<'a> Iterator for BytesElements<'a> {
    type Item = Result<&'a [u8], TensorError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.raw[self.offset..];
        if rest.is_empty() {
            return None;
        }
        let (claimed, left) = match rest.split_first_chunk::<4>() {
            Some((head, body)) => (u64::from(u32::from_le_bytes(*head)), body),
            // Not even a whole length is left.
            None => (4, rest),
        };
        let element =
            usize::try_from(claimed).ok().filter(|_| rest.len() >= 4).and_then(|length| left.get(..length));
        let item = element.ok_or(TensorError::LyingLength {
            index: self.index,
            offset: self.offset,
            claimed,
            left: left.len(),
        });
        self.index += 1;
        self.offset = match item {
            Ok(element) => self.offset + 4 + element.len(),
            Err(_) => self.raw.len(),
        };
        Some(item)
    }
}

#[cfg(test)]
#[path = "tensor_tests.rs"]
mod tests;
