//! What a worker's handlers want of the agent, and the tasks that see to what takes time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_core::Reference;
use anyserve_proto::inference::ModelInferResponse;
use anyserve_proto::worker::{Call, Failure as WorkerFailure, Infer, answer};
use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::metadata::MetadataMap;

use super::session::Context;
use crate::dispatch::{Dispatcher, Violation};
use crate::failure::Failure;
use crate::ingress;
use crate::objects::{Called, Objects, WorkerMemory};

/// The calls of one worker. Those that have not been answered end with it.
#[derive(Debug)]
pub(super) struct Calls {
    dispatcher: Arc<Dispatcher>,
    memory: Arc<WorkerMemory>,
    running: JoinSet<()>,
}

impl Calls {
    pub(super) fn new(context: &Context, memory: &Arc<WorkerMemory>) -> Self {
        Self {
            dispatcher: Arc::clone(&context.dispatcher),
            memory: Arc::clone(memory),
            running: JoinSet::new(),
        }
    }

    /// Answers a call, or sees that it is answered.
    pub(super) fn begin(&mut self, call: Call, payload: Bytes) -> Result<(), Violation> {
        while self.running.try_join_next().is_some() {}
        match self.dispatcher.objects().call(&self.memory, call, payload)? {
            Called::Done => {}
            Called::Remote { call, reference, timeout } => {
                let (objects, memory) = (Arc::clone(self.dispatcher.objects()), Arc::clone(&self.memory));
                self.running.spawn(async move { get(&objects, &memory, call, reference, timeout).await });
            }
            Called::Short { call, size } => {
                let (objects, memory) = (Arc::clone(self.dispatcher.objects()), Arc::clone(&self.memory));
                self.running.spawn(async move { objects.allocate(&memory, call, size).await });
            }
            Called::Infer { call, infer, contents } => {
                let (dispatcher, memory) = (Arc::clone(&self.dispatcher), Arc::clone(&self.memory));
                self.running.spawn(async move {
                    tell(&memory, call, answer_request(&dispatcher, infer, contents).await);
                });
            }
        }
        Ok(())
    }
}

/// Brings an object that another agent has.
async fn get(
    objects: &Objects,
    memory: &WorkerMemory,
    call: u64,
    reference: Reference,
    timeout: Option<Duration>,
) {
    match objects.fetch(&reference, timeout.map(|timeout| Instant::now() + timeout)).await {
        Ok((bytes, object)) => {
            let got = objects.got(&object.described_by(reference));
            memory.answer_object(call, got, bytes);
        }
        Err(error) => memory.answer(call, Err(error)),
    }
}

/// Has a request served, as if a client had sent it.
async fn answer_request(
    dispatcher: &Arc<Dispatcher>,
    infer: Infer,
    contents: Vec<Bytes>,
) -> Result<ModelInferResponse, Failure> {
    let arrival = Instant::now();
    let mut request = infer.request.unwrap_or_default();
    request.raw_input_contents = contents;
    let until = infer.timeout_us.and_then(|left| arrival.checked_add(Duration::from_micros(left)));
    ingress::infer(dispatcher, &MetadataMap::new(), request, arrival, until).await
}

fn tell(memory: &WorkerMemory, call: u64, answered: Result<ModelInferResponse, Failure>) {
    match answered {
        Ok(mut response) => {
            let contents = std::mem::take(&mut response.raw_output_contents);
            memory.answer_with(call, answer::Result::Inferred(response), &contents);
        }
        Err(failure) => {
            let (kind, message) = (failure.kind() as i32, failure.to_string());
            let retry_after_ms =
                failure.retry_after().map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            let failure = WorkerFailure { kind, message, retry_after_ms, ..WorkerFailure::default() };
            memory.answer_with(call, answer::Result::Failure(failure), &[]);
        }
    }
}
