//! What a client asks for, and the tasks that see to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_channel::split_payload;
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::local::{ClientAllocate, ClientInfer, ClientTaken};
use anyserve_proto::worker::{Answer, Failure as Told, answer, to_worker};
use anyserve_proto::{LOCAL_CALLS, LOCAL_STREAM_WINDOW};
use bytes::Bytes;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tonic::codegen::tokio_stream::StreamExt;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status};

use super::error::Hangup;
use crate::dispatch::Dispatcher;
use crate::failure::kind_of;
use crate::ingress::{self, Requests, StreamCall, over_limit};
use crate::objects::WorkerMemory;

/// How long a client waits for room for an input: as long as what comes by gRPC.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The calls of one client. Those that have not been answered are cancelled when this is dropped.
#[derive(Debug)]
pub(super) struct Calls {
    dispatcher: Arc<Dispatcher>,
    memory: Arc<WorkerMemory>,
    places: Arc<Semaphore>,
    running: JoinSet<u64>,
    open: HashMap<u64, Open>,
}

/// A call that has not been answered.
#[derive(Debug)]
struct Open {
    task: AbortHandle,
    /// How many responses of a stream the client waits for.
    window: Arc<Semaphore>,
}

/// What answers a call.
struct Answering {
    dispatcher: Arc<Dispatcher>,
    memory: Arc<WorkerMemory>,
    call: u64,
}

/// One of the calls that may be under way. Given back before the last answer, after which the client may send another.
type CallPlace = OwnedSemaphorePermit;

impl Calls {
    pub(super) fn new(dispatcher: Arc<Dispatcher>, memory: Arc<WorkerMemory>) -> Self {
        let places = Arc::new(Semaphore::new(LOCAL_CALLS));
        Self { dispatcher, memory, places, running: JoinSet::new(), open: HashMap::new() }
    }

    /// Lends the client a place to write to, as soon as there is room.
    pub(super) fn allocate(&mut self, &ClientAllocate { call, size, wait }: &ClientAllocate) {
        let allocated = self.memory.allocate(size);
        // What is larger than all there is never fits.
        let never = size > self.dispatcher.objects().store().budget().limit();
        if allocated.is_ok() || never || !wait {
            return self.memory.answer(call, allocated.map(answer::Result::Allocated));
        }
        if let Some((answering, place)) = self.begin(call) {
            self.spawn(call, Arc::new(Semaphore::new(0)), answering.allocate(place, size));
        }
    }

    /// Has a request served, as if it had come by gRPC.
    pub(super) fn infer(&mut self, infer: ClientInfer, payload: Bytes) -> Result<(), Hangup> {
        let ClientInfer { call, request, timeout_us, stream, payload_sizes, placed } = infer;
        let contents = self.memory.unpack(split_payload(payload, &payload_sizes)?, &placed)?;
        let Some((answering, place)) = self.begin(call) else {
            return Ok(());
        };
        let mut request = request.unwrap_or_default();
        request.raw_input_contents = contents;
        let limit = self.dispatcher.max_message_size();
        if request.encoded_len() > limit {
            drop(place);
            answering.fail(&over_limit(limit));
            return Ok(());
        }
        let timeout = timeout_us.map(Duration::from_micros);
        let window = Arc::new(Semaphore::new(LOCAL_STREAM_WINDOW as usize));
        if stream {
            let responses = answering.stream(place, request, timeout, Arc::clone(&window));
            self.spawn(call, window, responses);
        } else {
            self.spawn(call, window, answering.infer(place, request, timeout));
        }
        Ok(())
    }

    /// The client has taken so much of a stream.
    pub(super) fn taken(&self, &ClientTaken { call, responses }: &ClientTaken) {
        // One that has ended is no news.
        if let Some(open) = self.open.get(&call) {
            // However much it says, the window does not grow.
            let room = (LOCAL_STREAM_WINDOW as usize).saturating_sub(open.window.available_permits());
            open.window.add_permits(room.min(responses as usize));
        }
    }

    /// Nobody waits for that call any more.
    pub(super) fn cancel(&mut self, call: u64) {
        if let Some(open) = self.open.remove(&call) {
            open.task.abort();
        }
    }

