//! The client's hold on its request: it yields the answer, and dropping it cancels the request.

use std::sync::Arc;
use std::time::Instant;

use anyserve_core::scheduler::RequestId;
use anyserve_proto::inference::ModelInferResponse;
use tokio::sync::oneshot;

use super::Dispatcher;
use crate::failure::Failure;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Ticket {
    cancel: CancelOnDrop,
    answer: oneshot::Receiver<Result<ModelInferResponse, Failure>>,
    submitted: Instant,
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct CancelOnDrop {
    dispatcher: Arc<Dispatcher>,
    request: Option<RequestId>,
}

impl Ticket {
    pub(super) fn new(
        dispatcher: Arc<Dispatcher>,
        request: RequestId,
        answer: oneshot::Receiver<Result<ModelInferResponse, Failure>>,
        deadline: Option<Instant>,
    ) -> Self {
        let cancel = CancelOnDrop { dispatcher, request: Some(request) };
        Self { cancel, answer, submitted: Instant::now(), deadline }
    }

    /// Waits for the answer, at most until the deadline.
    pub(crate) async fn answer(mut self) -> Result<ModelInferResponse, Failure> {
        let answer = match self.deadline {
            None => (&mut self.answer).await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), &mut self.answer)
                .await
                .map_err(|_| Failure::Deadline(deadline.duration_since(self.submitted)))?,
        };
        self.cancel.request = None;
        // The sender is dropped unused only when the whole agent goes.
        answer.unwrap_or(Err(Failure::Draining))
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(request) = self.request {
            self.dispatcher.cancel(request);
        }
    }
}
