//! Why a body is no request, or a response has no JSON.

use std::fmt::Display;

use crate::tensor::{Datatype, RequestError, TensorError};

/// What is wrong, in words for whoever sent or asked for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum RestError {
    #[error("the JSON is not well formed at byte {at}: {what}")]
    Syntax { at: usize, what: String },
    #[error("the body is not JSON: byte {at} is not UTF-8; JSON is sent first, and binary tensors behind it")]
    NotUtf8 { at: usize },
    #[error("{place} is {found}; it must be {expected}")]
    Kind { place: String, found: &'static str, expected: &'static str },
    #[error("{place} has no '{field}'")]
    Missing { place: String, field: &'static str },
    #[error("{place} has '{field}' twice")]
    Twice { place: String, field: String },
    #[error("{place}: {value} is no {datatype}")]
    Element { place: String, value: String, datatype: Datatype },
    #[error("{place}: 'data' is nested unevenly; each of its arrays must be as long as its neighbours")]
    Uneven { place: String },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Tensor(#[from] RequestError),
    #[error(
        "output '{name}' is {datatype}, which has no form in JSON; ask for binary data ('binary_data' or 'binary_data_output')"
    )]
    BinaryOnly { name: String, datatype: Datatype },
    #[error(
        "output '{name}' is not UTF-8 at element {index}, and has no form in JSON; ask for binary data ('binary_data' or 'binary_data_output')"
    )]
    NotText { name: String, index: u64 },
}

impl RestError {
    /// What is not JSON.
    pub(super) fn syntax(at: usize, what: impl Display) -> Self {
        Self::Syntax { at, what: what.to_string() }
    }

    /// An input whose contents are not what its datatype and shape say.
    pub(super) fn input(name: &str, source: TensorError) -> Self {
        Self::Tensor(RequestError::Tensor { kind: "input", name: name.to_owned(), source })
    }

    /// An output whose contents are not what its datatype and shape say.
    pub(super) fn output(name: &str, source: TensorError) -> Self {
        Self::Tensor(RequestError::Tensor { kind: "output", name: name.to_owned(), source })
    }

    /// The same, of what is at that place.
    pub(super) fn at(self, within: &str) -> Self {
        let prefixed =
            |place: String| if place.is_empty() { within.to_owned() } else { format!("{within}: {place}") };
        match self {
            Self::Kind { place, found, expected } => Self::Kind { place: prefixed(place), found, expected },
            Self::Missing { place, field } => Self::Missing { place: prefixed(place), field },
            Self::Twice { place, field } => Self::Twice { place: prefixed(place), field },
            Self::Element { place, value, datatype } => {
                Self::Element { place: prefixed(place), value, datatype }
            }
            Self::Uneven { place } => Self::Uneven { place: prefixed(place) },
            Self::Invalid(message) => Self::Invalid(format!("{within}: {message}")),
            other => other,
        }
    }
}
