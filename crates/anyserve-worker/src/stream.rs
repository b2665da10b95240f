//! A request with any number of responses.

use std::time::{Duration, Instant};

use anyserve_proto::inference::ModelInferResponse;
use anyserve_proto::worker::{Reply, to_agent};
use bytes::Bytes;

use crate::inbox::State;
use crate::request::{Phase, Request};

/// Why a response of a stream was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The handler has closed or ended the stream.
    #[error("the stream is closed: its handler has ended it")]
    Closed,
    /// Nobody waits for the stream any longer.
    #[error("the client is gone, or its deadline has passed")]
    Cancelled,
    /// The client took nothing, or next to it, for that long.
    #[error("the client has taken nothing of the stream for {0:?} (--stream-stall-timeout)")]
    Stalled(Duration),
    /// The response is not well formed, or too large.
    #[error("{0}")]
    Invalid(String),
}

/// What a waiting stream finds.
enum Found {
    Room,
    Cancelled,
    Closed,
    /// The client has taken something: the time to wait begins anew.
    Progress,
}

impl Request {
    /// Sends one response of a stream, and waits until its client has taken enough of those before it.
    pub fn send(&self, response: ModelInferResponse, contents: &[Bytes]) -> Result<(), SendError> {
        let bytes = self.checked_size(&response, contents)?;
        let stall_timeout = self.shared.inbox.limits().stall_timeout;
        loop {
            let now = Instant::now();
            // A wait without an end still looks around once a year.
            let until = now.checked_add(stall_timeout).unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
            let seen = self.shared.inbox.lock().window_openings(self.id);
            match self.shared.wait_for_window(until, |inbox| self.look(inbox, bytes, seen)) {
                Some(Found::Room) => return self.send_part(response, contents),
                Some(Found::Cancelled) => return Err(SendError::Cancelled),
                Some(Found::Closed) => return Err(SendError::Closed),
                Some(Found::Progress) => {}
                None => return Err(SendError::Stalled(stall_timeout)),
            }
        }
    }

    /// The same without waiting: gives the response back if the client has to take more of the stream first.
    pub fn try_send(
        &self,
        response: ModelInferResponse,
        contents: &[Bytes],
    ) -> Result<Option<ModelInferResponse>, SendError> {
        let bytes = self.checked_size(&response, contents)?;
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if self.is_cancelled() {
            return Err(SendError::Cancelled);
        }
        let may_send = self.shared.inbox.lock().claim_window(self.id, bytes);
        if !may_send {
            return Ok(Some(response));
        }
        self.send_part(response, contents).map(|()| None)
    }

    /// Lets the client know that it has all responses, while the handler goes on; nothing can be sent afterwards.
    pub fn close(&self) {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Silent | Phase::Streaming) {
            *phase = Phase::Closed;
            let end = Reply { request: self.id, more: true, ..Reply::default() };
            self.shared.queue(to_agent::Message::Reply(end), &[]);
        }
        drop(phase);
        self.shared.flush();
    }

    /// Ends a stream that has had all its responses. If it has had its last word already, this does nothing.
    pub fn finish(&self) {
        let end = Reply { request: self.id, ..Reply::default() };
        self.end(to_agent::Message::Reply(end), &[]).flush();
    }

    fn look(&self, inbox: &mut State, bytes: u64, seen: u64) -> Option<Found> {
        if self.is_closed() {
            return Some(Found::Closed);
        }
        if self.is_cancelled() {
            return Some(Found::Cancelled);
        }
        if inbox.claim_window(self.id, bytes) {
            return Some(Found::Room);
        }
        (inbox.window_openings(self.id) != seen).then_some(Found::Progress)
    }

    fn is_closed(&self) -> bool {
        matches!(*self.phase(), Phase::Closed | Phase::Ended)
    }

    fn send_part(&self, response: ModelInferResponse, contents: &[Bytes]) -> Result<(), SendError> {
        let (payload, placed) = self.shared.memory.pack(contents);
        let payload_sizes = payload.iter().map(|content| content.len() as u64).collect();
        let part = Reply { request: self.id, infer: Some(response), payload_sizes, more: true, placed };
        let mut phase = self.phase();
        // Another thread may have ended it since the window was claimed.
        if matches!(*phase, Phase::Closed | Phase::Ended) {
            return Err(SendError::Closed);
        }
        let first = std::mem::replace(&mut *phase, Phase::Streaming) == Phase::Silent;
        self.shared.queue(to_agent::Message::Reply(part), &payload);
        drop(phase);
        self.shared.flush();
        if first {
            // The next responses are no hurry: where cores are few, this one had better be passed on first.
            std::thread::yield_now();
        }
        Ok(())
    }
}
