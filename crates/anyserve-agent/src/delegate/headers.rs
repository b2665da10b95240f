//! Which of a request's metadata goes on with it.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use std::time::{Duration, Instant};

/// What is a matter of one connection, or is said anew.
const OWN: [HeaderName; 12] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

/// The metadata that another replica should see: all that is the client's, such as trace contexts and credentials.
pub(crate) fn onward(headers: &HeaderMap) -> HeaderMap {
    let is_own = |name: &HeaderName| {
        OWN.contains(name) || name.as_str().starts_with("grpc-") || name == anyserve_proto::metadata::HOPS
    };
    let others = headers.iter().filter(|(name, _)| !is_own(name));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The value of `grpc-timeout` for a call that ends then: up to eight digits and a unit.
pub(super) fn timeout(until: Instant) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let left: Duration = until.saturating_duration_since(Instant::now());
    let text = if left.as_micros() <= MOST {
        format!("{}u", left.as_micros())
    } else if left.as_millis() <= MOST {
        format!("{}m", left.as_millis())
    } else {
        format!("{}S", u128::from(left.as_secs()).min(MOST))
    };
    HeaderValue::try_from(text).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_metadata_goes_on_and_the_connections_does_not() {
        let names = [
            "traceparent",
            "x-cap-type",
            "authorization",
            "te",
            "grpc-timeout",
            "x-anyserve-hops",
            "user-agent",
        ];
        let headers: HeaderMap =
            names.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("1"))).collect();
        let mut left: Vec<_> = onward(&headers).keys().map(|name| name.as_str().to_owned()).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "traceparent", "x-cap-type"]);
    }

    #[test]
    fn a_timeout_has_eight_digits_at_most() {
        let of = |left| timeout(Instant::now() + left).to_str().unwrap().to_owned();
        assert!(of(Duration::from_secs(1)).ends_with('u'));
        assert!(of(Duration::from_secs(1000)).ends_with('m'));
        assert!(of(Duration::from_secs(1 << 20)).ends_with('S'));
        assert_eq!(timeout(Instant::now()), "0u");
    }
}
