//! What a request asks for, and until when: from its metadata, its parameters and its model name.

use std::time::{Duration, Instant};

use anyserve_core::Query;
use anyserve_core::capability::Value;
use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::inference::{InferParameter, ModelInferRequest};
use tonic::metadata::{KeyAndValueRef, MetadataMap};

use crate::dispatch::Wanted;
use crate::failure::Failure;

const METADATA_PREFIX: &str = "x-cap-";
const PARAMETER_PREFIX: &str = "cap.";

/// What the request asks for; the first hit wins: metadata, then parameters, then the model name.
pub(super) fn wanted(metadata: &MetadataMap, infer: &ModelInferRequest) -> Result<Wanted, Failure> {
    let mut pairs =
        metadata.iter().filter_map(|entry| from_metadata(&entry)).collect::<Result<Vec<_>, _>>()?;
    if pairs.is_empty() {
        pairs = infer.parameters.iter().filter_map(from_parameter).collect::<Result<_, _>>()?;
    }
    if pairs.is_empty() {
        return Ok(Wanted::Model { name: infer.model_name.clone(), version: infer.model_version.clone() });
    }
    Ok(Wanted::Pairs(Query::new(pairs)?))
}

/// When the client stops waiting: its `grpc-timeout`, or the parameter `timeout` in microseconds if that is sooner.
pub(super) fn deadline(
    metadata: &MetadataMap,
    infer: &ModelInferRequest,
    arrival: Instant,
) -> Result<Option<Instant>, Failure> {
    let header = metadata.get("grpc-timeout").map(|value| grpc_timeout(value.as_bytes())).transpose()?;
    let parameter = infer.parameters.get("timeout").map(timeout_parameter).transpose()?.flatten();
    let soonest = [header, parameter].into_iter().flatten().min();
    Ok(soonest.and_then(|timeout| arrival.checked_add(timeout)))
}

fn from_metadata(entry: &KeyAndValueRef<'_>) -> Option<Result<(String, Value), Failure>> {
    let KeyAndValueRef::Ascii(key, value) = entry else {
        return None;
    };
    let key = key.as_str().strip_prefix(METADATA_PREFIX)?;
    Some(match value.to_str() {
        Ok(text) => Ok((key.to_owned(), Value::from(text))),
        Err(_) => Err(Failure::Invalid(format!("metadata {METADATA_PREFIX}{key} is not visible ASCII text"))),
    })
}

fn from_parameter((name, parameter): (&String, &InferParameter)) -> Option<Result<(String, Value), Failure>> {
    let key = name.strip_prefix(PARAMETER_PREFIX)?;
    let value = match &parameter.parameter_choice {
        Some(ParameterChoice::BoolParam(boolean)) => Value::Boolean(*boolean),
        Some(ParameterChoice::Int64Param(integer)) => Value::Integer(*integer),
        Some(ParameterChoice::Uint64Param(integer)) => Value::Text(integer.to_string()),
        Some(ParameterChoice::DoubleParam(float)) => Value::Float(*float),
        Some(ParameterChoice::StringParam(text)) => Value::Text(text.clone()),
        None => return Some(Err(Failure::Invalid(format!("parameter '{name}' has no value")))),
    };
    Some(Ok((key.to_owned(), value)))
}

/// The value of the parameter `timeout`; 0 means none.
fn timeout_parameter(parameter: &InferParameter) -> Result<Option<Duration>, Failure> {
    let micros = match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(micros)) => u64::try_from(micros).ok(),
        Some(ParameterChoice::Uint64Param(micros)) => Some(micros),
        _ => None,
    };
    let micros = micros.ok_or_else(|| {
        Failure::Invalid("parameter 'timeout' must be a whole number of microseconds, 0 or more".to_owned())
    })?;
    Ok((micros > 0).then(|| Duration::from_micros(micros)))
}

/// The value of the header `grpc-timeout`: up to 8 digits and a unit, as in
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
fn grpc_timeout(value: &[u8]) -> Result<Duration, Failure> {
    let parse = || {
        let (unit, digits) = value.split_last()?;
        let all_digits = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        let amount: u64 = std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()?;
        Some(match unit {
            b'H' => Duration::from_secs(amount * 3600),
            b'M' => Duration::from_secs(amount * 60),
            b'S' => Duration::from_secs(amount),
            b'm' => Duration::from_millis(amount),
            b'u' => Duration::from_micros(amount),
            b'n' => Duration::from_nanos(amount),
            _ => return None,
        })
    };
    parse().ok_or_else(|| {
        let found = String::from_utf8_lossy(value);
        Failure::Invalid(format!(
            "grpc-timeout '{found}' is not up to 8 digits and one of the units H, M, S, m, u, n"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(model: &str, parameters: &[(&str, ParameterChoice)]) -> ModelInferRequest {
        let parameter = |(name, choice): &(&str, ParameterChoice)| {
            ((*name).to_owned(), InferParameter { parameter_choice: Some(choice.clone()) })
        };
        ModelInferRequest {
            model_name: model.to_owned(),
            parameters: parameters.iter().map(parameter).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn metadata_comes_before_parameters_and_these_before_the_name() {
        let mut metadata = MetadataMap::new();
        let named = request("echo", &[]);
        let model = Wanted::Model { name: "echo".to_owned(), version: String::new() };
        assert_eq!(wanted(&metadata, &named).unwrap(), model);
        let parameters = request("echo", &[("cap.type", ParameterChoice::StringParam("a".to_owned()))]);
        let pairs = |value: &str| Wanted::Pairs(Query::new([("type", Value::from(value))]).unwrap());
        assert_eq!(wanted(&metadata, &parameters).unwrap(), pairs("a"));
        metadata.insert("x-cap-type", "b".parse().unwrap());
        assert_eq!(wanted(&metadata, &parameters).unwrap(), pairs("b"));
        assert!(
            wanted(&MetadataMap::new(), &request("", &[("cap.", ParameterChoice::BoolParam(true))])).is_err()
        );
    }

    #[test]
    fn the_sooner_deadline_counts() {
        let now = Instant::now();
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "2S".parse().unwrap());
        let soon = request("echo", &[("timeout", ParameterChoice::Int64Param(500))]);
        assert_eq!(deadline(&metadata, &soon, now).unwrap(), Some(now + Duration::from_micros(500)));
        let none = request("echo", &[("timeout", ParameterChoice::Int64Param(0))]);
        assert_eq!(deadline(&metadata, &none, now).unwrap(), Some(now + Duration::from_secs(2)));
        assert_eq!(deadline(&MetadataMap::new(), &none, now).unwrap(), None);
        let negative = request("echo", &[("timeout", ParameterChoice::Int64Param(-1))]);
        assert!(deadline(&metadata, &negative, now).is_err());
        for bad in ["", "S", "1", "123456789S", "1s", "-1S"] {
            assert!(grpc_timeout(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
