//! What is counted of the requests that other replicas served.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::metrics::Page;
use crate::delegate::Delegate;

/// The counts when somebody looks.
#[derive(Debug)]
pub(super) struct DelegatedCounts(pub(super) Arc<Delegate>);

impl Collector for DelegatedCounts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let counts = self.0.counts().get();
        let counts = counts.iter().flat_map(|(replica, outcomes)| {
            let labels = move |outcome| vec![("replica", replica.as_str()), ("outcome", outcome)];
            outcomes.iter().map(move |(&outcome, &count)| (labels(outcome), count))
        });
        Page(encoder).counters(
            "delegated_requests",
            "Requests that were passed on, by replica and gRPC status",
            counts,
        )
    }
}
