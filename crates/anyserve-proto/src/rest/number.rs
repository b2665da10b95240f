//! Numbers of JSON, and the values of them that are no JSON: Triton writes and reads `NaN` and `Infinity`.

use super::error::RestError;

/// Reads the number that begins at `at`, as it is written.
pub(super) fn read<'a>(text: &'a str, at: &mut usize) -> Result<&'a str, RestError> {
    let bytes = text.as_bytes();
    let start = *at;
    let mut end = start + usize::from(bytes[start] == b'-');
    match bytes.get(end) {
        Some(b'0') => end += 1,
        Some(b'1'..=b'9') => end = digits(bytes, end),
        Some(b'N' | b'I') => {
            let word = ["NaN", "Infinity", "Inf"].into_iter().find(|word| text[end..].starts_with(word));
            end += word.ok_or_else(|| RestError::syntax(start, "a value is expected"))?.len();
            *at = end;
            return Ok(&text[start..end]);
        }
        _ => return Err(RestError::syntax(end, "a digit is expected")),
    }
    if bytes.get(end) == Some(&b'.') {
        end = some_digits(bytes, end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = some_digits(bytes, end + 1 + usize::from(signed))?;
    }
    *at = end;
    Ok(&text[start..end])
}

/// True of what is written without a fraction and an exponent.
pub(super) fn is_integer(written: &str) -> bool {
    written.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// The number nearest to what is written; none if that is too large for the type.
pub(super) fn float<T: Float>(written: &str) -> Option<T> {
    let value: T = match written {
        "Inf" | "Infinity" => return Some(T::INFINITY),
        "-Inf" | "-Infinity" => return Some(T::NEGATIVE_INFINITY),
        "NaN" | "-NaN" => return Some(T::NAN),
        _ => written.parse().ok()?,
    };
    value.is_finite().then_some(value)
}

/// What `f32` and `f64` have in common here.
pub(super) trait Float: std::str::FromStr + Copy {
    const NAN: Self;
    const INFINITY: Self;
    const NEGATIVE_INFINITY: Self;
    fn is_finite(self) -> bool;
}

impl Float for f32 {
    const NAN: Self = f32::NAN;
    const INFINITY: Self = f32::INFINITY;
    const NEGATIVE_INFINITY: Self = f32::NEG_INFINITY;
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl Float for f64 {
    const NAN: Self = f64::NAN;
    const INFINITY: Self = f64::INFINITY;
    const NEGATIVE_INFINITY: Self = f64::NEG_INFINITY;
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

fn digits(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

fn some_digits(bytes: &[u8], at: usize) -> Result<usize, RestError> {
    let end = digits(bytes, at);
    if end == at { Err(RestError::syntax(at, "a digit is expected")) } else { Ok(end) }
}
