//! Where the fields of a `ModelInferRequest` begin and end, byte by byte as they come.
//!
//! It looks for raw contents only, and decides nothing: whatever it cannot make sense of is left to the decoder, which
//! cannot either and says why.

/// The number of `raw_input_contents`.
const RAW_CONTENTS: u64 = 7;

/// Keys are no larger.
const LARGEST_KEY: u64 = u32::MAX as u64;

/// What a byte was the last of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: more of the same belongs to it.
    Nothing,
    /// A field's head; so many bytes of content follow, none or more.
    Field(usize),
    /// The head of a raw content of that many bytes, all of which are part of the message.
    Content(usize),
    /// Something that no message has: there are no fields from here on.
    Garbage,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Key,
    Number,
    Length {
        of_content: bool,
    },
}

/// A place in a message.
#[derive(Debug, Default)]
pub(super) struct Scan {
    step: Step,
    /// How many groups, a form of nesting that only old messages have, are open.
    depth: u32,
    /// The number that is being read, and how many bytes it has so far.
    value: u64,
    size: u32,
}

impl Scan {
    /// Reads a byte that is no content, with so many bytes of the message behind it.
    pub(super) fn read(&mut self, byte: u8, left: usize) -> Found {
        // The tenth byte has room for one bit.
        if self.size == 9 && byte > 1 {
            return Found::Garbage;
        }
        self.value |= u64::from(byte & 0x7f) << (7 * self.size);
        self.size += 1;
        if byte >= 0x80 {
            return Found::Nothing;
        }
        let value = std::mem::take(&mut self.value);
        self.size = 0;
        match std::mem::take(&mut self.step) {
            Step::Key => self.key(value),
            Step::Number => Found::Field(0),
            Step::Length { of_content } => match usize::try_from(value) {
                Ok(length) if length <= left && of_content => Found::Content(length),
                Ok(length) if length <= left => Found::Field(length),
                _ => Found::Garbage,
            },
        }
    }

    fn key(&mut self, key: u64) -> Found {
        let (field, wire_type) = (key >> 3, key & 7);
        if field == 0 || key > LARGEST_KEY {
            return Found::Garbage;
        }
        match wire_type {
            0 => self.step = Step::Number,
            1 => return Found::Field(8),
            2 => self.step = Step::Length { of_content: field == RAW_CONTENTS && self.depth == 0 },
            3 => self.depth += 1,
            4 if self.depth > 0 => self.depth -= 1,
            5 => return Found::Field(4),
            _ => return Found::Garbage,
        }
        // The head of a group is a field without content.
        if matches!(self.step, Step::Key) { Found::Field(0) } else { Found::Nothing }
    }
}
