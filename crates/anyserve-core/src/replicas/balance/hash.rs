//! Hashes that every process computes alike, and numbers drawn from a seed.

/// The key of a request, for [`Choice::key`](super::Choice::key): the same in every process and every version.
pub fn key_of(text: &[u8]) -> u64 {
    fnv(text)
}

/// How much a key wants that replica (rendezvous hashing: the one that it wants most has it). A replica that comes takes
/// its share of the keys from all others, one that goes leaves its keys to all others, and no other key moves.
pub(super) fn affinity(key: u64, replica: &str) -> u64 {
    mix(key ^ mix(fnv(replica.as_bytes())))
}

/// FNV-1a.
pub(super) fn fnv(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The last step of `SplitMix64`: every bit depends on every bit.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// `SplitMix64`.
#[derive(Debug)]
pub(super) struct Draw(pub(super) u64);

impl Draw {
    /// A number from 0 up to `end`, which is over 0, without it.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let product = u128::from(mix(self.0)) * end as u128;
        usize::try_from(product >> 64).expect("it is less than `end`")
    }
}
