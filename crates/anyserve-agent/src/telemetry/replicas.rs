//! What is counted of the fleet.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::metrics::{Page, to_f64};
use crate::replicas::Replicas;

/// The registry as this agent sees it when somebody looks.
#[derive(Debug)]
pub(super) struct ReplicaCounts(pub(super) Arc<Replicas>);

impl Collector for ReplicaCounts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let (mut page, directory) = (Page(encoder), self.0.directory());
        for (name, help, value) in [
            (
                "registry_connected",
                "1 while the registry is followed",
                u64::from(directory.status().connected),
            ),
            ("registry_registered", "1 while the registry has this agent", u64::from(self.0.is_registered())),
            ("registry_replicas", "Replicas that are known", directory.read().len() as u64),
        ] {
            page.gauge(name, help, None, to_f64(value))?;
        }
        Ok(())
    }
}
