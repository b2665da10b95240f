//! Strings of JSON: what stands between the quotes, and back.

use std::borrow::Cow;

use super::error::RestError;

/// Reads the string whose opening quote is at `at`.
pub(super) fn read<'a>(text: &'a str, at: &mut usize) -> Result<Cow<'a, str>, RestError> {
    *at += 1;
    let start = *at;
    let plain = plain(text, at)?;
    if text.as_bytes()[*at] == b'"' {
        *at += 1;
        return Ok(Cow::Borrowed(plain));
    }
    *at = start;
    let mut out = String::new();
    loop {
        out.push_str(self::plain(text, at)?);
        if text.as_bytes()[*at] == b'"' {
            *at += 1;
            return Ok(Cow::Owned(out));
        }
        out.push(escape(text, at)?);
    }
}

/// Reads up to the next quote or backslash.
fn plain<'a>(text: &'a str, at: &mut usize) -> Result<&'a str, RestError> {
    let start = *at;
    let special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    match text.as_bytes()[start..].iter().position(special) {
        None => Err(RestError::syntax(text.len(), "it ends within a string")),
        Some(length) => {
            *at = start + length;
            if text.as_bytes()[*at] < 0x20 {
                return Err(RestError::syntax(*at, "a control character within a string must be escaped"));
            }
            Ok(&text[start..*at])
        }
    }
}

/// Reads an escape sequence, whose backslash is at `at`.
fn escape(text: &str, at: &mut usize) -> Result<char, RestError> {
    let found = text.as_bytes().get(*at + 1);
    let start = *at;
    *at += 2;
    Ok(match found {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            return unicode(text, at)
                .ok_or_else(|| RestError::syntax(start, "\\u is not followed by the digits of a character"));
        }
        _ => return Err(RestError::syntax(start, "'\\' is not followed by one of \"\\/bfnrtu")),
    })
}

/// Reads the digits of `\u`, and the second escape of a character beyond the first 65536.
fn unicode(text: &str, at: &mut usize) -> Option<char> {
    let high = hexadecimal(text, at)?;
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high);
    }
    if text.as_bytes().get(*at..*at + 2)? != b"\\u" {
        return None;
    }
    *at += 2;
    let low = hexadecimal(text, at)?.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)
}

fn hexadecimal(text: &str, at: &mut usize) -> Option<u32> {
    let digits = text.as_bytes().get(*at..*at + 4)?;
    *at += 4;
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
}

/// Appends a string with its quotes.
pub(super) fn write(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    let special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    while let Some(length) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..length]);
        match rest[length] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte if byte < 0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.extend_from_slice(&[b'\\', byte]),
        }
        rest = &rest[length + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
