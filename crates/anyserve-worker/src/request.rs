//! One request in the hands of a handler; it is answered exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// A request that a handler is to answer, by [`Request::reply`] or [`Request::fail`].
///
/// Dropping it unanswered answers it with an error, so that no client waits in vain.
#[derive(Debug)]
pub struct Request {
    id: u64,
    capability: usize,
    infer: ModelInferRequest,
    inputs: Vec<Bytes>,
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
    shared: Arc<Shared>,
    answered: bool,
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
            answered: false,
        }
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
    pub fn reply(mut self, response: ModelInferResponse, contents: &[Bytes]) {
        if let Err(message) = self.check(&response, contents) {
            return self.fail(Failure::new(Kind::Internal, message));
        }
        let payload_sizes = contents.iter().map(|content| content.len() as u64).collect();
        let reply = Reply { request: self.id, infer: Some(response), payload_sizes };
        self.answer(to_agent::Message::Reply(reply), contents);
    }

    /// Answers with an error.
    pub fn fail(mut self, failure: Failure) {
        self.answer_failure(failure);
    }

    fn answer_failure(&mut self, failure: Failure) {
        self.answer(to_agent::Message::Failure(failure.into_message(self.id)), &[]);
    }

    fn answer(&mut self, message: to_agent::Message, payload: &[Bytes]) {
        self.answered = true;
        self.shared.inbox.finished(self.id);
        self.shared.send(message, payload);
    }

    fn check(&self, response: &ModelInferResponse, contents: &[Bytes]) -> Result<(), String> {
        if response.outputs.len() != contents.len() {
            let (outputs, contents) = (response.outputs.len(), contents.len());
            return Err(format!("the response has {outputs} outputs, but contents for {contents}"));
        }
        for (output, content) in response.outputs.iter().zip(contents) {
            tensor::check_output(output, content).map_err(|error| error.to_string())?;
        }
        let size = response.encoded_len() + contents.iter().map(Bytes::len).sum::<usize>();
        let limit = self.shared.inbox.max_message_size();
        let framed = framed_size(response.encoded_len(), contents);
        if size as u64 > limit || framed > limit.saturating_add(FRAME_OVERHEAD) {
            return Err(format!("a response of {size} bytes is over the limit of {limit}"));
        }
        Ok(())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.answered {
            let message = "the handler dropped the request without an answer";
            self.answer_failure(Failure::new(Kind::Internal, message));
        }
    }
}
