//! Which replicas have passed a request on: it goes to none of them again, and not on for ever.

use anyserve_core::ReplicaId;
use anyserve_proto::metadata::HOPS;
use http::{HeaderMap, HeaderValue};

/// How many replicas may pass a request on.
const MOST_HOPS: usize = 2;

/// The replicas that have, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hops(Vec<ReplicaId>);

impl Hops {
    /// Those that the headers name; none if the request may not be passed on any further.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(HOPS).iter();
        // Whoever writes what cannot be read may have passed it on for ever.
        let names: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
        let names = names?;
        let ids =
            names.iter().flat_map(|names| names.split(',')).map(|name| ReplicaId::new(name.trim()).ok());
        let ids: Option<Vec<_>> = ids.collect();
        ids.filter(|ids| ids.len() < MOST_HOPS).map(Self)
    }

    /// All of them.
    pub(super) fn replicas(&self) -> &[ReplicaId] {
        &self.0
    }

    /// What the headers say after one more.
    pub(super) fn and(&self, id: &ReplicaId) -> HeaderValue {
        let names: Vec<_> = self.0.iter().chain([id]).map(ReplicaId::as_str).collect();
        HeaderValue::try_from(names.join(",")).expect("an id is visible ASCII text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (HOPS.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn two_may_pass_a_request_on() {
        let none = Hops::of(&headers(&[])).unwrap();
        let id = |name| ReplicaId::new(name).unwrap();
        assert_eq!(none.and(&id("a")), "a");
        let one = Hops::of(&headers(&["a"])).unwrap();
        assert_eq!(one.replicas(), [id("a")]);
        assert_eq!(one.and(&id("b")), "a,b");
        for end in [&["a,b"][..], &["a", "b"], &["a, b, c"], &["a,,"], &[""], &["a b"]] {
            assert_eq!(Hops::of(&headers(end)), None, "{end:?}");
        }
    }
}
