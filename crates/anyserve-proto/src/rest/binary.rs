//! What follows the JSON of a request.

use bytes::Bytes;

use super::error::RestError;

/// What follows the JSON and was not taken yet.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) rest: Bytes,
    /// The client has said that something follows.
    pub(super) follows: bool,
}

impl Binary {
    pub(super) fn take(&mut self, size: usize, place: &str) -> Result<Bytes, RestError> {
        if !self.follows && size > 0 {
            return Err(RestError::Invalid(format!(
                "{place} has 'binary_data_size', but the request has no header Inference-Header-Content-Length; \
                 it must say how many bytes the JSON has"
            )));
        }
        let left = self.rest.len();
        if size > left {
            return Err(RestError::Invalid(format!(
                "{place} has 'binary_data_size' {size}, but only {left} bytes are left of the body"
            )));
        }
        Ok(self.rest.split_to(size))
    }

    pub(super) fn end(&self) -> Result<(), RestError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(RestError::Invalid(format!(
                "{left} bytes of the body belong to no input; the inputs' 'binary_data_size' must add up to what \
                 follows the JSON"
            ))),
        }
    }
}
