//! Members of an object: which there must be, and none twice.

use super::error::RestError;

/// The members of an object that have been there.
#[derive(Debug)]
pub(super) struct Seen {
    place: &'static str,
    names: Vec<String>,
}

impl Seen {
    pub(super) fn new(place: &'static str) -> Self {
        Self { place, names: Vec::new() }
    }

    pub(super) fn once(&mut self, name: &str) -> Result<(), RestError> {
        if self.names.iter().any(|seen| seen == name) {
            return Err(RestError::Twice { place: self.place.to_owned(), field: name.to_owned() });
        }
        self.names.push(name.to_owned());
        Ok(())
    }

    pub(super) fn must_have(&self, name: &'static str) -> Result<(), RestError> {
        if self.names.iter().any(|seen| seen == name) { Ok(()) } else { Err(missing(self.place, name)) }
    }
}

/// An object lacks a member.
pub(super) fn missing(place: &str, field: &'static str) -> RestError {
    RestError::Missing { place: place.to_owned(), field }
}
