//! Whether a request may wait: the limits, and what its wait is going to be.

use std::time::Duration;

use super::backlog::Share;
use super::types::{Ask, OfferId, Rejection, Time};
use super::worker::Room;
use super::{AGED_TURN, Scheduler};

/// A predicted wait may use up one part in so many of an SLO; the rest is for what a prediction cannot know.
const HEADROOM: u32 = 2;

/// Hints to try again are within these bounds.
const SOONEST_RETRY: Duration = Duration::from_millis(1);
const LATEST_RETRY: Duration = Duration::from_secs(60);

/// The hint where nothing has been measured yet.
const USUAL_RETRY: Duration = Duration::from_millis(100);

impl Scheduler {
    /// Says whether one of these offers can take the request, and what it adds to their backlog.
    pub(super) fn admit(
        &self,
        ask: &Ask<'_>,
        offers: &[OfferId],
        share: &Share,
        now: Time,
    ) -> Result<(), Rejection> {
        if ask.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Rejection::DeadlinePassed);
        }
        if self.queues.waiting() >= self.max_waiting {
            let retry_after = offers.iter().map(|&offer| self.time_for_one(offer)).min();
            let retry_after = retry_after.unwrap_or(USUAL_RETRY);
            return Err(Rejection::QueueFull { limit: self.max_waiting, capability: None, retry_after });
        }
        let mut refused = Rejection::NoMatch;
        for &offer in offers {
            match self.offer_admits(ask, offer, share, now) {
                Ok(()) => return Ok(()),
                Err(rejection) => refused = rejection,
            }
        }
        Err(refused)
    }

    fn offer_admits(&self, ask: &Ask<'_>, id: OfferId, share: &Share, now: Time) -> Result<(), Rejection> {
        let lane = &self.pools[id.pool.0].lanes[id.index];
        if let Some(limit) = lane.offer.max_queue_size.filter(|&limit| lane.waiting >= limit) {
            let capability = Some(lane.offer.capability.clone());
            return Err(Rejection::QueueFull { limit, capability, retry_after: self.time_for_one(id) });
        }
        let slo = lane.offer.slo.map(|slo| {
            // An SLO that not even an idle worker meets is no reason to refuse everything.
            let left = slo.saturating_sub(lane.first_response.duration().unwrap_or_default());
            (if left.is_zero() { slo } else { left }) / HEADROOM
        });
        let deadline = ask.deadline.map(|deadline| deadline.since(now));
        let Some(budget) = [slo, deadline].into_iter().flatten().min() else {
            return Ok(());
        };
        let wait = self.predicted_wait(id, share, now);
        if wait <= budget.as_secs_f64() {
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
        let retry_after = wait.saturating_sub(budget).clamp(SOONEST_RETRY, LATEST_RETRY);
        Err(Rejection::PredictedMiss { wait, budget, retry_after })
    }

    /// How many seconds the request would wait for a worker: the work before it, over those that do it.
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 workers")]
    fn predicted_wait(&self, id: OfferId, share: &Share, now: Time) -> f64 {
        let pool = &self.pools[id.pool.0];
        let slots = pool.slots_for(id.index);
        let lane = &pool.lanes[id.index];
        let free = matches!(self.worker_for(id, now), Some((Room::Free, _)));
        // While its workers start, nothing is known. What waits though a worker is free, waits for more of its batch.
        if slots == 0 || (free && lane.waiting < lane.offer.max_batch_size) {
            return 0.0;
        }
        let until_one_is_free =
            if free { 0.0 } else { lane.service.duration().unwrap_or_default().as_secs_f64() };
        // More urgent requests go on coming; but what has aged has its turn.
        let all = pool.slots as f64;
        let left = (all - pool.usage.slots_before(share, now)).max(all / AGED_TURN as f64);
        let behind_all = (pool.backlog.ahead_of(share, now) + until_one_is_free) / left;
        if slots == pool.slots {
            return behind_all;
        }
        // Some places are not for this offer, whatever else waits for them.
        let own = lane.work().unwrap_or_default().as_secs_f64() * lane.waiting as f64;
        behind_all.max((own + until_one_is_free) / slots as f64)
    }

    /// How long the workers take to make room for one more request.
    fn time_for_one(&self, id: OfferId) -> Duration {
        let pool = &self.pools[id.pool.0];
        let slots = u32::try_from(pool.slots_for(id.index)).unwrap_or(u32::MAX);
        let service = pool.lanes[id.index].service.duration();
        let time = service.and_then(|service| service.checked_div(slots));
        time.unwrap_or(USUAL_RETRY).clamp(SOONEST_RETRY, LATEST_RETRY)
    }
}
