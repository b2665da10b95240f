//! The trace context of a request, which goes on with whatever is called for it.

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// The metadata of <https://www.w3.org/TR/trace-context/> and <https://www.w3.org/TR/baggage/>.
const KEYS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// What a client said of the trace that its request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace(Vec<(&'static str, MetadataValue<Ascii>)>);

impl Trace {
    /// That of a request, if it has one.
    pub(crate) fn of(metadata: &MetadataMap) -> Option<Self> {
        let found: Vec<_> = KEYS.iter().filter_map(|&key| Some((key, metadata.get(key)?.clone()))).collect();
        (!found.is_empty()).then_some(Self(found))
    }

    /// Lets another request say the same.
    pub(crate) fn add_to(&self, metadata: &mut MetadataMap) {
        for (key, value) in &self.0 {
            metadata.insert(*key, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_trace_goes_on() {
        let mut metadata = MetadataMap::new();
        assert_eq!(Trace::of(&metadata), None);
        for key in ["traceparent", "baggage", "authorization"] {
            metadata.insert(key, MetadataValue::from_static("00-1-2-01"));
        }
        let mut onward = MetadataMap::new();
        Trace::of(&metadata).unwrap().add_to(&mut onward);
        assert_eq!(onward.len(), 2);
        assert_eq!(onward.get("traceparent"), metadata.get("traceparent"));
    }
}
