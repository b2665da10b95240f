//! Bodies of requests: read whole, within a size and within a time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout, timeout_at};

use super::refusal::Refusal;
use super::room::Share;

/// A body of which nothing came for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// How long, and how far, a body is read that is refused, so that its client sees why: most send it to the end first.
const LINGER: Duration = Duration::from_secs(5);
const MOST_DISCARDED: usize = 1 << 30;

/// Reads a body of at most `limit` bytes, which are taken from `share`. Small ones are not copied.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Incoming,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, Refusal> {
    let size = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if size > limit {
        discard(headers, body).await;
        return Err(Refusal::TooLarge(limit));
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(data) = next(body).await? {
        let sum = first.len() + all.len() + data.len();
        if sum > limit {
            discard(headers, body).await;
            return Err(Refusal::TooLarge(limit));
        }
        if let Err(refusal) = share.grow(data.len()) {
            discard(headers, body).await;
            return Err(refusal);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(size.max(sum));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The next piece of it; none at its end.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    loop {
        let frame = timeout(STALLED, poll_fn(|context| Pin::new(&mut *body).poll_frame(context)));
        match frame.await {
            Err(_) => return Err(Refusal::TooSlow(STALLED)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(Refusal::Gone),
            Ok(Some(Ok(frame))) => {
                // Trailers say nothing here.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads what is left of a refused body, and lets it be.
pub(super) async fn discard(headers: &HeaderMap, body: &mut Incoming) {
    if headers.contains_key(header::EXPECT) {
        // The client asks before it sends anything.
        return;
    }
    let until = Instant::now() + LINGER;
    let mut left = MOST_DISCARDED;
    while let Ok(Ok(Some(data))) = timeout_at(until, next(body)).await {
        match left.checked_sub(data.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
