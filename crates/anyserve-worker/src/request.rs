//! One request in the hands of a handler; it is answered exactly once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyserve_channel::{FRAME_OVERHEAD, framed_size};
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::tensor;
use anyserve_proto::worker::{Reply, failure::Kind, to_agent};
use bytes::Bytes;
use prost::Message;

use crate::failure::Failure;
use crate::inbox::Assigned;
use crate::lead::Shared;
use crate::stream::SendError;

/// A response with the raw contents of its outputs, or why there is none.
pub type Answer = Result<(ModelInferResponse, Vec<Bytes>), Failure>;

/// A request that a handler is to answer, by [`Request::reply`] or [`Request::fail`]; or, where
/// its capability streams, by any number of [`Request::send`] and then [`Request::finish`].
///
/// Dropping it unanswered answers it with an error, so that no client waits in vain.
#[derive(Debug)]
pub struct Request {
    pub(crate) id: u64,
    capability: usize,
    infer: ModelInferRequest,
    inputs: Vec<Bytes>,
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
    pub(crate) shared: Arc<Shared>,
    phase: Mutex<Phase>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was sent.
    Silent,
    /// It has had responses, and more may follow.
    Streaming,
    /// Its client has all responses, but its handler still runs.
    Closed,
    /// It has had the last word.
    Ended,
}

impl Request {
    pub(crate) fn new(assigned: Assigned, shared: Arc<Shared>) -> Self {
        let Assigned { assign, inputs, deadline, cancelled } = assigned;
        shared.claims.claim(assign.sequence);
        Self {
            id: assign.request,
            capability: assign.capability as usize,
            infer: assign.infer.unwrap_or_default(),
            inputs,
            deadline,
            cancelled,
            shared,
            phase: Mutex::new(Phase::Silent),
        }
    }

    /// The agent's number for it, as in [`crate::News`].
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Which of the capabilities given to [`crate::Worker::ready`] it is for.
    pub fn capability(&self) -> usize {
        self.capability
    }

    /// The request without the contents of its tensors.
    pub fn infer(&self) -> &ModelInferRequest {
        &self.infer
    }

    /// The raw contents of each input, checked against its datatype and shape.
    pub fn inputs(&self) -> &[Bytes] {
        &self.inputs
    }

    /// Takes the request and its contents out, to work on without this handle.
    pub fn take(&mut self) -> (ModelInferRequest, Vec<Bytes>) {
        (std::mem::take(&mut self.infer), std::mem::take(&mut self.inputs))
    }

    /// When the client stops waiting, if it said so.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Becomes true when the client is gone, or stops waiting.
    pub fn cancellation(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// True once the client is gone.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Answers with `response`, whose outputs have these raw contents.
    ///
    /// A response that is not well formed, or over the agent's limit, becomes an error that says so.
    pub fn reply(self, response: ModelInferResponse, contents: &[Bytes]) {
        self.queue_reply(response, contents).flush();
    }

    /// Answers with an error. If it has had its last word already, this does nothing.
    pub fn fail(&self, failure: Failure) {
        self.queue_failure(failure).flush();
    }

    pub(crate) fn queue_answer(self, answer: Answer) -> Arc<Shared> {
        match answer {
            Ok((response, contents)) => self.queue_reply(response, &contents),
            Err(failure) => self.queue_failure(failure),
        }
    }

    fn queue_reply(&self, response: ModelInferResponse, contents: &[Bytes]) -> Arc<Shared> {
        if let Err(error) = self.checked_size(&response, contents) {
            return self.queue_failure(Failure::new(Kind::Internal, error.to_string()));
        }
        let (payload, placed) = self.shared.memory.pack(contents);
        let payload_sizes = payload.iter().map(|content| content.len() as u64).collect();
        let reply = Reply { request: self.id, infer: Some(response), payload_sizes, more: false, placed };
        self.end(to_agent::Message::Reply(reply), &payload)
    }

    pub(crate) fn queue_failure(&self, failure: Failure) -> Arc<Shared> {
        self.end(to_agent::Message::Failure(failure.into_message(self.id)), &[])
    }

    /// The last word, still to be flushed; what comes after it is dropped.
    pub(crate) fn end(&self, message: to_agent::Message, payload: &[Bytes]) -> Arc<Shared> {
        let mut phase = self.phase();
        if !matches!(*phase, Phase::Ended) {
            *phase = Phase::Ended;
            self.shared.queue(message, payload);
        }
        // A thread that waits for the window looks at the phase while it holds the inbox.
        drop(phase);
        self.shared.inbox.finished(self.id);
        Arc::clone(&self.shared)
    }

    /// Held while something is queued, so that nothing follows the last word.
    pub(crate) fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of a response; an error if it is not well formed, or over the agent's limit.
    pub(crate) fn checked_size(
        &self,
        response: &ModelInferResponse,
        contents: &[Bytes],
    ) -> Result<u64, SendError> {
        if response.outputs.len() != contents.len() {
            let (outputs, contents) = (response.outputs.len(), contents.len());
            let message = format!("the response has {outputs} outputs, but contents for {contents}");
            return Err(SendError::Invalid(message));
        }
        for (output, content) in response.outputs.iter().zip(contents) {
            tensor::check_output(output, content).map_err(|error| SendError::Invalid(error.to_string()))?;
        }
        let size = (response.encoded_len() + contents.iter().map(Bytes::len).sum::<usize>()) as u64;
        let limit = self.shared.inbox.limits().max_message_size;
        let framed = framed_size(response.encoded_len(), contents);
        if size > limit || framed > limit.saturating_add(FRAME_OVERHEAD) {
            let message = format!("a response of {size} bytes is over the limit of {limit}");
            return Err(SendError::Invalid(message));
        }
        Ok(size)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !matches!(*self.phase(), Phase::Ended) {
            let message = "the handler dropped the request without an answer";
            self.queue_failure(Failure::new(Kind::Internal, message)).flush();
        }
    }
}
