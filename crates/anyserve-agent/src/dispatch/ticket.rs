//! The client's hold on its requests: it yields the answers, and dropping it cancels the requests.

use std::sync::Arc;

use anyserve_core::scheduler::RequestId;
use anyserve_proto::inference::ModelInferResponse;
use tokio::sync::oneshot;

use super::Dispatcher;
use crate::failure::Failure;

/// A request on its way, cancelled when this is dropped before [`Hold::ended`].
#[derive(Debug)]
pub(crate) struct Hold {
    dispatcher: Arc<Dispatcher>,
    request: Option<RequestId>,
}

/// A request on its way that has one response.
#[derive(Debug)]
pub(crate) struct Ticket {
    hold: Hold,
    answer: oneshot::Receiver<Result<ModelInferResponse, Failure>>,
}

impl Hold {
    pub(super) fn new(dispatcher: Arc<Dispatcher>, request: RequestId) -> Self {
        Self { dispatcher, request: Some(request) }
    }

    /// The request has ended: there is nothing to cancel.
    pub(crate) fn ended(&mut self) {
        self.request = None;
    }
}

impl Ticket {
    pub(super) fn new(hold: Hold, answer: oneshot::Receiver<Result<ModelInferResponse, Failure>>) -> Self {
        Self { hold, answer }
    }

    /// Waits for the answer; it comes at the deadline at the latest.
    pub(crate) async fn answer(self) -> Result<ModelInferResponse, Failure> {
        let Self { mut hold, answer } = self;
        let answer = answer.await;
        hold.ended();
        // The sender is dropped unused only when the whole agent goes.
        answer.unwrap_or(Err(Failure::CutOff))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(request) = self.request {
            self.dispatcher.cancel(request);
        }
    }
}
