//! The requests of a call that other replicas serve: a task each, because nothing else waits for their responses.

use std::sync::Arc;
use std::task::{Context, Poll};

use anyserve_proto::inference::ModelInferRequest;
use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::{GRPC_ERROR, Key};
use crate::delegate::{self, Delegate, Outgoing, Part, Route};
use crate::dispatch::Wish;
use crate::failure::Failure;

/// Where the other replicas hear of such requests.
const PATH: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// How many responses may wait for the client, of all requests together.
const AHEAD: usize = 16;

/// The tasks, and what comes of them.
#[derive(Debug)]
pub(super) struct Elsewhere {
    tasks: JoinSet<()>,
    sender: mpsc::Sender<(Key, Part)>,
    parts: mpsc::Receiver<(Key, Part)>,
    begun: u64,
}

/// Cancels the request unless it has ended.
#[derive(Debug)]
pub(super) struct Passed(Option<AbortHandle>);

impl Elsewhere {
    pub(super) fn new() -> Self {
        let (sender, parts) = mpsc::channel(AHEAD);
        Self { tasks: JoinSet::new(), sender, parts, begun: 0 }
    }

    /// Sends a request on; `headers` are those of the call that go on with it.
    pub(super) fn begin(
        &mut self,
        delegate: &Arc<Delegate>,
        (route, wish): (Route, &Wish),
        mut headers: HeaderMap,
        infer: ModelInferRequest,
    ) -> Result<(Key, Passed), Failure> {
        // With one request on its call, an error had better be the call's own.
        headers.insert(GRPC_ERROR, HeaderValue::from_static("true"));
        let outgoing = Outgoing::new(PATH, headers, infer, wish.deadline)?;
        let key = Key::Elsewhere(self.begun);
        self.begun += 1;
        while self.tasks.try_join_next().is_some() {}
        let passed = delegate::stream(Arc::clone(delegate), route, outgoing, key, self.sender.clone());
        let task = self.tasks.spawn(passed);
        Ok((key, Passed(Some(task))))
    }

    /// What came of any of them.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Key, Part)> {
        // There is a sender here.
        self.parts.poll_recv(context).map(|part| part.expect("the channel is open"))
    }
}

impl Passed {
    /// There is nothing to cancel.
    pub(super) fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
