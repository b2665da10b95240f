//! What goes over the wire between two agents; no I/O. All numbers are little-endian.
//!
//! ```text
//!   reader                                  owner
//!     | -- hello: "anyobj", version u16 ----> |     once per connection
//!     | -- request -------------------------> |
//!     |      id [16], offset u64, length u64, |
//!     |      flags u8                         |
//!     | <-- head: status u8, size u64 ------- |
//!     | <-- chunk, its CRC-32 u32 if asked -- |     only if found; until `length` bytes have come
//!     | -- request -------------------------> |     any number of them, one after the other
//!     | -- keys: 0 [16], count u64, size u64, |
//!     |      flags u8, the keys ------------> |     what is asked for may be keys, too
//!     | <-- head, what was found ------------ |     as many bytes as the head says
//! ```
//!
//! The first chunk starts at `offset`; each is [`CHUNK`] bytes long but for the last. The size in the head is that of
//! the whole object, or of what was found; where the version is refused it is the version that the owner speaks. Whoever sends anything else is
//! cut off.

use anyserve_core::ObjectId;

use super::keys::{MOST_BYTES, MOST_KEYS};

/// How much is covered by one checksum, and how much is sent before others have their turn.
pub(super) const CHUNK: usize = 1 << 20;

pub(super) const HELLO_BYTES: usize = 8;
pub(super) const REQUEST_BYTES: usize = 33;
pub(super) const HEAD_BYTES: usize = 9;
pub(super) const CHECKSUM_BYTES: usize = 4;

/// Changes with every change of what is said here.
pub(super) const VERSION: u16 = 2;
const MAGIC: [u8; 6] = *b"anyobj";
/// A flag: a checksum after each chunk.
const CHECKSUM: u8 = 1;
/// The other: it is no part of an object that is asked for, but keys.
const KEYS: u8 = 2;

/// A part of an object that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: ObjectId,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) checksum: bool,
}

/// What a reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A part of an object.
    Part(Request),
    /// The objects of so many keys, which follow in so many bytes.
    Keys { count: usize, bytes: usize },
}

/// What is said before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: Status,
    pub(super) size: u64,
}

/// Whether there are any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The bytes follow.
    Found = 0,
    /// There is no such object.
    Gone = 1,
    /// The object has no such part.
    OutOfRange = 2,
    /// The owner speaks another version, and hangs up.
    Version = 3,
}

/// What was said first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Agent,
    /// An agent of another version.
    OtherVersion,
    Stranger,
}

pub(super) fn hello() -> [u8; HELLO_BYTES] {
    let mut bytes = [0; HELLO_BYTES];
    bytes[..6].copy_from_slice(&MAGIC);
    bytes[6..].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

pub(super) fn check_hello(bytes: [u8; HELLO_BYTES]) -> Hello {
    if bytes == hello() {
        return Hello::Agent;
    }
    if bytes.starts_with(&MAGIC) { Hello::OtherVersion } else { Hello::Stranger }
}

/// The checksum as it is on the wire.
pub(super) fn checksum(chunk: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32fast::hash(chunk).to_le_bytes()
}

impl Request {
    pub(super) fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut bytes = [0; REQUEST_BYTES];
        bytes[..16].copy_from_slice(self.id.as_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        bytes[32] = u8::from(self.checksum) * CHECKSUM;
        bytes
    }
}

impl Asked {
    pub(super) fn encode(&self) -> [u8; REQUEST_BYTES] {
        match *self {
            Self::Part(request) => request.encode(),
            Self::Keys { count, bytes } => {
                let (id, offset, length) = (ObjectId::from_bytes([0; 16]), count as u64, bytes as u64);
                let mut encoded = Request { id, offset, length, checksum: false }.encode();
                encoded[32] = KEYS;
                encoded
            }
        }
    }

    /// None if there is a flag that nobody knows, or more than may be asked for at once.
    pub(super) fn decode(bytes: &[u8; REQUEST_BYTES]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (offset, length) = (u64::from_le_bytes(*offset), u64::from_le_bytes(*length));
        let most = |number: u64, most: usize| usize::try_from(number).ok().filter(|&number| number <= most);
        match rest {
            [flags @ (0 | CHECKSUM)] => {
                let (id, checksum) = (ObjectId::from_bytes(*id), *flags == CHECKSUM);
                Some(Self::Part(Request { id, offset, length, checksum }))
            }
            [KEYS] => Some(Self::Keys { count: most(offset, MOST_KEYS)?, bytes: most(length, MOST_BYTES)? }),
            _ => None,
        }
    }
}

impl Head {
    pub(super) fn encode(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [self.status as u8; HEAD_BYTES];
        bytes[1..].copy_from_slice(&self.size.to_le_bytes());
        bytes
    }

    /// None if there is no such status.
    pub(super) fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (status, size) = bytes.split_first_chunk()?;
        let status = match status {
            [0] => Status::Found,
            [1] => Status::Gone,
            [2] => Status::OutOfRange,
            [3] => Status::Version,
            _ => return None,
        };
        Some(Self { status, size: u64::from_le_bytes(size.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_is_understood(id: [u8; 16], offset: u64, length: u64, checksum: bool, status in 0..4_u8) {
            let request = Request { id: ObjectId::from_bytes(id), offset, length, checksum };
            let asked = Asked::Part(request);
            prop_assert_eq!(Asked::decode(&asked.encode()), Some(asked));
            let mut bytes = [status; HEAD_BYTES];
            bytes[1..].copy_from_slice(&offset.to_le_bytes());
            let head = Head::decode(&bytes).unwrap();
            prop_assert_eq!(head.size, offset);
            prop_assert_eq!(head.encode(), bytes);
        }
    }

    #[test]
    fn what_nobody_sends_is_refused() {
        assert_eq!(Asked::decode(&[0xff; REQUEST_BYTES]), None);
        for (count, bytes) in [(MOST_KEYS, MOST_BYTES), (MOST_KEYS + 1, 0), (1, MOST_BYTES + 1)] {
            let asked = Asked::Keys { count, bytes };
            let fits = count <= MOST_KEYS && bytes <= MOST_BYTES;
            assert_eq!(Asked::decode(&asked.encode()), fits.then_some(asked));
        }
        assert_eq!(Head::decode(&[4; HEAD_BYTES]), None);
        assert_eq!(check_hello(hello()), Hello::Agent);
        assert_eq!(check_hello(*b"anyobj\xff\xff"), Hello::OtherVersion);
        assert_eq!(check_hello(*b"GET / HT"), Hello::Stranger);
    }
}
