//! The three parameters by which a tensor says where in a client's shared memory it is.

use std::collections::BTreeMap;

use anyserve_proto::inference::InferParameter;
use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::tensor::SHARED_MEMORY_REGION;

use super::error::ClientShmError;

const BYTE_SIZE: &str = "shared_memory_byte_size";
const OFFSET: &str = "shared_memory_offset";

type Parameters = BTreeMap<String, InferParameter>;

/// Where in a client's shared memory a tensor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Place {
    /// Takes it out of a tensor's parameters, which mean nothing to those behind the agent; none if there is none.
    pub(super) fn take(parameters: &mut Parameters) -> Result<Option<Self>, ClientShmError> {
        let Some(region) = parameters.remove(SHARED_MEMORY_REGION) else {
            return Ok(None);
        };
        let Some(ParameterChoice::StringParam(region)) = region.parameter_choice else {
            return Err(ClientShmError::Invalid(format!("parameter '{SHARED_MEMORY_REGION}' must be text")));
        };
        let size = number(parameters.remove(BYTE_SIZE), BYTE_SIZE)?;
        let size = size.ok_or_else(|| {
            ClientShmError::Invalid(format!(
                "parameter '{BYTE_SIZE}' must be there beside '{SHARED_MEMORY_REGION}'"
            ))
        })?;
        let offset = number(parameters.remove(OFFSET), OFFSET)?.unwrap_or(0);
        Ok(Some(Self { region, offset, size }))
    }

    /// Notes in the parameters of an output that it is there.
    pub(super) fn note(self, parameters: &mut Parameters) {
        // As clients of the protocol send them.
        let number = |value: u64| ParameterChoice::Int64Param(i64::try_from(value).unwrap_or(i64::MAX));
        for (name, choice) in [
            (SHARED_MEMORY_REGION, ParameterChoice::StringParam(self.region)),
            (BYTE_SIZE, number(self.size)),
            (OFFSET, number(self.offset)),
        ] {
            parameters.insert(name.to_owned(), InferParameter { parameter_choice: Some(choice) });
        }
    }
}

fn number(parameter: Option<InferParameter>, name: &str) -> Result<Option<u64>, ClientShmError> {
    let Some(parameter) = parameter else {
        return Ok(None);
    };
    let value = match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(value)) => u64::try_from(value).ok(),
        Some(ParameterChoice::Uint64Param(value)) => Some(value),
        _ => None,
    };
    let wrong = || ClientShmError::Invalid(format!("parameter '{name}' must be a whole number from 0 on"));
    value.ok_or_else(wrong).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(choices: &[(&str, ParameterChoice)]) -> Parameters {
        let parameter = |choice: &ParameterChoice| InferParameter { parameter_choice: Some(choice.clone()) };
        choices.iter().map(|(name, choice)| ((*name).to_owned(), parameter(choice))).collect()
    }

    #[test]
    fn a_place_is_taken_out_and_noted_again() {
        let text = ParameterChoice::StringParam("r".to_owned());
        let both = [(SHARED_MEMORY_REGION, text), (BYTE_SIZE, ParameterChoice::Uint64Param(5))];
        let mut taken = parameters(&both);
        taken.insert("other".to_owned(), InferParameter::default());
        let place = Place::take(&mut taken).unwrap().unwrap();
        assert_eq!(place, Place { region: "r".to_owned(), offset: 0, size: 5 });
        assert_eq!(taken.len(), 1);
        place.clone().note(&mut taken);
        assert_eq!(Place::take(&mut taken).unwrap(), Some(place));
        assert_eq!(Place::take(&mut taken).unwrap(), None);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let text = || (SHARED_MEMORY_REGION, ParameterChoice::StringParam("r".to_owned()));
        let size = |choice| (BYTE_SIZE, choice);
        for wrong in [
            vec![text()],
            vec![text(), size(ParameterChoice::Int64Param(-1))],
            vec![text(), size(ParameterChoice::StringParam("5".to_owned()))],
            vec![text(), size(ParameterChoice::Int64Param(5)), (OFFSET, ParameterChoice::Int64Param(-5))],
            vec![
                (SHARED_MEMORY_REGION, ParameterChoice::BoolParam(true)),
                size(ParameterChoice::Int64Param(5)),
            ],
        ] {
            assert!(Place::take(&mut parameters(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
