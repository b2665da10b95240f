//! What is served: the requests of a trace, split over models, and how long the machine takes for them.

use std::time::Duration;

use anyserve_bench_scheduler::Random;
use anyserve_bench_scheduler::trace;

/// The machine, the models and the traffic. Times are real ones; [`Setting::speed`] shortens all of them alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Everything goes so many times as fast as in reality.
    pub(crate) speed: f64,
    pub(crate) models: usize,
    /// The exponent: the n-th most popular model is asked for n to that power times less than the first.
    pub(crate) zipf: f64,
    /// How many models the machine holds at once.
    pub(crate) room: usize,
    /// How many requests a worker serves at once, each as if it were alone.
    pub(crate) parallel: usize,
    pub(crate) load: Duration,
    pub(crate) unload: Duration,
    pub(crate) prefill_per_token: Duration,
    pub(crate) decode_per_token: Duration,
    /// From arrival to first token.
    pub(crate) slo: Duration,
    /// Requests come so many times as often as in the trace.
    pub(crate) traffic: f64,
}

/// A request as the simulations see it, in their time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) arrival: Duration,
    pub(crate) model: usize,
    /// From its assignment to its first token.
    pub(crate) prefill: Duration,
    /// From its assignment to its last.
    pub(crate) service: Duration,
}

impl Setting {
    pub(crate) const USUAL: Self = Self {
        speed: 60.0,
        models: 20,
        zipf: 1.0,
        room: 4,
        parallel: 32,
        load: Duration::from_secs(5),
        unload: Duration::from_millis(500),
        prefill_per_token: Duration::from_micros(200),
        decode_per_token: Duration::from_millis(25),
        slo: Duration::from_secs(10),
        traffic: 1.0,
    };

    /// In words.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} models by Zipf {}, room for {}, {} requests at once per worker, {:?} to load and {:?} to unload, {:?} per \
             prompt token to the first response, {:?} per further token, SLO {:?} to the first response; all of it {} times \
             as fast, and reported as if it were not.",
            self.models,
            self.zipf,
            self.room,
            self.parallel,
            self.load,
            self.unload,
            self.prefill_per_token,
            self.decode_per_token,
            self.slo,
            self.speed
        )
    }

    /// A time of reality in the simulation.
    pub(crate) fn scaled(&self, time: Duration) -> Duration {
        time.div_f64(self.speed)
    }

    /// The requests of a trace, each for a model by Zipf's law.
    pub(crate) fn requests(&self, trace: &[trace::Request]) -> Vec<Request> {
        let mut random = Random(7);
        let shares = self.shares();
        let requests = trace.iter().map(|request| {
            let prefill = self.prefill_per_token * request.context_tokens;
            let service = prefill + self.decode_per_token * request.generated_tokens;
            #[expect(clippy::cast_precision_loss, reason = "it is below 2^33")]
            let point = random.below(1 << 30) as f64 / f64::from(1 << 30);
            let model = shares.iter().position(|&share| point < share).unwrap_or_default();
            Request {
                arrival: self.scaled(request.arrival).div_f64(self.traffic),
                model,
                prefill: self.scaled(prefill),
                service: self.scaled(service),
            }
        });
        requests.collect()
    }

    /// How much of the traffic each model and those before it have.
    fn shares(&self) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "there are few models")]
        let weights: Vec<_> = (1..=self.models).map(|rank| (rank as f64).powf(-self.zipf)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let add = |weight| {
            sum += weight / total;
            sum
        };
        weights.into_iter().map(add).collect()
    }
}
