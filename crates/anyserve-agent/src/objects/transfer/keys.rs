//! Keys that are looked up at another agent, and what it has of them, as they go over the wire; no I/O.
//!
//! Each is a text: its length, as a `u16`, and its bytes. Without one there is no object of that key.

use anyserve_core::Reference;

/// How many keys one request asks for at most; for more there are more requests.
pub(super) const MOST_KEYS: usize = 256;

/// The longest text on this wire: a reference is as long at most, and a key is shorter.
const LONGEST: usize = 1024;

/// The most bytes of texts that belong together.
pub(super) const MOST_BYTES: usize = MOST_KEYS * (2 + LONGEST);

/// Texts as they are sent. One that is too long for the wire is nobody's key: it is sent as if it were empty.
pub(super) fn encode<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        let text = if text.len() > LONGEST { "" } else { text };
        let length = u16::try_from(text.len()).unwrap_or(0);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The texts that were sent, if these are so many, and nothing else.
pub(super) fn decode(bytes: &[u8], count: usize) -> Option<Vec<String>> {
    let mut rest = bytes;
    let mut texts = Vec::with_capacity(count.min(MOST_KEYS));
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk()?;
        let (text, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        texts.push(str::from_utf8(text).ok()?.to_owned());
        rest = behind;
    }
    rest.is_empty().then_some(texts)
}

/// What was found, as it is sent.
pub(super) fn encode_found(found: &[Option<Reference>]) -> Vec<u8> {
    let texts: Vec<_> = found
        .iter()
        .map(|reference| reference.as_ref().map(Reference::to_string).unwrap_or_default())
        .collect();
    encode(texts.iter().map(String::as_str))
}

/// What was sent as found.
pub(super) fn decode_found(bytes: &[u8], count: usize) -> Option<Vec<Option<Reference>>> {
    let reference = |text: String| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    decode(bytes, count)?.into_iter().map(reference).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_is_understood(texts in prop::collection::vec(".{0,100}", 0..20), cut in 1..3_usize) {
            let bytes = encode(texts.iter().map(String::as_str));
            prop_assert_eq!(decode(&bytes, texts.len()), Some(texts.clone()));
            prop_assert_eq!(decode(&bytes, texts.len() + 1), None);
            if !texts.is_empty() {
                prop_assert_eq!(decode(&bytes[..bytes.len() - cut], texts.len()), None);
                prop_assert_eq!(decode(&bytes, texts.len() - 1), None);
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, count in 0..300_usize) {
            let _ = decode_found(&bytes, count);
        }
    }

    #[test]
    fn references_go_over_the_wire() {
        let reference: Reference = "anyserve://a:1/00000000000000000000000000000007?size=5".parse().unwrap();
        let found = [None, Some(reference), None];
        assert_eq!(decode_found(&encode_found(&found), 3), Some(found.to_vec()));
        assert_eq!(decode_found(&encode(["no reference"]), 1), None);
        assert_eq!(decode(&encode(["x".repeat(LONGEST + 1).as_str()]), 1), Some(vec![String::new()]));
    }
}
