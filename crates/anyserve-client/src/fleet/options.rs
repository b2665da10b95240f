//! How a client of a fleet chooses, and what it may repeat.

use std::str::FromStr;

use anyserve_core::Query;
use anyserve_core::replicas::balance::{Policy, key_of};
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::inference::infer_parameter::ParameterChoice;

/// What holds for all calls of a client of a fleet.
#[derive(Clone, Debug, Default)]
pub struct FleetOptions {
    /// What requests want that do not say it themselves, other than by a model name.
    pub capability: Option<Query>,
    /// Send a request again, to another replica, that a replica may have begun but did not answer: the connection broke,
    /// or it said UNAVAILABLE. Without it, only requests for idempotent capabilities are.
    pub retry_on_failure: bool,
    spread: Spread,
}

#[derive(Clone, Debug, Default)]
struct Spread {
    policy: Policy,
    hash_on: Option<HashOn>,
}

/// What of a request makes it go to the same replica as others that have the same there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The request's parameter of that name.
    Parameter(String),
    /// The header of that name.
    Header(String),
}

/// The options do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its field is")]
pub enum OptionsError {
    #[error("hash_on '{0}' is neither 'parameter:NAME' nor 'header:NAME'")]
    HashOn(String),
    #[error("policy consistent_hash needs hash_on: 'parameter:NAME' or 'header:NAME'")]
    NothingToHash,
    #[error("hash_on is for policy consistent_hash, not for {0}")]
    NotHashed(Policy),
}

impl FleetOptions {
    /// How replicas are chosen; [`Policy::ConsistentHash`] and no other policy needs something to hash on.
    pub fn new(policy: Policy, hash_on: Option<HashOn>) -> Result<Self, OptionsError> {
        match (policy, &hash_on) {
            (Policy::ConsistentHash, None) => Err(OptionsError::NothingToHash),
            (Policy::ConsistentHash, Some(_)) | (_, None) => {
                Ok(Self { spread: Spread { policy, hash_on }, ..Self::default() })
            }
            (other, Some(_)) => Err(OptionsError::NotHashed(other)),
        }
    }

    pub(super) fn policy(&self) -> Policy {
        self.spread.policy
    }

    /// The key of a request; none if it has nothing there, so that it may go anywhere.
    pub(super) fn key_of(&self, request: &ModelInferRequest, headers: &[(String, String)]) -> Option<u64> {
        match self.spread.hash_on.as_ref()? {
            HashOn::Parameter(name) => {
                let value = request.parameters.get(name)?.parameter_choice.as_ref()?;
                Some(match value {
                    ParameterChoice::StringParam(text) => key_of(text.as_bytes()),
                    ParameterChoice::Int64Param(number) => key_of(number.to_string().as_bytes()),
                    ParameterChoice::Uint64Param(number) => key_of(number.to_string().as_bytes()),
                    ParameterChoice::DoubleParam(number) => key_of(number.to_string().as_bytes()),
                    ParameterChoice::BoolParam(truth) => key_of(truth.to_string().as_bytes()),
                })
            }
            HashOn::Header(name) => {
                let found = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
                found.map(|(_, value)| key_of(value.as_bytes()))
            }
        }
    }
}

impl FromStr for HashOn {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Self, OptionsError> {
        match text.split_once(':') {
            Some(("parameter", name)) if !name.is_empty() => Ok(Self::Parameter(name.to_owned())),
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            _ => Err(OptionsError::HashOn(text.to_owned())),
        }
    }
}
