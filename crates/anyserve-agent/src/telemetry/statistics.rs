//! KServe's `ModelStatistics`, from the same counts as the metrics.

use anyserve_core::Capability;
use anyserve_proto::inference::{InferBatchStatistics, InferStatistics, ModelStatistics, StatisticDuration};

use super::stats::{OfferStats, Total};

/// What one capability has served, under the name that the client asked for.
pub(crate) fn statistics(name: String, version: String, stats: &OfferStats) -> ModelStatistics {
    let batches = stats.batches.iter().map(|(&batch_size, &total)| InferBatchStatistics {
        batch_size,
        compute_infer: Some(duration(total)),
        ..Default::default()
    });
    ModelStatistics {
        name,
        version,
        last_inference: stats.last,
        inference_count: stats.success.count,
        execution_count: stats.batch_size.count(),
        inference_stats: Some(InferStatistics {
            success: Some(duration(stats.success)),
            fail: Some(duration(stats.failure)),
            queue: Some(of_seconds(stats.queue.count(), stats.queue.sum())),
            compute_infer: Some(of_seconds(stats.handler.count(), stats.handler.sum())),
            ..Default::default()
        }),
        batch_stats: batches.collect(),
        ..Default::default()
    }
}

/// The name under which a capability is listed: its model, else its type, else all of it.
pub(crate) fn listed_name(capability: &Capability) -> String {
    let named = capability.get("model").or_else(|| capability.get("type"));
    named.map_or_else(|| capability.to_string(), str::to_owned)
}

fn duration(total: Total) -> StatisticDuration {
    StatisticDuration { count: total.count, ns: u64::try_from(total.time.as_nanos()).unwrap_or(u64::MAX) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of times is positive")]
fn of_seconds(count: u64, seconds: f64) -> StatisticDuration {
    StatisticDuration { count, ns: (seconds * 1e9) as u64 }
}
