//! What the dispatcher holds of a worker: a way to tell it something.

use std::sync::Arc;
use std::time::Instant;

use anyserve_channel::Sender;
use anyserve_core::scheduler::{Assignment, RequestId};
use anyserve_proto::worker::{Assign, Cancel, Consumed, Recall, ToWorker, to_worker};
use tokio::sync::oneshot;

use super::pending::Pending;
use crate::worker::WorkerExit;

/// What the dispatcher holds of a worker.
#[derive(Debug)]
pub(crate) struct Link {
    sender: Arc<Sender>,
    process: Option<u32>,
    /// Ends the worker for a reason; taken when it is used.
    kill: Option<oneshot::Sender<WorkerExit>>,
}

impl Link {
    pub(crate) fn new(sender: Arc<Sender>, process: Option<u32>, kill: oneshot::Sender<WorkerExit>) -> Self {
        Self { sender, process, kill: Some(kill) }
    }

    /// The worker's process id.
    pub(super) fn process(&self) -> Option<u32> {
        self.process
    }

    /// Queues one request of an assignment for [`Self::write`]; `more` of its batch follow.
    pub(super) fn assign(
        &self,
        assignment: &Assignment,
        request: RequestId,
        pending: &mut Pending,
        more: bool,
    ) {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let assign = Assign {
            request: request.0,
            sequence: assignment.sequence,
            capability: u32::try_from(assignment.offer.index).unwrap_or(u32::MAX),
            timeout_us: pending
                .deadline
                .map(|deadline| u64::try_from(left(deadline).as_micros()).unwrap_or(u64::MAX)),
            payload_sizes: pending.contents.iter().map(|content| content.len() as u64).collect(),
            infer: Some(std::mem::take(&mut pending.infer)),
            more,
        };
        let message = ToWorker { message: Some(to_worker::Message::Assign(assign)) };
        // What no frame can hold was refused when it came.
        let _ = self.sender.queue(&message, &pending.contents);
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

    /// Ends the worker, unless that is under way.
    pub(super) fn kill(&mut self, why: WorkerExit) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(why);
        }
    }

    fn send(&self, message: to_worker::Message) {
        // Small messages always fit a frame.
        let _ = self.sender.send(&ToWorker { message: Some(message) }, &[]);
    }
}
