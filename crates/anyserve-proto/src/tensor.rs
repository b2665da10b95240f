//! What protobuf cannot say about a tensor: datatypes, element counts, and the layout of `BYTES`.
//!
//! Inside anyserve a tensor's contents are always *raw*: little-endian, row-major, and for `BYTES` each element behind
//! its length as a 4-byte little-endian number. [`normalize`] brings a client's request into that form and checks it,
//! so that nothing behind it has to ask again.

use std::collections::HashSet;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::element;
use crate::inference::ModelInferRequest;
use crate::inference::model_infer_response::InferOutputTensor;

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
    #[error("input '{0}' has typed contents beside raw_input_contents; send all inputs one way or the other")]
    Mixed(String),
    #[error("{inputs} inputs, but {raw} raw_input_contents; there must be one for each")]
    RawCount { inputs: usize, raw: usize },
    #[error("input '{0}' is there twice; names must be unique")]
    DuplicateInput(String),
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
/// Afterwards there is exactly one raw content for each input, none is typed, and each fits its datatype and shape.
pub fn normalize(request: &mut ModelInferRequest) -> Result<(), RequestError> {
    if request.raw_input_contents.is_empty() {
        request.raw_input_contents.reserve(request.inputs.len());
        for input in &mut request.inputs {
            let raw = Datatype::parse(&input.datatype)
                .and_then(|datatype| match input.contents.take() {
                    Some(contents) => element::to_raw(datatype, &contents),
                    None => Ok(Bytes::new()),
                })
                .map_err(|source| in_tensor("input", &input.name, source))?;
            request.raw_input_contents.push(raw);
        }
    } else {
        for input in &mut request.inputs {
            if input.contents.take().is_some_and(|contents| !element::is_empty(&contents)) {
                return Err(RequestError::Mixed(input.name.clone()));
            }
        }
    }
    if request.inputs.len() != request.raw_input_contents.len() {
        return Err(RequestError::RawCount {
            inputs: request.inputs.len(),
            raw: request.raw_input_contents.len(),
        });
    }
    let mut names = HashSet::with_capacity(request.inputs.len());
    for (input, raw) in request.inputs.iter().zip(&request.raw_input_contents) {
        Datatype::parse(&input.datatype)
            .and_then(|datatype| check(datatype, &input.shape, raw))
            .map_err(|source| in_tensor("input", &input.name, source))?;
        if !names.insert(&input.name) {
            return Err(RequestError::DuplicateInput(input.name.clone()));
        }
    }
    Ok(())
}

/// Checks one output against its raw contents.
pub fn check_output(output: &InferOutputTensor, raw: &[u8]) -> Result<(), RequestError> {
    Datatype::parse(&output.datatype)
        .and_then(|datatype| check(datatype, &output.shape, raw))
        .map_err(|source| in_tensor("output", &output.name, source))
}

fn in_tensor(kind: &'static str, name: &str, source: TensorError) -> RequestError {
    RequestError::Tensor { kind, name: name.to_owned(), source }
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
