//! The responses to one request, as they come from an agent that shares memory with this process.

use std::sync::Arc;

use anyserve_proto::LOCAL_STREAM_WINDOW;
use anyserve_proto::inference::ModelInferResponse;
use anyserve_proto::local::{ClientTaken, from_client};

use super::session::Session;
use super::wire::Call;
use crate::ClientError;

/// The agent hears of so many at once.
const TELL_AFTER: u32 = LOCAL_STREAM_WINDOW / 4;

/// The responses to one request. Dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct LocalStream {
    session: Arc<Session>,
    call: Call,
    /// What was taken, and the agent was not told of yet.
    taken: u32,
    has_ended: bool,
}

impl LocalStream {
    pub(super) fn new(session: Arc<Session>, call: Call) -> Self {
        Self { session, call, taken: 0, has_ended: false }
    }

    /// The next response; none after the last. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Result<ModelInferResponse, ClientError>> {
        if self.has_ended {
            return None;
        }
        let next = match self.session.next(&mut self.call).await {
            Ok(delivery) => {
                let is_last = !delivery.is_response();
                if is_last {
                    self.call.end();
                }
                self.session.response(delivery).transpose()
            }
            Err(error) => Some(Err(error)),
        };
        match &next {
            Some(Ok(_)) => self.note_taken(),
            // Whatever else the agent sends is given back.
            Some(Err(_)) | None => self.has_ended = true,
        }
        next
    }

    fn note_taken(&mut self) {
        self.taken += 1;
        if self.taken < TELL_AFTER {
            return;
        }
        let taken = ClientTaken { call: self.call.number, responses: std::mem::take(&mut self.taken) };
        // Two numbers: they fit any frame.
        let _ = self.session.send(from_client::Message::Taken(taken), &[]);
    }
}
