//! The layout of a `BYTES` tensor in a client's file: checked without a look through the mapping, and without a copy of
//! all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyserve_proto::tensor::{TensorError, element_count};

/// How many bytes are read at once.
const CHUNK: usize = 64 << 10;

/// A part of a file, of which the last bytes that were read are kept.
struct Part<'a> {
    file: &'a File,
    start: u64,
    size: u64,
    chunk: Vec<u8>,
    /// Where the chunk starts in the part.
    at: u64,
}

/// Checks that those bytes of the file hold exactly a `BYTES` tensor of that shape. Fails if they cannot be read.
pub(super) fn check(
    file: &File,
    start: u64,
    size: u64,
    shape: &[i64],
) -> io::Result<Result<(), TensorError>> {
    let needed = match element_count(shape) {
        Ok(needed) => needed,
        Err(error) => return Ok(Err(error)),
    };
    let mut part = Part { file, start, size, chunk: Vec::new(), at: 0 };
    let (mut offset, mut found) = (0, 0);
    // One too many is enough to know.
    while offset < size && found <= needed {
        let claimed = part.length_at(offset)?;
        let left = size - offset - 4.min(size - offset);
        match claimed.filter(|&claimed| claimed <= left) {
            Some(claimed) => offset += 4 + claimed,
            None => return Ok(Err(lying(found, offset, claimed, size - offset))),
        }
        found += 1;
    }
    let wrong = || TensorError::WrongCount { shape: shape.to_vec(), needed, found };
    Ok(if found == needed { Ok(()) } else { Err(wrong()) })
}

fn lying(index: u64, offset: u64, claimed: Option<u64>, rest: u64) -> TensorError {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    // Without a whole length, that is what is missing.
    let left = if claimed.is_some() { rest - 4 } else { rest };
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    TensorError::LyingLength { index, offset, claimed: claimed.unwrap_or(4), left }
}

impl Part<'_> {
    /// The length that stands there; none if not even that is whole.
    fn length_at(&mut self, offset: u64) -> io::Result<Option<u64>> {
        if self.size - offset < 4 {
            return Ok(None);
        }
        if let Some(length) = self.kept(offset) {
            return Ok(Some(length));
        }
        let size = usize::try_from(self.size - offset).unwrap_or(CHUNK).min(CHUNK);
        self.chunk.resize(size, 0);
        self.file.read_exact_at(&mut self.chunk, self.start + offset)?;
        self.at = offset;
        Ok(self.kept(offset))
    }

    fn kept(&self, offset: u64) -> Option<u64> {
        let from = usize::try_from(offset.checked_sub(self.at)?).ok()?;
        let length = self.chunk.get(from..)?.first_chunk::<4>()?;
        Some(u64::from(u32::from_le_bytes(*length)))
    }
}

#[cfg(test)]
mod tests {
    use anyserve_proto::tensor::{self, Datatype};
    use proptest::prelude::*;
    use rustix::fs::MemfdFlags;

    use super::*;

    fn file_of(before: usize, content: &[u8]) -> File {
        let file = File::from(rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
        file.write_all_at(content, before as u64).unwrap();
        file
    }

    fn bytes_of(lengths: &[usize]) -> Vec<u8> {
        let element =
            |&length: &usize| [&u32::try_from(length).unwrap().to_le_bytes()[..], &vec![7; length]].concat();
        lengths.iter().flat_map(element).collect()
    }

    #[test]
    fn elements_larger_than_a_chunk_and_across_its_end() {
        let raw = bytes_of(&[CHUNK - 6, 3, 2 * CHUNK, 0, 1]);
        let file = file_of(100, &raw);
        let size = raw.len() as u64;
        assert_eq!(check(&file, 100, size, &[5]).unwrap(), Ok(()));
        assert!(check(&file, 100, size, &[4]).unwrap().is_err());
        assert!(check(&file, 100, size + 1, &[5]).is_err(), "that is behind the end of the file");
    }

    proptest! {
        /// The same verdict as on bytes that are at hand.
        #[test]
        fn as_in_memory(lengths in prop::collection::vec(0..40_usize, 0..20), cut in 0..10_usize, count in 0..20_i64) {
            let mut raw = bytes_of(&lengths);
            raw.truncate(raw.len().saturating_sub(cut));
            let expected = tensor::check(Datatype::Bytes, &[count], &raw);
            let found = check(&file_of(3, &raw), 3, raw.len() as u64, &[count]).unwrap();
            // Counting stops early, so what is wrong first may differ.
            prop_assert_eq!(found.is_ok(), expected.is_ok());
        }
    }
}