    /// The client holds these no longer.
    pub(super) fn release(&self, leases: &[u64]) -> Result<(), Hangup> {
        Ok(self.memory.release(leases)?)
    }

    /// A place for a call; without one, the client hears so.
    fn begin(&mut self, call: u64) -> Option<(Answering, CallPlace)> {
        while let Some(ended) = self.running.try_join_next() {
            if let Ok(ended) = ended {
                self.open.remove(&ended);
            }
        }
        let (dispatcher, memory) = (Arc::clone(&self.dispatcher), Arc::clone(&self.memory));
        let answering = Answering { dispatcher, memory, call };
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some((answering, place));
        }
        let message = format!("{LOCAL_CALLS} calls are under way on this connection, as many as may");
        answering.fail(&Status::resource_exhausted(message));
        None
    }

    /// Waits for those that are under way.
    pub(super) async fn finish(&mut self) {
        while self.running.join_next().await.is_some() {}
    }

    fn spawn(&mut self, call: u64, window: Arc<Semaphore>, task: impl Future<Output = u64> + Send + 'static) {
        let task = self.running.spawn(task);
        self.open.insert(call, Open { task, window });
    }
}

impl Answering {
    async fn allocate(self, place: CallPlace, size: u64) -> u64 {
        let until = tokio::time::Instant::now() + LONGEST_WAIT;
        let freed = Arc::clone(self.dispatcher.objects().store().freed());
        let allocated = loop {
            // From here on nothing is missed that gets free.
            let freed = freed.notified();
            match self.memory.allocate(size) {
                Ok(place) => break Ok(place),
                Err(error) if tokio::time::timeout_at(until, freed).await.is_err() => break Err(error),
                Err(_) => {}
            }
        };
        drop(place);
        self.memory.answer(self.call, allocated.map(answer::Result::Allocated));
        self.call
    }

    async fn infer(self, place: CallPlace, request: ModelInferRequest, timeout: Option<Duration>) -> u64 {
        let arrival = Instant::now();
        let until = timeout.and_then(|timeout| arrival.checked_add(timeout));
        let answered = ingress::infer(&self.dispatcher, &MetadataMap::new(), request, arrival, until).await;
        drop(place);
        match answered {
            Ok(response) => self.respond(response),
            Err(failure) => self.fail(&failure.into()),
        }
        self.call
    }

    async fn stream(
        self,
        place: CallPlace,
        request: ModelInferRequest,
        timeout: Option<Duration>,
        window: Arc<Semaphore>,
    ) -> u64 {
        let requests = Requests::One(Some(Box::new(request)));
        let mut responses = StreamCall::new(Arc::clone(&self.dispatcher), metadata(timeout), requests);
        let mut end = Answer { call: self.call, ..Answer::default() };
        // Nobody closes the window.
        while let Ok(room) = window.acquire().await {
            room.forget();
            match responses.next().await {
                Some(Ok(message)) => self.respond(message.infer_response.unwrap_or_default()),
                Some(Err(status)) => {
                    end.result = Some(failure(&status));
                    break;
                }
                None => break,
            }
        }
        drop(place);
        self.memory.send(to_worker::Message::Answer(end));
        self.call
    }

    fn respond(&self, mut response: ModelInferResponse) {
        let contents = std::mem::take(&mut response.raw_output_contents);
        self.memory.answer_with(self.call, answer::Result::Inferred(response), &contents, false);
    }

    fn fail(&self, status: &Status) {
        let answer = Answer { call: self.call, result: Some(failure(status)), ..Answer::default() };
        self.memory.send(to_worker::Message::Answer(answer));
    }
}

fn failure(status: &Status) -> answer::Result {
    let retry_after_ms = status.metadata().get("retry-after-ms");
    answer::Result::Failure(Told {
        kind: kind_of(status.code()) as i32,
        message: status.message().to_owned(),
        retry_after_ms: retry_after_ms.and_then(|after| after.to_str().ok()?.parse().ok()),
        ..Told::default()
    })
}

/// What a client of one streamed request says by gRPC.
fn metadata(timeout: Option<Duration>) -> MetadataMap {
    let mut request = Request::new(());
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let mut metadata = std::mem::take(request.metadata_mut());
    metadata.insert("triton_grpc_error", MetadataValue::from_static("true"));
    metadata
}
