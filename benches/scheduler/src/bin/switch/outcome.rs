//! What became of the requests.

use std::time::Duration;

use crate::model::{Request, Setting};

#[derive(Debug)]
pub(crate) struct Outcome {
    /// From arrival to first response; none for what was refused.
    pub(crate) waits: Vec<Option<Duration>>,
    /// How often a model was loaded.
    pub(crate) loads: usize,
}

/// What is reported, in the time of reality.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// Of all requests.
    pub(crate) met: f64,
    /// Requests per second that were in time.
    pub(crate) goodput: f64,
    pub(crate) loads: usize,
    pub(crate) refused: f64,
    /// Of the waits for the first response, of those that were not refused.
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
    /// Of the model that fared worst: how many of its requests were in time.
    pub(crate) worst_met: f64,
    /// The mean over the models, each counted alike.
    pub(crate) mean_met: f64,
}

impl Outcome {
    pub(crate) fn new(requests: usize) -> Self {
        Self { waits: vec![None; requests], loads: 0 }
    }

    pub(crate) fn summary(&self, requests: &[Request], setting: &Setting) -> Summary {
        let slo = setting.scaled(setting.slo);
        let met = |wait: &Option<Duration>| wait.is_some_and(|wait| wait <= slo);
        let share = |of: &[&Option<Duration>]| ratio(of.iter().filter(|wait| met(wait)).count(), of.len());
        let all: Vec<_> = self.waits.iter().collect();
        let by_model: Vec<f64> = (0..setting.models)
            .filter_map(|model| {
                let own = requests.iter().zip(&self.waits).filter(|(request, _)| request.model == model);
                let own: Vec<_> = own.map(|(_, wait)| wait).collect();
                (!own.is_empty()).then(|| share(&own))
            })
            .collect();
        let mut waits: Vec<_> = self.waits.iter().flatten().map(|wait| wait.mul_f64(setting.speed)).collect();
        waits.sort_unstable();
        let length = requests.last().map_or(1.0, |last| last.arrival.as_secs_f64()) * setting.speed;
        Summary {
            met: share(&all),
            goodput: share(&all) * float(all.len()) / length,
            loads: self.loads,
            refused: 1.0 - ratio(waits.len(), all.len()),
            median: quantile(&waits, 50),
            p99: quantile(&waits, 99),
            longest: quantile(&waits, 100),
            worst_met: by_model.iter().copied().fold(1.0, f64::min),
            mean_met: by_model.iter().sum::<f64>() / float(by_model.len()),
        }
    }
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

fn ratio(some: usize, all: usize) -> f64 {
    float(some) / float(all.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "no trace has 2^52 requests")]
fn float(count: usize) -> f64 {
    count as f64
}
