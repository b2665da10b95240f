//! What workers send, and how it ends requests.

use std::time::Duration;

use anyserve_core::scheduler::{RequestId, Time, WorkerId};
use anyserve_proto::inference::ModelInferResponse;
use anyserve_proto::worker::{Failure as WorkerFailure, Reply};
use bytes::Bytes;
use prost::Message;

use super::Violation;
use super::pending::WINDOW_RESPONSES;
use super::state::State;
use crate::failure::Failure;

/// When memory is short, a stream may still have this many responses that its client has not taken.
const FEW_UNREAD: u32 = WINDOW_RESPONSES / 4;

impl State {
    pub(super) fn reply(
        &mut self,
        worker: WorkerId,
        reply: Reply,
        payload: Bytes,
        now: Time,
    ) -> Result<(), Violation> {
        let contents = anyserve_channel::split_payload(payload, &reply.payload_sizes)?;
        let contents = match self.link(worker) {
            Some(link) => link.memory.unpack(contents, &reply.placed)?,
            None => contents,
        };
        let (outputs, given) = (reply.infer.as_ref().map_or(0, |infer| infer.outputs.len()), contents.len());
        if outputs != given {
            return Err(Violation::OutputCount { outputs, contents: given });
        }
        // As the worker counts it: it is taken out of the stream's window, and must be what is put back.
        let bytes = reply.infer.as_ref().map_or(0, Message::encoded_len)
            + contents.iter().map(Bytes::len).sum::<usize>();
        let response = reply.infer.map(|mut response| {
            response.raw_output_contents = contents;
            response
        });
        match (reply.more, response) {
            (true, Some(response)) => {
                self.part(worker, RequestId(reply.request), response, bytes as u64, now)
            }
            (true, None) => self.closed(worker, RequestId(reply.request), now),
            (false, response) => self.complete(worker, reply.request, Ok(response), now),
        }
    }

    pub(super) fn failure(
        &mut self,
        worker: WorkerId,
        failure: WorkerFailure,
        debug: bool,
        now: Time,
    ) -> Result<(), Violation> {
        let (kind, retry_after) = (failure.kind(), failure.retry_after_ms.map(Duration::from_millis));
        let mut message = failure.message;
        if debug && !failure.traceback.is_empty() {
            message = format!("{message}\n{}", failure.traceback);
        }
        self.complete(worker, failure.request, Err(Failure::Handler { kind, message, retry_after }), now)
    }

    pub(super) fn returned(
        &mut self,
        worker: WorkerId,
        requests: &[u64],
        now: Time,
    ) -> Result<(), Violation> {
        let ids: Vec<_> = requests.iter().copied().map(RequestId).collect();
        let not_held = || Violation::NotHeld(requests.first().copied().unwrap_or_default());
        self.scheduler.returned(worker, &ids, now).then_some(()).ok_or_else(not_held)?;
        for id in ids {
            self.unassign(id);
        }
        // A worker that stops may have given back what nobody else was to serve.
        self.undecided |= !self.settling.is_empty();
        Ok(())
    }

    /// A response of a stream that goes on.
    fn part(
        &mut self,
        worker: WorkerId,
        id: RequestId,
        response: ModelInferResponse,
        bytes: u64,
        now: Time,
    ) -> Result<(), Violation> {
        if self.scheduler.holder(id) != Some(worker) {
            return Err(Violation::NotHeld(id.0));
        }
        // What comes for a client that has left is of no use to anybody.
        let Some(pending) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        if !pending.client.takes_stream() {
            return Err(Violation::OutOfTurn);
        }
        if pending.outstanding >= WINDOW_RESPONSES {
            return Err(Violation::Window(WINDOW_RESPONSES));
        }
        self.scheduler.responded(id, now);
        let held = self.held_bytes + self.unread_bytes.get();
        // Those that are read have few responses under way: they need not suffer.
        let passed = if held > self.max_held_bytes && pending.outstanding >= FEW_UNREAD {
            Err(Failure::MemoryFull { held, limit: self.max_held_bytes })
        } else {
            pending.part(id, response, bytes, &self.unread_bytes)
        };
        match passed {
            Ok(()) => pending.times.responded(&mut self.stats, now),
            Err(failure) => {
                self.end(id, Err(failure), now);
                self.scheduler.cancel(id);
                self.tell_cancelled(worker, id);
            }
        }
        Ok(())
    }

    /// A stream has had all its responses, but its handler goes on and keeps the credit.
    fn closed(&mut self, worker: WorkerId, id: RequestId, now: Time) -> Result<(), Violation> {
        if self.scheduler.holder(id) != Some(worker) {
            return Err(Violation::NotHeld(id.0));
        }
        self.end(id, Ok(None), now);
        self.caller_closed(worker, id);
        self.scheduler.cancel(id);
        Ok(())
    }

    fn complete(
        &mut self,
        worker: WorkerId,
        request: u64,
        result: Result<Option<ModelInferResponse>, Failure>,
        now: Time,
    ) -> Result<(), Violation> {
        let id = RequestId(request);
        self.scheduler.complete(worker, id, now).ok_or(Violation::NotHeld(request))?;
        self.end(id, result, now);
        self.caller_done(worker, id);
        self.served(worker);
        Ok(())
    }

    /// Ends a request, if anybody still waits for it.
    pub(super) fn end(
        &mut self,
        id: RequestId,
        result: Result<Option<ModelInferResponse>, Failure>,
        now: Time,
    ) {
        let Some(mut pending) = self.requests.remove(&id) else {
            return;
        };
        // A handler that has answered needs nobody's leave for what it has left behind.
        let given_up = result.as_ref().err().filter(|failure| !matches!(failure, Failure::Handler { .. }));
        self.caller_ended(id, given_up);
        self.held_bytes -= pending.bytes();
        let result = result.and_then(|response| pending.finished(response));
        if let Ok(Some(_)) = result {
            pending.times.responded(&mut self.stats, now);
        }
        pending.times.ended(&mut self.stats, result.as_ref().err(), now);
        let pool = pending.times.assigned.map(|(offer, _)| offer.pool);
        if let Some(record) = pool.and_then(|pool| self.pools.get_mut(&pool)) {
            record.ended += 1;
            record.failed += u64::from(result.is_err());
            record.rate.count(now);
        }
        if let Err(failure) = &result {
            failure.log(&pending.infer, id);
        }
        pending.end(id, result, &self.unread_bytes);
    }
}
