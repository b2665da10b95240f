//! A replica as JSON, the same in HTTP, in events and in etcd:
//!
//! ```json
//! {"replica_id": "a", "endpoint": "10.0.0.1:8000", "incarnation": 1764000000000000,
//!  "capabilities": [{"type": "chat", "model": "llama-70b"}], "idempotent": [{"type": "chat", "model": "llama-70b"}]}
//! ```
//!
//! `idempotent` has those of the capabilities that do no harm if a request runs twice; without it, none does. Values of capabilities may be strings, numbers or booleans; they are written in canonical form, as strings. Members
//! that are not known are passed over.

use std::collections::BTreeMap;
use std::fmt;

use anyserve_core::capability::{Capability, CapabilityError, Value};
use anyserve_core::replicas::{Replica, ReplicaError, ReplicaId};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// The largest replica, in bytes of JSON.
pub const MAX_BYTES: usize = 1 << 20;

/// Why a text is not a replica.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum JsonError {
    #[error("{0} bytes are over the limit of {MAX_BYTES} for a replica")]
    TooLarge(usize),
    #[error("it is not the JSON of a replica: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

#[derive(Serialize)]
struct Written<'a> {
    replica_id: &'a str,
    endpoint: &'a str,
    incarnation: u64,
    capabilities: Vec<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    idempotent: Vec<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Read {
    replica_id: String,
    endpoint: String,
    incarnation: u64,
    capabilities: Vec<BTreeMap<String, ReadValue>>,
    #[serde(default)]
    idempotent: Vec<BTreeMap<String, ReadValue>>,
}

#[derive(Deserialize)]
struct ReadSnapshot {
    replicas: Vec<Read>,
    #[serde(default = "yes")]
    complete: bool,
}

struct ReadValue(Value);

/// The JSON of a replica.
pub fn encode(replica: &Replica) -> String {
    write(replica, None)
}

/// The same with the member `lease_seconds`, as an API server takes it.
pub fn encode_with_lease(replica: &Replica, lease_seconds: f64) -> String {
    write(replica, Some(lease_seconds))
}

/// The replica of that JSON, checked.
pub fn decode(text: &[u8]) -> Result<Replica, JsonError> {
    if text.len() > MAX_BYTES {
        return Err(JsonError::TooLarge(text.len()));
    }
    serde_json::from_slice::<Read>(text)?.try_into()
}

impl TryFrom<Read> for Replica {
    type Error = JsonError;

    fn try_from(read: Read) -> Result<Self, JsonError> {
        let id = ReplicaId::new(&read.replica_id)?;
        let replica = Self::new(id, &read.endpoint, read.incarnation, to_capabilities(read.capabilities)?)?;
        Ok(replica.with_idempotent(to_capabilities(read.idempotent)?))
    }
}

/// The replicas of a snapshot, `{"replicas": [...], "complete": true}`, and whether that is all there are: a registry that
/// has just begun does not know yet who is missing.
pub(crate) fn decode_snapshot(text: &[u8]) -> Result<(Vec<Replica>, bool), JsonError> {
    let snapshot: ReadSnapshot = serde_json::from_slice(text)?;
    let replicas = snapshot.replicas.into_iter().map(Replica::try_from).collect::<Result<_, _>>()?;
    Ok((replicas, snapshot.complete))
}

fn yes() -> bool {
    true
}

fn to_capabilities(listed: Vec<BTreeMap<String, ReadValue>>) -> Result<Vec<Capability>, CapabilityError> {
    let one = |pairs: BTreeMap<_, ReadValue>| {
        Capability::new(pairs.into_iter().map(|(key, value): (String, _)| (key, value.0)))
    };
    listed.into_iter().map(one).collect()
}

fn write(replica: &Replica, lease_seconds: Option<f64>) -> String {
    let written = Written {
        replica_id: replica.id().as_str(),
        endpoint: replica.endpoint(),
        incarnation: replica.incarnation(),
        capabilities: replica.capabilities().iter().map(Capability::pairs).collect(),
        idempotent: replica.idempotent().iter().map(Capability::pairs).collect(),
        lease_seconds,
    };
    serde_json::to_string(&written).expect("strings and numbers can be written")
}

impl<'de> Deserialize<'de> for ReadValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = ReadValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<ReadValue, E> {
        Ok(ReadValue(Value::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ReadValue, E> {
        Ok(ReadValue(Value::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ReadValue, E> {
        // An integer's text is canonical, whatever its size.
        Ok(ReadValue(Value::Text(value.to_string())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<ReadValue, E> {
        if value.is_finite() {
            Ok(ReadValue(Value::Float(value)))
        } else {
            Err(E::custom("not a finite number"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<ReadValue, E> {
        Ok(ReadValue(Value::Text(value.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let chat = Capability::new([("type", Value::from("chat")), ("n", Value::Float(0.5))]).unwrap();
        let id = ReplicaId::new("a").unwrap();
        let replica = Replica::new(id, "10.0.0.1:8000", 7, [chat]).unwrap();
        let text = encode(&replica);
        let expected = r#"{"replica_id":"a","endpoint":"10.0.0.1:8000","incarnation":7,"capabilities":[{"n":"0.5","type":"chat"}]}"#;
        assert_eq!(text, expected);
        assert_eq!(decode(text.as_bytes()).unwrap(), replica);
        let safe = replica.clone().with_idempotent(replica.capabilities().clone());
        assert_eq!(decode(encode(&safe).as_bytes()).unwrap(), safe);
        assert_eq!(decode(encode_with_lease(&replica, 15.0).as_bytes()).unwrap(), replica);
    }

    #[test]
    fn values_may_be_of_any_simple_type() {
        let text = r#"{"replica_id":"a","endpoint":"h:1","incarnation":1,"more":[],
            "capabilities":[{"A":1,"b":18446744073709551615,"c":1.0,"d":true,"e":"x"}]}"#;
        let replica = decode(text.as_bytes()).unwrap();
        let capability = replica.capabilities().first().unwrap().to_string();
        assert_eq!(capability, "{a: 1, b: 18446744073709551615, c: 1, d: true, e: x}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |id: &str, endpoint: &str, capabilities: &str| {
            let text = format!(
                r#"{{"replica_id":"{id}","endpoint":"{endpoint}","incarnation":1,"capabilities":{capabilities}}}"#
            );
            decode(text.as_bytes()).unwrap_err().to_string()
        };
        assert!(with("a/b", "h:1", "[]").starts_with("replica id 'a/b' is not allowed"));
        assert_eq!(with("a", "h", "[]"), "endpoint 'h' is not HOST:PORT");
        assert!(with("a", "h:1", r#"[{"type":null}]"#).contains("a string, a number or a boolean"));
        assert!(with("a", "h:1", r#"[{"1":"x"}]"#).starts_with("capability key '1' is not allowed"));
        assert!(with("a", "h:1", "[{}]").contains("at least one"));
        assert!(decode(b"{}").unwrap_err().to_string().contains("replica_id"));
        assert!(decode(&vec![b' '; MAX_BYTES + 1]).unwrap_err().to_string().contains("1048577 bytes"));
    }
}
