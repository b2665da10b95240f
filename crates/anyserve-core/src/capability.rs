//! Capabilities and queries: two maps of key to text, and the one meaning of a match.
//!
//! A capability says what a worker offers, a query what a request wants. A query matches a capability when every pair
//! of the query is in the capability. Values compare by their canonical text, so `1`, `1.0` and `"1"` are equal.

use std::collections::BTreeMap;
use std::fmt;

/// The most pairs that a capability or a query may have.
pub const MAX_PAIRS: usize = 32;
/// The longest canonical text of a value, in bytes.
pub const MAX_VALUE_BYTES: usize = 256;
/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64;

/// What a worker offers: a non-empty set of pairs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(Pairs);

/// What a request wants: a non-empty set of pairs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Query(Pairs);

/// A value as it is declared; it counts by its canonical text.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the types they hold")]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

/// Why a set of pairs is neither a capability nor a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum CapabilityError {
    #[error("a capability needs at least one key=value pair")]
    Empty,
    #[error(
        "capability key '{0}' is not allowed; a key is a letter, then up to 63 letters, digits, '_' or '.' ('-' counts as '_')"
    )]
    BadKey(String),
    #[error("capability key '{0}' is there twice (keys are lower-cased, and '-' counts as '_')")]
    DuplicateKey(String),
    #[error("{0} capability pairs are over the limit of {MAX_PAIRS}")]
    TooManyPairs(usize),
    #[error("the value of capability key '{key}' is {bytes} bytes, over the limit of {MAX_VALUE_BYTES}")]
    ValueTooLong { key: String, bytes: usize },
    #[error("the value of capability key '{0}' is not a finite number")]
    NotFinite(String),
}

type Pairs = BTreeMap<String, String>;

impl Capability {
    /// A capability of these pairs.
    pub fn new<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Result<Self, CapabilityError> {
        canonical(pairs).map(Self)
    }

    /// Its pairs in canonical form, by key.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The canonical text of the value under `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl Query {
    /// A query of these pairs.
    pub fn new<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Result<Self, CapabilityError> {
        canonical(pairs).map(Self)
    }

    /// Its pairs in canonical form, by key.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// True when every pair of this query is in `capability`.
    pub fn matches(&self, capability: &Capability) -> bool {
        self.0.iter().all(|(key, value)| capability.0.get(key) == Some(value))
    }
}

impl Value {
    /// The text by which the value compares; none if it is not a finite number.
    fn canonical(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(integer) => Some(integer.to_string()),
            // Display writes 1.0 as "1", and -0.0 as "-0".
            Self::Float(float) => float.is_finite().then(|| (float + 0.0).to_string()),
            Self::Boolean(boolean) => Some(boolean.to_string()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, formatter)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, formatter)
    }
}

fn write_pairs(pairs: &Pairs, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_str("{")?;
    for (index, (key, value)) in pairs.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        // Quoted where it could be taken for something else, or break the line.
        if is_plain(value) {
            write!(formatter, "{separator}{key}: {value}")?;
        } else {
            write!(formatter, "{separator}{key}: {value:?}")?;
        }
    }
    formatter.write_str("}")
}

fn is_plain(value: &str) -> bool {
    let special = |character: char| character.is_control() || ",{}\"\\".contains(character);
    !value.is_empty() && value.trim() == value && !value.contains(special)
}

fn canonical<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Result<Pairs, CapabilityError> {
    let mut out = Pairs::new();
    for (key, value) in pairs {
        let key = canonical_key(key.as_ref())?;
        let text = value.canonical().ok_or_else(|| CapabilityError::NotFinite(key.clone()))?;
        if text.len() > MAX_VALUE_BYTES {
            return Err(CapabilityError::ValueTooLong { key, bytes: text.len() });
        }
        if out.len() == MAX_PAIRS && !out.contains_key(&key) {
            return Err(CapabilityError::TooManyPairs(MAX_PAIRS + 1));
        }
        if out.insert(key.clone(), text).is_some() {
            return Err(CapabilityError::DuplicateKey(key));
        }
    }
    if out.is_empty() {
        return Err(CapabilityError::Empty);
    }
    Ok(out)
}

fn canonical_key(key: &str) -> Result<String, CapabilityError> {
    let canonical = key.to_ascii_lowercase().replace('-', "_");
    let mut bytes = canonical.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    let goes_on = bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'));
    if starts && goes_on && canonical.len() <= MAX_KEY_BYTES {
        Ok(canonical)
    } else {
        Err(CapabilityError::BadKey(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(pairs: &[(&str, Value)]) -> Result<Capability, CapabilityError> {
        Capability::new(pairs.iter().cloned())
    }

    #[test]
    fn values_compare_by_canonical_text() {
        let one = capability(&[("n", Value::Integer(1))]).unwrap();
        for same in [Value::Float(1.0), "1".into()] {
            assert!(Query::new([("N", same)]).unwrap().matches(&one));
        }
        assert!(!Query::new([("n", Value::Boolean(true))]).unwrap().matches(&one));
        assert_eq!(capability(&[("z", Value::Float(-0.0))]).unwrap().get("z"), Some("0"));
        assert_eq!(capability(&[("z", Value::Float(0.5))]).unwrap().get("z"), Some("0.5"));
    }

    #[test]
    fn a_query_matches_what_holds_all_its_pairs() {
        let chat = capability(&[("type", "chat".into()), ("model", "llama".into())]).unwrap();
        assert!(Query::new([("type", Value::from("chat"))]).unwrap().matches(&chat));
        assert!(!Query::new([("type", Value::from("embed"))]).unwrap().matches(&chat));
        let more = [("type", Value::from("chat")), ("gpu", Value::from("h100"))];
        assert!(!Query::new(more).unwrap().matches(&chat));
    }

    #[test]
    fn bad_pairs_are_named() {
        assert_eq!(capability(&[]), Err(CapabilityError::Empty));
        for key in ["", "1a", "a b", "é", "_x", &"k".repeat(65)] {
            assert_eq!(capability(&[(key, "v".into())]), Err(CapabilityError::BadKey(key.to_owned())));
        }
        assert_eq!(
            capability(&[("max-len", "1".into()), ("MAX_LEN", "2".into())]),
            Err(CapabilityError::DuplicateKey("max_len".to_owned()))
        );
        assert!(capability(&[("k", Value::Float(f64::NAN))]).is_err());
        assert!(capability(&[("k", Value::Text("v".repeat(257)))]).is_err());
        let many = (0..33).map(|index| (format!("k{index}"), Value::Integer(index)));
        assert_eq!(Capability::new(many), Err(CapabilityError::TooManyPairs(33)));
    }

    #[test]
    fn it_prints_its_pairs_by_key() {
        let chat = capability(&[("type", "chat".into()), ("model", "llama".into())]).unwrap();
        assert_eq!(chat.to_string(), "{model: llama, type: chat}");
        let odd = capability(&[("a", "x, b: y".into()), ("c", "".into()), ("d", "1\n2\\n".into())]).unwrap();
        assert_eq!(odd.to_string(), r#"{a: "x, b: y", c: "", d: "1\n2\\n"}"#);
    }
}
