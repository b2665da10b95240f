//! What a request asks for, and until when: from its metadata, its parameters and its model name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_core::Query;
use anyserve_core::capability::Value;
use anyserve_core::scheduler::Priority;
use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::inference::{InferParameter, ModelInferRequest};
use http::HeaderMap;
use tonic::metadata::{KeyAndValueRef, MetadataMap};

use crate::dispatch::{Wanted, Wish};
use crate::failure::Failure;
use crate::trace::Trace;

const TIMEOUT: &str = "grpc-timeout";
const METADATA_PREFIX: &str = "x-cap-";
const PARAMETER_PREFIX: &str = "cap.";

/// Everything that a request says about how it is to be served. It came at `arrival`, on a call that began at `call`.
pub(super) fn wish(
    metadata: &MetadataMap,
    infer: &ModelInferRequest,
    call: Instant,
    arrival: Instant,
) -> Result<Wish, Failure> {
    Ok(Wish {
        wanted: wanted(metadata, infer)?,
        priority: priority(infer)?,
        deadline: deadline(metadata, infer, call, arrival)?,
        trace: Trace::of(metadata).map(Arc::new),
    })
}

/// When the client of a call that began at `call` stops waiting, by its `grpc-timeout`; one that is malformed is none.
pub(super) fn end_of_call(headers: &HeaderMap, call: Instant) -> Option<Instant> {
    call.checked_add(grpc_timeout(headers.get(TIMEOUT)?.as_bytes()).ok()?)
}

/// What the request asks for; the first hit wins: metadata, then parameters, then the model name.
fn wanted(metadata: &MetadataMap, infer: &ModelInferRequest) -> Result<Wanted, Failure> {
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

/// When the client stops waiting: after the call's `grpc-timeout`, or the request's own parameter `timeout`, in
/// microseconds, if that is sooner.
fn deadline(
    metadata: &MetadataMap,
    infer: &ModelInferRequest,
    call: Instant,
    arrival: Instant,
) -> Result<Option<Instant>, Failure> {
    let header = metadata.get(TIMEOUT).map(|value| grpc_timeout(value.as_bytes())).transpose()?;
    let parameter = infer.parameters.get("timeout").map(timeout_parameter).transpose()?.flatten();
    let header = header.and_then(|timeout| call.checked_add(timeout));
    let parameter = parameter.and_then(|timeout| arrival.checked_add(timeout));
    Ok([header, parameter].into_iter().flatten().min())
}

/// The parameter `priority`; 0 means the capability's own.
fn priority(infer: &ModelInferRequest) -> Result<Option<Priority>, Failure> {
    let Some(parameter) = infer.parameters.get("priority") else {
        return Ok(None);
    };
    let (level, found) = match &parameter.parameter_choice {
        Some(ParameterChoice::Uint64Param(level)) => (Some(*level), level.to_string()),
        Some(ParameterChoice::Int64Param(level)) => (u64::try_from(*level).ok(), level.to_string()),
        _ => (None, "what is no whole number".to_owned()),
    };
    match (level, level.and_then(Priority::new)) {
        (Some(0), _) => Ok(None),
        (_, Some(priority)) => Ok(Some(priority)),
        _ => Err(Failure::Invalid(format!(
            "parameter 'priority' is {found}; it must be from 1, the highest, to {}, the lowest, or 0 for the default",
            Priority::LEVELS
        ))),
    }
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
    fn priorities_are_one_to_nine_and_zero_is_none() {
        let priority = |choice| priority(&request("echo", &[("priority", choice)]));
        assert_eq!(priority(ParameterChoice::Uint64Param(0)).unwrap(), None);
        assert_eq!(priority(ParameterChoice::Int64Param(9)).unwrap(), Priority::new(9));
        for bad in [ParameterChoice::Uint64Param(10), ParameterChoice::Int64Param(-1)] {
            let message = priority(bad).unwrap_err().to_string();
            assert!(message.contains("from 1, the highest, to 9"), "{message}");
        }
        assert!(priority(ParameterChoice::StringParam("high".to_owned())).is_err());
    }

    #[test]
    fn the_sooner_deadline_counts() {
        let now = Instant::now();
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "2S".parse().unwrap());
        let soon = request("echo", &[("timeout", ParameterChoice::Int64Param(500))]);
        assert_eq!(deadline(&metadata, &soon, now, now).unwrap(), Some(now + Duration::from_micros(500)));
        let none = request("echo", &[("timeout", ParameterChoice::Int64Param(0))]);
        assert_eq!(deadline(&metadata, &none, now, now).unwrap(), Some(now + Duration::from_secs(2)));
        assert_eq!(deadline(&MetadataMap::new(), &none, now, now).unwrap(), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(deadline(&metadata, &soon, now, later).unwrap(), Some(later + Duration::from_micros(500)));
        assert_eq!(deadline(&metadata, &none, now, later).unwrap(), Some(now + Duration::from_secs(2)));
        let negative = request("echo", &[("timeout", ParameterChoice::Int64Param(-1))]);
        assert!(deadline(&metadata, &negative, now, now).is_err());
        for bad in ["", "S", "1", "123456789S", "1s", "-1S"] {
            assert!(grpc_timeout(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
