//! Frames to bytes and back; no I/O.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::{ChannelError, INLINE_LIMIT};

/// A message's tensors: their raw contents in order.
pub type Payload = Vec<Bytes>;

/// The length of a frame's head: two `u32`.
const HEAD: usize = 8;

/// In a larger payload every content starts at a multiple of this in memory, so that an array can be a view of it.
const ALIGNMENT: usize = 64;

static PADDING: [u8; ALIGNMENT] = [0; ALIGNMENT];

/// The most bytes that a frame takes for a message of that size, and these contents.
pub fn framed_size<'a>(message: usize, contents: impl IntoIterator<Item = &'a Bytes>) -> u64 {
    // Each content has its size in the message, and may be padded.
    let content = |content: &Bytes| content.len() + 10 + ALIGNMENT;
    (HEAD + 64 + message + contents.into_iter().map(content).sum::<usize>()) as u64
}

/// A frame as the pieces to write, in order.
pub(crate) fn encode(message: &impl Message, payload: &[Bytes]) -> Result<Vec<Bytes>, ChannelError> {
    let content_len: usize = payload.iter().map(Bytes::len).sum();
    // A small frame is written as one piece.
    let copied = content_len <= INLINE_LIMIT;
    let padding = |part: &Bytes| if copied { 0 } else { part.len().next_multiple_of(ALIGNMENT) - part.len() };
    let payload_len = content_len + payload.iter().map(padding).sum::<usize>();
    let message_len = message.encoded_len();
    let too_large =
        |_| ChannelError::TooLarge { found: (message_len + payload_len) as u64, limit: u64::from(u32::MAX) };
    let head =
        (u32::try_from(message_len).map_err(too_large)?, u32::try_from(payload_len).map_err(too_large)?);
    let mut out = BytesMut::with_capacity(HEAD + message_len + if copied { payload_len } else { 0 });
    out.put_u32_le(head.0);
    out.put_u32_le(head.1);
    message.encode_raw(&mut out);
    if copied {
        for part in payload {
            out.put_slice(part);
        }
        return Ok(vec![out.freeze()]);
    }
    let padded = |part: &Bytes| [part.clone(), Bytes::from_static(&PADDING[..padding(part)])];
    let parts = payload.iter().flat_map(padded).filter(|part| !part.is_empty());
    Ok(std::iter::once(out.freeze()).chain(parts).collect())
}

/// Takes one frame off the front of `buffer`, or makes room for the rest of it.
pub(crate) fn decode<M: Message + Default>(
    buffer: &mut BytesMut,
    limit: u64,
) -> Result<Option<(M, Bytes)>, ChannelError> {
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [m0, m1, m2, m3, p0, p1, p2, p3] = *head;
    let message_len = u32::from_le_bytes([m0, m1, m2, m3]) as usize;
    let payload_len = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
    let total = HEAD + message_len + payload_len;
    if total as u64 > limit {
        return Err(ChannelError::TooLarge { found: total as u64, limit });
    }
    if payload_len > INLINE_LIMIT {
        align(buffer, HEAD + message_len, total);
    }
    if buffer.len() < total {
        buffer.reserve(total - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(total).freeze();
    let payload = frame.split_off(HEAD + message_len);
    let message = M::decode(frame.split_off(HEAD))?;
    Ok(Some((message, payload)))
}

/// Moves what has arrived of a frame to where its payload, at `offset`, is aligned; there is room for all of it then.
fn align(buffer: &mut BytesMut, offset: usize, total: usize) {
    let misaligned = |start: *const u8| (start as usize + offset) % ALIGNMENT;
    if misaligned(buffer.as_ptr()) == 0 && buffer.capacity() >= total {
        return;
    }
    let mut aligned = BytesMut::with_capacity(total.max(buffer.len()) + ALIGNMENT);
    let skip = ALIGNMENT - misaligned(aligned.as_ptr());
    aligned.put_slice(&PADDING[..skip]);
    aligned.advance(skip);
    aligned.put_slice(buffer);
    *buffer = aligned;
}

/// Cuts a frame's payload into the contents of its tensors.
pub fn split_payload(mut payload: Bytes, sizes: &[u64]) -> Result<Payload, ChannelError> {
    let found = payload.len() as u64;
    let sum = |size: fn(u64) -> Option<u64>| {
        sizes.iter().try_fold(0_u64, |sum, &next| sum.checked_add(size(next)?))
    };
    let content_len = sum(Some);
    let aligned = content_len.is_none_or(|content_len| content_len > INLINE_LIMIT as u64);
    let claimed =
        if aligned { sum(|size| size.checked_next_multiple_of(ALIGNMENT as u64)) } else { content_len };
    if claimed != Some(found) {
        return Err(ChannelError::PayloadSize { found, claimed: claimed.unwrap_or(u64::MAX) });
    }
    let mut cut = |&size: &u64| {
        // Each size is at most the payload's length, which is a usize.
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut content = payload.split_to(if aligned { size.next_multiple_of(ALIGNMENT) } else { size });
        content.truncate(size);
        content
    };
    Ok(sizes.iter().map(&mut cut).collect())
}

#[cfg(test)]
mod tests {
    use anyserve_proto::worker::{Assign, Reply};
    use proptest::prelude::*;

    use super::*;

    fn assign(sizes: &[u64]) -> Assign {
        Assign { request: 7, payload_sizes: sizes.to_vec(), ..Default::default() }
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let large = Bytes::from(vec![3; INLINE_LIMIT + 1]);
        let small = Bytes::from_static(b"ab");
        let mut wire = BytesMut::new();
        for payload in [vec![large.clone(), small.clone()], vec![], vec![small]] {
            let sizes: Vec<_> = payload.iter().map(|part| part.len() as u64).collect();
            encode(&assign(&sizes), &payload).unwrap().iter().for_each(|piece| wire.put_slice(piece));
        }
        for step in [1, 7, 4096, wire.len()] {
            let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
            for piece in wire.chunks(step) {
                buffer.put_slice(piece);
                while let Some((message, payload)) = decode::<Assign>(&mut buffer, 1 << 20).unwrap() {
                    frames.push(split_payload(payload, &message.payload_sizes).unwrap());
                }
            }
            assert!(buffer.is_empty());
            let sizes: Vec<Vec<_>> =
                frames.iter().map(|frame| frame.iter().map(Bytes::len).collect()).collect();
            assert_eq!(sizes, [vec![INLINE_LIMIT + 1, 2], vec![], vec![2]]);
            assert!(frames[0].iter().all(|content| (content.as_ptr() as usize).is_multiple_of(ALIGNMENT)));
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&[0xff; 8][..]);
        let error = decode::<Assign>(&mut buffer, 1000).unwrap_err();
        assert!(matches!(error, ChannelError::TooLarge { limit: 1000, .. }));
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused() {
        for sizes in [&[1_u64, 1][..], &[4], &[u64::MAX, 4], &[]] {
            assert!(split_payload(Bytes::from_static(b"abc"), sizes).is_err());
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(garbage: Vec<u8>) {
            let mut buffer = BytesMut::from(&garbage[..]);
            while let Ok(Some((reply, payload))) = decode::<Reply>(&mut buffer, 1 << 16) {
                let _ = split_payload(payload, &reply.payload_sizes);
            }
        }
    }
}
