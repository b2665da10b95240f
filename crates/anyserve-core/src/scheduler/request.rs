//! The requests that have not ended, each with one record.

use super::backlog::Share;
use super::place::Place;
use super::types::{RequestId, Time, WorkerId};

/// What is known of a request.
#[derive(Debug)]
pub(super) struct Request {
    /// The queue it belongs to.
    pub(super) queue: usize,
    /// Its place in every order.
    pub(super) place: Place,
    pub(super) arrived: Time,
    /// When its first response should be there.
    pub(super) due: Option<Time>,
    /// When the client stops waiting.
    pub(super) deadline: Option<Time>,
    /// What it adds to the backlog while it waits.
    pub(super) share: Share,
    /// The worker that has it, and the assignment it came with; none while it waits.
    pub(super) holder: Option<(WorkerId, u64)>,
    /// It has been started before.
    pub(super) retried: bool,
    /// The client has a response already.
    pub(super) responded: bool,
    /// The client is gone: nobody waits for the answer.
    pub(super) cancelled: bool,
}

/// Requests by id. A place that came free is taken by the next request, so that the memory stays small and warm.
#[derive(Debug, Default)]
pub(super) struct Requests {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    /// How often the slot has been used: the upper half of the id, so that no id comes twice.
    uses: u32,
    request: Option<Request>,
}

impl Requests {
    pub(super) fn insert(&mut self, request: Request) -> RequestId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { uses: 0, request: None });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 requests at once")
        });
        let slot = &mut self.slots[index as usize];
        slot.uses = slot.uses.wrapping_add(1);
        slot.request = Some(request);
        RequestId(u64::from(slot.uses) << 32 | u64::from(index))
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&Request> {
        let (index, uses) = split(id);
        self.slots.get(index).filter(|slot| slot.uses == uses)?.request.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        let (index, uses) = split(id);
        self.slots.get_mut(index).filter(|slot| slot.uses == uses)?.request.as_mut()
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Request> {
        let (index, uses) = split(id);
        let request = self.slots.get_mut(index).filter(|slot| slot.uses == uses)?.request.take()?;
        self.free.push(u32::try_from(index).ok()?);
        Some(request)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

fn split(id: RequestId) -> (usize, u32) {
    let [high, low] = [id.0 >> 32, id.0 & u64::from(u32::MAX)];
    (usize::try_from(low).unwrap_or(usize::MAX), u32::try_from(high).unwrap_or(u32::MAX))
}
