//! The counts as text for Prometheus, in the format of `OpenMetrics`.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::delegate::DelegatedCounts;
use super::histogram::Histogram;
use super::objects::ObjectCounts;
use super::replicas::ReplicaCounts;
use super::{OfferStats, Snapshot, memory};
use crate::objects::Objects;
use crate::replicas::Replicas;

/// The type of the text that [`render`] gives.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The states that a worker can be in.
const STATES: [&str; 7] = ["starting", "ready", "busy", "draining", "falling-asleep", "asleep", "waking"];

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// The metrics, as one page of text.
pub(crate) fn render(snapshot: Snapshot, objects: Arc<Objects>, replicas: Option<Arc<Replicas>>) -> String {
    let mut registry = Registry::with_prefix("anyserve");
    registry.register_collector(Box::new(snapshot));
    registry.register_collector(Box::new(ObjectCounts(objects)));
    if let Some(replicas) = replicas {
        registry.register_collector(Box::new(DelegatedCounts(Arc::clone(replicas.delegate()))));
        registry.register_collector(Box::new(ReplicaCounts(replicas)));
    }
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut page, &registry);
    page
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page(encoder);
        let names: Vec<_> = self.queues.iter().map(|queue| queue.capability.to_string()).collect();
        let offers = || names.iter().map(String::as_str).zip(&self.stats.offers);
        self.requests(&mut page, offers())?;
        self.queues(&mut page, &names)?;
        let mut histogram = |name, help, unit: Option<&Unit>, pick: fn(&OfferStats) -> &Histogram| {
            page.histograms(name, help, unit, offers().map(|(name, stats)| (name, pick(stats))))
        };
        let seconds = Some(&Unit::Seconds);
        histogram(
            "queue",
            "From arrival until a worker had the request, once it has ended",
            seconds,
            |stats| &stats.queue,
        )?;
        histogram("handler", "From then until its end", seconds, |stats| &stats.handler)?;
        histogram("first_response", "From arrival to the first response", seconds, |stats| {
            &stats.first_response
        })?;
        histogram("batch_size", "Requests in one call of a handler", None, |stats| &stats.batch_size)?;
        self.pools(&mut page)?;
        self.processes(&mut page)
    }
}

impl Snapshot {
    fn requests<'a>(
        &self,
        page: &mut Page<'_>,
        offers: impl Iterator<Item = (&'a str, &'a OfferStats)> + Clone,
    ) -> Result<(), Error> {
        let outcomes = offers.clone().flat_map(|(name, stats)| {
            let labels = move |outcome| vec![("capability", name), ("outcome", outcome)];
            stats.outcomes.iter().map(move |(&outcome, &count)| (labels(outcome), count))
        });
        page.counters("requests", "Accepted requests that have ended, by gRPC status", outcomes)?;
        let reasons = self.stats.rejections.iter().map(|(&reason, &count)| (vec![("reason", reason)], count));
        page.counters("rejections", "Requests that were not accepted", reasons)?;
        let one = |(name, count)| (vec![("capability", name)], count);
        let responses = offers.clone().map(|(name, stats)| one((name, stats.responses)));
        page.counters("responses", "Responses, those of streams one by one", responses)?;
        let in_flight = offers.map(|(name, stats)| one((name, stats.in_flight)));
        page.gauges(
            "in_flight",
            "Requests that a worker has and a client waits for",
            None,
            in_flight.map(|(labels, count)| (labels, to_f64(count))),
        )
    }

    fn queues(&self, page: &mut Page<'_>, names: &[String]) -> Result<(), Error> {
        let queues = || names.iter().map(|name| vec![("capability", name.as_str())]).zip(&self.queues);
        let depth = queues().map(|(labels, queue)| (labels, to_f64(queue.waiting as u64)));
        page.gauges("queue_depth", "Requests that wait", None, depth)?;
        let oldest = queues().map(|(labels, queue)| (labels, queue.oldest.unwrap_or_default().as_secs_f64()));
        page.gauges("queue_oldest", "How long the oldest request has waited", Some(&Unit::Seconds), oldest)
    }

    fn pools(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let workers = self.pools.iter().flat_map(|pool| {
            STATES.iter().map(move |&state| {
                let count = pool.workers.iter().filter(|&&found| found == state).count();
                (vec![("pool", pool.name.as_str()), ("state", state)], to_f64(count as u64))
            })
        });
        page.gauges("workers", "Worker processes", None, workers)?;
        let decisions = self.stats.decisions.iter();
        let decisions =
            decisions.map(|((pool, step), &count)| (vec![("pool", pool.as_str()), ("step", *step)], count));
        page.counters("decisions", "What was decided about workers", decisions)
    }

    fn processes(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let restarts = self.stats.restarts.iter().map(|(&reason, &count)| (vec![("reason", reason)], count));
        page.counters("worker_restarts", "Workers that ended without being asked to", restarts)?;
        let ready = [(Labels::new(), to_f64(self.ready_workers as u64))];
        page.gauges("workers_ready", "Workers that take requests", None, ready.into_iter())?;
        let workers = self.worker_processes.iter().filter_map(|&process| memory::resident(process)).sum();
        let agent = memory::resident(std::process::id()).unwrap_or_default();
        let memory = [("agent", agent), ("workers", workers)];
        let memory = memory.into_iter().map(|(process, bytes)| (vec![("process", process)], to_f64(bytes)));
        page.gauges("resident_memory", "Resident memory", Some(&Unit::Bytes), memory)
    }
}

/// Where the metrics are written.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

impl Page<'_> {
    pub(super) fn counters<'b>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'b>, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: f64,
    ) -> Result<(), Error> {
        self.gauges(name, help, unit, std::iter::once((Labels::new(), value)))
    }

    fn gauges<'b>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl Iterator<Item = (Labels<'b>, f64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms<'b>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl Iterator<Item = (&'b str, &'b Histogram)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (capability, histogram) in values {
            let labels: Labels<'b> = vec![("capability", capability)];
            let mut metric = metric.encode_family(&labels)?;
            let (sum, count) = (histogram.sum(), histogram.count());
            metric.encode_histogram::<NoLabelSet>(sum, count, &histogram.buckets(), None)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}
