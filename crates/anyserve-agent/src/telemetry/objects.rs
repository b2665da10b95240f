//! What is counted of objects.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::metrics::{Page, to_f64};
use crate::objects::{Count, Objects, Spill, WorkerMemory};

/// The objects, as they are counted when somebody looks.
#[derive(Debug)]
pub(super) struct ObjectCounts(pub(super) Arc<Objects>);

impl Collector for ObjectCounts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let (mut page, objects) = (Page(encoder), &self.0);
        let (count, bytes, pinned) = objects.store().totals();
        let budget = objects.store().budget();
        let spill_size = objects.store().spill().map_or(0, Spill::size);
        let (_, spilled) = objects.store().spilled();
        let workers = objects.workers();
        let leases: (usize, u64) = workers
            .iter()
            .map(|worker| WorkerMemory::totals(worker))
            .fold((0, 0), |sum, worker| (sum.0 + worker.0, sum.1 + worker.1));
        let size = Some(&Unit::Bytes);
        for (name, help, unit, value) in [
            ("objects", "Objects that are in memory", None, count as u64),
            ("object_size", "The size of these objects", size, bytes),
            ("object_pinned", "The size of those that are pinned", size, pinned),
            ("object_store_size", "What the object store has in all", size, budget.limit()),
            ("object_store_used", "What objects and requests hold of it", size, budget.used()),
            (
                "object_spill_size",
                "What the file for objects that had to leave memory has in all",
                size,
                spill_size,
            ),
            ("object_spilled", "What these objects take of it", size, spilled),
            ("object_leases", "What workers hold of it", None, leases.0 as u64),
            ("object_leased", "The size of what workers hold", size, leases.1),
        ] {
            page.gauge(name, help, unit, to_f64(value))?;
        }
        self.events(&mut page)?;
        let pulled = [(Vec::new(), objects.pulls().pulled_bytes.get())];
        page.counters("object_pulled_bytes", "Bytes that came from other agents", pulled.into_iter())?;
        let copied = [
            (vec![("where", "ingest")], objects.landing().copied()),
            (vec![("where", "client_shm")], objects.client_shm().copied.get()),
        ];
        page.counters(
            "copied_bytes",
            "Bytes of large contents that were copied in memory",
            copied.into_iter(),
        )
    }
}

impl ObjectCounts {
    fn events(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let (objects, counts) = (&self.0, self.0.store().counts());
        let spill = objects.store().spill();
        let of_spill = |count: fn(&Spill) -> &Count| spill.map_or(0, |spill| count(spill).get());
        let events = [
            ("created", counts.created.get()),
            ("hit", counts.hits.get()),
            ("miss", counts.misses.get()),
            ("evicted", counts.evicted.get()),
            ("spilled", of_spill(|spill| &spill.spilled)),
            ("loaded", of_spill(|spill| &spill.loaded)),
            ("spill_failed", of_spill(|spill| &spill.failed)),
            ("expired", counts.expired.get()),
            ("deleted", counts.deleted.get()),
            ("pull_failed", objects.pulls().failed.get()),
        ];
        let events = events.into_iter().map(|(event, count)| (vec![("event", event)], count));
        page.counters("object_events", "What happened to objects, and to those who looked for them", events)
    }
}
