//! Writes JSON.

use super::string;

/// A JSON text that grows. Commas come by themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
}

impl Writer {
    /// An object; `members` writes what is in it.
    pub(super) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'{');
        members(self);
        self.out.push(b'}');
    }

    /// An array; `items` writes what is in it.
    pub(super) fn array(&mut self, items: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'[');
        items(self);
        self.out.push(b']');
    }

    /// The name of a member; its value is to be written next.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.out.push(b':');
        self
    }

    pub(super) fn text(&mut self, text: &str) {
        self.separate();
        string::write(&mut self.out, text);
    }

    pub(super) fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) {
        self.array(|items| texts.into_iter().for_each(|text| items.text(text)));
    }

    pub(super) fn integer(&mut self, value: impl itoa::Integer) {
        self.separate();
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A number as short as it can be read back from.
    pub(super) fn float(&mut self, value: impl zmij::Float + Into<f64> + Copy) {
        self.separate();
        match value.into() {
            wide if wide.is_nan() => self.out.extend_from_slice(b"NaN"),
            wide if wide == f64::INFINITY => self.out.extend_from_slice(b"Infinity"),
            wide if wide == f64::NEG_INFINITY => self.out.extend_from_slice(b"-Infinity"),
            _ => self.out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        }
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.separate();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn null(&mut self) {
        self.separate();
        self.out.extend_from_slice(b"null");
    }

    /// Writes the comma behind the value before, if there is one. No value ends with one of these.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }
}
