//! What the dispatcher holds of a worker: a way to tell it something.

use std::sync::Arc;
use std::time::Instant;

use anyserve_channel::Sender;
use anyserve_core::scheduler::{Assignment, RequestId};
use anyserve_proto::worker::{Assign, Cancel, Consumed, Recall, Sleep, ToWorker, Wake, to_worker};

use super::pending::Pending;
use crate::objects::{Parcel, WorkerMemory};

/// What the dispatcher holds of a worker.
#[derive(Debug)]
pub(crate) struct Link {
    sender: Arc<Sender>,
    pub(super) memory: Arc<WorkerMemory>,
    /// The worker's own index of each capability of its pool.
    capabilities: Vec<u32>,
}

impl Link {
    pub(crate) fn new(sender: Arc<Sender>, memory: Arc<WorkerMemory>) -> Self {
        Self { sender, memory, capabilities: Vec::new() }
    }

    /// Says by which numbers the worker knows the capabilities of its pool.
    pub(super) fn set_capabilities(&mut self, capabilities: Vec<u32>) {
        self.capabilities = capabilities;
    }

    /// Queues one request of an assignment for [`Self::write`]; `more` of its batch follow.
    pub(super) fn assign(
        &self,
        assignment: &Assignment,
        request: RequestId,
        pending: &mut Pending,
        more: bool,
    ) {
        let Parcel { payload, placed } = self.memory.pack(&pending.contents);
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let assign = Assign {
            request: request.0,
            sequence: assignment.sequence,
            capability: self.capabilities.get(assignment.offer.index).copied().unwrap_or(u32::MAX),
            timeout_us: pending
                .deadline
                .map(|deadline| u64::try_from(left(deadline).as_micros()).unwrap_or(u64::MAX)),
            payload_sizes: payload.iter().map(|content| content.len() as u64).collect(),
            placed,
            infer: Some(std::mem::take(&mut pending.infer)),
            more,
        };
        let message = ToWorker { message: Some(to_worker::Message::Assign(assign)) };
        // What no frame can hold was refused when it came.
        let _ = self.sender.queue(&message, &payload);
        // It may have to be sent once more.
        if let Some(to_worker::Message::Assign(Assign { infer: Some(infer), .. })) = message.message {
            pending.infer = infer;
        }
    }

    /// Writes what was queued.
    pub(super) fn write(&self) {
        self.sender.write();
    }

    /// Asks for what the worker has not started.
    pub(super) fn recall(&self) {
        self.send(to_worker::Message::Recall(Recall {}));
    }

    /// Nobody waits for the request any longer.
    pub(super) fn cancel(&self, request: RequestId) {
        self.send(to_worker::Message::Cancel(Cancel { request: request.0 }));
    }

    /// The client took so much of a stream.
    pub(super) fn consumed(&self, request: RequestId, responses: u32, bytes: u64) {
        self.send(to_worker::Message::Consumed(Consumed { request: request.0, responses, bytes }));
    }

    /// The worker has nothing to do, and is to give back what it can.
    pub(super) fn sleep(&self, level: u32) {
        self.send(to_worker::Message::Sleep(Sleep { level }));
    }

    /// The worker is to be ready again.
    pub(super) fn wake(&self) {
        self.send(to_worker::Message::Wake(Wake {}));
    }

    fn send(&self, message: to_worker::Message) {
        // Small messages always fit a frame.
        let _ = self.sender.send(&ToWorker { message: Some(message) }, &[]);
    }
}
