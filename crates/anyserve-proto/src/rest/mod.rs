//! KServe v2 over REST: the one definition of how JSON, with or without binary tensors behind it, stands for the
//! messages of the protocol. The agent and the API server both use it.
//!
//! - [`decode_infer`], [`encode_response`]: requests and responses with tensors.
//! - [`decode_generate`], [`encode_generate`]: the flat objects of Triton's generate extension.
//! - [`documents`]: everything that has no tensors.
//!
//! JSON is read and written here and not by a library, because a tensor goes from its digits straight into its raw
//! contents, whatever stands first in its object, and because Triton and its clients write `NaN` and `Infinity`, which
//! strict JSON does not have. Sources of the protocol:
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md> and
//! <https://github.com/triton-inference-server/server/tree/main/docs/protocol>.

mod binary;
pub mod documents;
mod elements;
mod error;
mod generate;
mod infer;
mod input;
mod members;
mod number;
mod parameters;
mod print;
mod reader;
mod response;
mod string;
mod writer;

pub use error::RestError;
pub use generate::{decode_generate, encode_generate};
pub use infer::{InferCall, OutputForm, decode_infer};
pub use response::{Encoded, encode_response};

/// The header that says how many bytes of a body are JSON, where binary tensors follow.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// The parameter of an input or an output whose contents follow the JSON: how many bytes they are.
const BINARY_DATA_SIZE: &str = "binary_data_size";
/// The parameter of a requested output: whether it is to follow the JSON.
const BINARY_DATA: &str = "binary_data";
/// The parameter of a request: whether outputs are to follow the JSON that do not say themselves.
const BINARY_DATA_OUTPUT: &str = "binary_data_output";

#[cfg(test)]
mod round_trip_tests;
#[cfg(test)]
mod tests;
