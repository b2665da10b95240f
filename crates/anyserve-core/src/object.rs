//! What objects are called: ids, and references that say where an object is.

use std::fmt;
use std::str::FromStr;

/// The scheme of a reference.
const SCHEME: &str = "anyserve://";

/// The longest reference that is looked at, in bytes.
const LONGEST: usize = 1024;

/// The most dimensions that a reference may give.
const MOST_DIMENSIONS: usize = 64;

/// The id of an object: 128 bits that nobody can guess, so that whoever knows it was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 16]);

/// Where an object is and what it is: everything that a reader has to know.
///
/// As text, `anyserve://HOST:PORT/ID?size=N`, and for an array `&datatype=FP32&shape=2,3` behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Where the agent that has it gives it to other agents: `HOST:PORT`.
    pub owner: String,
    /// Which of its objects.
    pub id: ObjectId,
    /// How many bytes it has.
    pub size: u64,
    /// KServe's datatype and the shape of an array; none for plain bytes.
    pub array: Option<Array>,
}

/// What an object's bytes mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Array {
    /// KServe's name, such as `FP32`.
    pub datatype: String,
    /// The length of each dimension.
    pub shape: Vec<i64>,
}

/// True if a text may name an agent: `HOST:PORT`, where it gives its objects to other agents.
pub fn is_owner(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    text.len() <= LONGEST
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
}

/// A text that is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no reference to an object: {problem}; one looks like \
     anyserve://HOST:PORT/ID?size=N&datatype=FP32&shape=2,3"
)]
pub struct ReferenceError {
    text: String,
    problem: &'static str,
}

impl ObjectId {
    /// From bytes that nobody can guess.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ObjectId {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = if hex { u128::from_str_radix(text, 16).ok() } else { None };
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| ReferenceError::new(text, "an id is 32 hexadecimal digits"))
    }
}

impl ReferenceError {
    fn new(text: &str, problem: &'static str) -> Self {
        let end = (0..=text.len().min(200)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        Self { text: text[..end].to_owned(), problem }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}?size={}", self.owner, self.id, self.size)?;
        if let Some(Array { datatype, shape }) = &self.array {
            let shape: Vec<_> = shape.iter().map(i64::to_string).collect();
            write!(formatter, "&datatype={datatype}&shape={}", shape.join(","))?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |problem| ReferenceError::new(text, problem);
        if text.len() > LONGEST {
            return Err(wrong("it is too long"));
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with anyserve://"))?;
        let (owner, rest) = rest.split_once('/').ok_or_else(|| wrong("it has no id"))?;
        if !owner.contains(':') {
            return Err(wrong("its owner has no port"));
        }
        if !is_owner(owner) {
            return Err(wrong("its owner is not HOST:PORT"));
        }
        let (id, query) = rest.split_once('?').ok_or_else(|| wrong("it has no size"))?;
        let id = id.parse().map_err(|_| wrong("its id is not 32 hexadecimal digits"))?;
        let mut pairs = query.split('&');
        let mut value = |name: &str| {
            pairs.next().map(|pair| pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
        };
        let size = value("size").flatten().and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| wrong("its size is not a number of bytes"))?;
        let array = match (value("datatype"), value("shape"), value("")) {
            (None, None, None) => None,
            (Some(Some(datatype)), Some(Some(shape)), None) => {
                let shape = parse_shape(shape).ok_or_else(|| wrong("its shape is not a list of lengths"))?;
                Some(Array { datatype: datatype.to_owned(), shape })
            }
            _ => return Err(wrong("behind its size there may be a datatype and a shape, and nothing else")),
        };
        Ok(Self { owner: owner.to_owned(), id, size, array })
    }
}

fn parse_shape(text: &str) -> Option<Vec<i64>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let lengths = text.split(',').map(|length| length.parse().ok().filter(|&length: &i64| length >= 0));
    lengths.collect::<Option<Vec<_>>>().filter(|shape| shape.len() <= MOST_DIMENSIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(array: Option<Array>) -> Reference {
        let id = ObjectId::from_bytes([7; 16]);
        Reference { owner: "127.0.0.1:7000".to_owned(), id, size: 24, array }
    }

    #[test]
    fn a_reference_comes_back_from_its_text() {
        let array = |shape: &[i64]| Some(Array { datatype: "FP32".to_owned(), shape: shape.to_vec() });
        for reference in [None, array(&[2, 3]), array(&[])].map(reference) {
            assert_eq!(reference.to_string().parse(), Ok(reference));
        }
        let text =
            "anyserve://127.0.0.1:7000/07070707070707070707070707070707?size=24&datatype=FP32&shape=2,3";
        assert_eq!(reference(array(&[2, 3])).to_string(), text);
        assert!(text.replace("127.0.0.1", "[::1]").parse::<Reference>().is_ok());
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_reason() {
        let good = reference(None).to_string();
        for (bad, reason) in [
            ("http://a:1/2", "begin with"),
            ("anyserve://a:1", "no id"),
            (&good.replace(":7000", ""), "no port"),
            (&good.replace("7000", "0"), "HOST:PORT"),
            (&good.replace("127.0.0.1", "a b"), "HOST:PORT"),
            (&good.replace("0707", "070"), "32 hexadecimal"),
            (&good.replace("24", "-1"), "number of bytes"),
            (&format!("{good}&datatype=FP32"), "nothing else"),
            (&format!("{good}&datatype=FP32&shape=1,x"), "list of lengths"),
            (&format!("{good}&datatype=FP32&shape=-1"), "list of lengths"),
            (&format!("{good}&x=1"), "nothing else"),
            (&"a".repeat(2000), "too long"),
        ] {
            let error = bad.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }
}
