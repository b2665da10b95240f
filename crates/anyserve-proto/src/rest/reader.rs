//! Reads JSON, a value at a time, without keeping what was read.

use std::borrow::Cow;

use super::error::RestError;
use super::number;
use super::string;

/// How deep arrays and objects may be nested.
const MOST_DEPTH: usize = 64;

/// What a value is, by its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Boolean,
    Null,
}

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Kind {
    /// It, in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

impl<'a> Reader<'a> {
    /// At the start of a text that must be UTF-8.
    pub(super) fn new(text: &'a [u8]) -> Result<Self, RestError> {
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Self { text, at: 0, depth: 0 }),
            Err(error) => Err(RestError::NotUtf8 { at: error.valid_up_to() }),
        }
    }

    /// What the next value is.
    pub(super) fn peek(&mut self) -> Result<Kind, RestError> {
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Boolean),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.unexpected("a value")),
            None => Err(RestError::syntax(self.at, "it ends where a value is expected")),
        }
    }

    /// Fails unless the next value is of that kind.
    pub(super) fn expect(&mut self, kind: Kind) -> Result<(), RestError> {
        let found = self.peek()?;
        if found == kind {
            return Ok(());
        }
        Err(RestError::Kind { place: String::new(), found: found.name(), expected: kind.name() })
    }

    /// Reads an object; `member` must read the value of each name.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), RestError>,
    ) -> Result<(), RestError> {
        self.expect(Kind::Object)?;
        self.enter(b'}', |reader| {
            if reader.next_byte() != Some(b'"') {
                return Err(reader.unexpected("a name in quotes"));
            }
            let name = string::read(reader.text, &mut reader.at)?;
            if reader.next_byte() != Some(b':') {
                return Err(reader.unexpected("':'"));
            }
            reader.at += 1;
            member(reader, &name)
        })
    }

    /// Reads an array; `item` must read each of its values.
    pub(super) fn array(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<(), RestError>,
    ) -> Result<(), RestError> {
        self.expect(Kind::Array)?;
        self.enter(b']', item)
    }

    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, RestError> {
        self.expect(Kind::Text)?;
        string::read(self.text, &mut self.at)
    }

    /// A number as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, RestError> {
        self.expect(Kind::Number)?;
        number::read(self.text, &mut self.at)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, RestError> {
        self.expect(Kind::Boolean)?;
        if self.text.as_bytes()[self.at] == b't' {
            self.word("true", true)
        } else {
            self.word("false", false)
        }
    }

    /// Reads over a value.
    pub(super) fn skip(&mut self) -> Result<(), RestError> {
        match self.peek()? {
            Kind::Object => self.object(|reader, _| reader.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::Text => self.text().map(drop),
            Kind::Number => self.number().map(|_| ()),
            Kind::Boolean => self.boolean().map(|_| ()),
            Kind::Null => self.word("null", ()),
        }
    }

    /// Reads over a value, which is returned as a text of its own, to be read later.
    pub(super) fn put_aside(&mut self) -> Result<Self, RestError> {
        self.peek()?;
        let start = self.clone();
        self.skip()?;
        Ok(Self { text: &self.text[..self.at], ..start })
    }

    /// What is left of the text.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Fails unless there is nothing more.
    pub(super) fn end(&mut self) -> Result<(), RestError> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// Reads what stands between an opening and its closing character, with commas between.
    fn enter(
        &mut self,
        close: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), RestError>,
    ) -> Result<(), RestError> {
        if self.depth == MOST_DEPTH {
            return Err(RestError::syntax(self.at, format_args!("it is nested deeper than {MOST_DEPTH}")));
        }
        self.depth += 1;
        self.at += 1;
        if self.next_byte() == Some(close) {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                _ if close == b']' => return Err(self.unexpected("',' or ']'")),
                _ => return Err(self.unexpected("',' or '}'")),
            }
        }
    }

    fn word<T>(&mut self, word: &str, value: T) -> Result<T, RestError> {
        if !self.rest().starts_with(word) {
            return Err(self.unexpected(&format!("'{word}'")));
        }
        self.at += word.len();
        Ok(value)
    }

    /// The next byte that is no white space.
    fn next_byte(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn unexpected(&self, expected: &str) -> RestError {
        match self.rest().chars().next() {
            Some(found) => {
                RestError::syntax(self.at, format_args!("{found:?} stands where {expected} is expected"))
            }
            None => RestError::syntax(self.at, format_args!("it ends where {expected} is expected")),
        }
    }
}
