//! The parts of a destination that are still to be filled.

use std::mem;
use std::sync::{Mutex, PoisonError};

/// How large the parts are where there are several connections: small enough that none waits long for the last one,
/// large enough that asking for the next costs nothing.
const PART: usize = 16 << 20;

/// Parts that nobody fills yet. A slow connection takes fewer of them, and holds up none.
#[derive(Debug)]
pub(super) struct Parts<'a>(Mutex<Part<'a>>);

/// A place to fill, from its front to its end.
#[derive(Debug)]
pub(super) struct Part<'a> {
    offset: u64,
    rest: &'a mut [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn of(into: &'a mut [u8]) -> Self {
        Self(Mutex::new(Part { offset: 0, rest: into }))
    }

    /// The next one, if there is any.
    pub(super) fn take(&self) -> Option<Part<'a>> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!left.rest.is_empty()).then(|| left.split_to(PART))
    }
}

impl<'a> Part<'a> {
    /// All of a destination, which may be empty.
    pub(super) fn whole(into: &'a mut [u8]) -> Self {
        Self { offset: 0, rest: into }
    }

    /// Where in the object the missing bytes start.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The place for the bytes that are missing.
    pub(super) fn missing(&mut self) -> &mut [u8] {
        self.rest
    }

    /// The first of them are there.
    pub(super) fn filled(&mut self, count: usize) {
        self.split_to(count);
    }

    fn split_to(&mut self, count: usize) -> Part<'a> {
        let rest = mem::take(&mut self.rest);
        let (first, rest) = rest.split_at_mut(count.min(rest.len()));
        let offset = self.offset;
        self.offset += first.len() as u64;
        self.rest = rest;
        Part { offset, rest: first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_one_part() {
        let mut into = vec![0; 2 * PART + 5];
        let parts = Parts::of(&mut into);
        while let Some(mut part) = parts.take() {
            let offset = part.offset();
            part.missing()[0] += 1;
            part.filled(1);
            assert_eq!(part.offset(), offset + 1);
            part.missing().iter_mut().for_each(|byte| *byte += 1);
        }
        assert!(into.iter().all(|&byte| byte == 1));
    }
}
