//! `ModelStreamInfer`: many requests on one call, each with any number of responses.
//!
//! The call has no task of its own: whoever sends the responses polls it, and it reads requests as it goes. So a client
//! that takes no responses is not read from either, and dropping the call cancels what is left of it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anyserve_core::scheduler::RequestId;
use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::inference::{
    InferParameter, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};
use anyserve_proto::tensor;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::edge::over_limit;
use super::reader::ReadError;
use super::requests::Requests;
use super::wanted;
use crate::dispatch::{Dispatcher, Event, Hold, WINDOW_BYTES, WINDOW_RESPONSES, What, Wish};
use crate::failure::Failure;
use crate::objects::{Objects, Targets};

/// Whether a response is its request's last.
const FINAL: &str = "triton_final_response";
/// A request that wants to be told of its end by an empty response.
const WANTS_EMPTY_FINAL: &str = "triton_enable_empty_final_response";
/// Metadata of a call whose first error is to end it with a gRPC status.
const GRPC_ERROR: &str = "triton_grpc_error";

/// How long a call on which nothing is open may stay when the agent stops.
const LINGER: Duration = Duration::from_millis(200);

/// What was taken of a stream is not kept from its worker for longer.
const TELL_AFTER: Duration = Duration::from_millis(250);

/// How many answers, and how many bytes of them, may wait for the turn of an earlier request before the client is no
/// longer read from.
const MOST_TURNS: usize = 256;
const MOST_HELD: usize = 4 << 20;

/// One call.
pub(crate) struct StreamCall {
    dispatcher: Arc<Dispatcher>,
    metadata: MetadataMap,
    arrival: Instant,
    errors_end_it: bool,
    /// What the client sends; none once it has sent everything.
    requests: Option<Requests>,
    sender: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    open: HashMap<RequestId, Open>,
    /// Requests that have one response each are answered in the order they came.
    turns: VecDeque<Turn>,
    /// The size of the answers in `turns`.
    held: usize,
    /// What is to be sent next.
    ready: VecDeque<Result<ModelStreamInferResponse, Status>>,
    /// Comes true when the agent is to stop.
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Set while the agent is to stop and nothing is open: how long the client may take to end the call, or to ask for
    /// something that is then refused.
    lingering: Option<Pin<Box<Sleep>>>,
    /// A request of which an input has to be brought; until it is there, no other is read.
    bringing: Option<Pin<Box<dyn Future<Output = Brought> + Send>>>,
    /// A response of which an output goes to its client's shared memory; until it is there, no other is sent.
    delivering: Option<Pin<Box<dyn Future<Output = Delivered> + Send>>>,
    ended: bool,
}

/// A request whose inputs are here, or why they are not.
struct Brought {
    name: Name,
    wants_empty_final: bool,
    checked: Result<(Wish, ModelInferRequest, Targets), Failure>,
}

/// A response whose contents are where its client wants them, or why they are not.
struct Delivered {
    request: RequestId,
    name: Name,
    /// It is its request's last.
    last: bool,
    response: Result<ModelInferResponse, Failure>,
}

/// A request of the call that has not ended.
#[derive(Debug)]
struct Open {
    hold: Hold,
    name: Name,
    wants_empty_final: bool,
    /// Where its outputs are to go.
    targets: Targets,
    /// What the connection has taken, and the worker was not told of yet.
    taken: (u32, u64),
    told: Instant,
}

/// How the client knows a request.
#[derive(Clone, Debug)]
struct Name {
    id: String,
    model: String,
    version: String,
}

/// A request whose answer keeps its turn.
#[derive(Debug)]
struct Turn {
    /// None if it was refused.
    request: Option<RequestId>,
    answer: Option<Result<ModelStreamInferResponse, Status>>,
}

impl StreamCall {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>, metadata: MetadataMap, requests: Requests) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let stopping = dispatcher.stopping();
        let errors_end_it = metadata.get(GRPC_ERROR).is_some_and(|value| value.as_bytes() == b"true");
        Self {
            dispatcher,
            metadata,
            arrival: Instant::now(),
            errors_end_it,
            requests: Some(requests),
            sender,
            events,
            open: HashMap::new(),
            turns: VecDeque::new(),
            held: 0,
            ready: VecDeque::new(),
            stopping: Box::pin(stopping),
            lingering: None,
            bringing: None,
            delivering: None,
            ended: false,
        }
    }

    /// The client sent a request.
    fn begin(&mut self, infer: ModelInferRequest) {
        self.lingering = None;
        let name = Name::of(&infer);
        let wants_empty_final = is_true(infer.parameters.get(WANTS_EMPTY_FINAL));
        match self.check(infer) {
            Ok((wish, mut infer)) if Objects::has_references(&infer) => {
                let dispatcher = Arc::clone(&self.dispatcher);
                self.bringing = Some(Box::pin(async move {
                    let resolved = dispatcher.objects().resolve(&mut infer, wish.deadline).await;
                    let checked = match resolved {
                        Ok(targets) => Ok((wish, infer, targets)),
                        Err(error) => Err(dispatcher.reject(error.into())),
                    };
                    Brought { name, wants_empty_final, checked }
                }));
            }
            checked => {
                let checked = checked.map(|(wish, infer)| (wish, infer, Targets::default()));
                self.go_on(Brought { name, wants_empty_final, checked });
            }
        }
    }

    /// The request is complete: it is queued, or refused.
    fn go_on(&mut self, Brought { name, wants_empty_final, checked }: Brought) {
        let submitted = checked.and_then(|(wish, infer, targets)| {
            let submitted = self.dispatcher.submit_to_stream(&wish, infer, self.sender.clone())?;
            Ok((submitted, targets))
        });
        match submitted {
            Ok(((request, hold, may_stream), targets)) => {
                let (taken, told) = ((0, 0), Instant::now());
                self.open.insert(request, Open { hold, name, wants_empty_final, targets, taken, told });
                if !may_stream {
                    self.turns.push_back(Turn { request: Some(request), answer: None });
                }
            }
            Err(failure) => {
                let answer = self.error(name, failure);
                self.held += size_of_answer(&answer);
                self.turns.push_back(Turn { request: None, answer: Some(answer) });
                self.take_turns();
            }
        }
    }

    fn check(&self, mut infer: ModelInferRequest) -> Result<(Wish, ModelInferRequest), Failure> {
        let wish = tensor::normalize(&mut infer)
            .map_err(Failure::from)
            .and_then(|()| wanted::wish(&self.metadata, &infer, self.arrival, Instant::now()))
            .map_err(|failure| self.dispatcher.reject(failure))?;
        Ok((wish, infer))
    }

    /// Something came for one of the requests.
    fn handle(&mut self, event: Event) {
        match event.what {
            What::More(response, bytes) => {
                self.note_taken(event.request, bytes);
                self.respond(event.request, response, false);
            }
            What::Only(response) => self.respond(event.request, response, true),
            What::End => {
                if let Some(open) = self.close(event.request)
                    && open.wants_empty_final
                {
                    self.ready.push_back(Ok(answer(open.name.into_response(), true)));
                }
            }
            What::Failed(failure) => {
                if let Some(open) = self.close(event.request) {
                    let error = self.error(open.name, failure);
                    self.answer_in_turn(event.request, error);
                }
            }
        }
    }

    /// Sends a response, once its contents are where the client wants them.
    fn respond(&mut self, request: RequestId, response: ModelInferResponse, last: bool) {
        // One of which an earlier response could not be delivered has ended.
        let Some(open) = self.open.get(&request) else {
            return;
        };
        let objects = self.dispatcher.objects();
        let delivery = objects
            .is_deliverable(&open.targets, &response)
            .then(|| (Arc::clone(objects), open.name.clone(), open.targets.clone()));
        if last {
            self.close(request);
        }
        let Some((objects, name, targets)) = delivery else {
            return self.send(request, Ok(answer(response, last)), last);
        };
        self.delivering = Some(Box::pin(async move {
            let response = objects.deliver(&targets, response).await.map_err(Failure::from);
            Delivered { request, name, last, response }
        }));
    }

    /// The contents of a response are where they are to be; if they are not, its request ends.
    fn delivered(&mut self, Delivered { request, name, last, response }: Delivered) {
        let answer = match response {
            Ok(response) => Ok(answer(response, last)),
            Err(failure) => {
                // Cancels it, if there was more to come.
                self.open.remove(&request);
                self.error(name, failure)
            }
        };
        self.send(request, answer, last);
    }

    /// Sends an answer, the last one of its request in turn.
    fn send(&mut self, request: RequestId, answer: Result<ModelStreamInferResponse, Status>, last: bool) {
        if last {
            self.answer_in_turn(request, answer);
        } else {
            self.ready.push_back(answer);
        }
    }

    /// Lets the worker go on, once the connection has taken a quarter of what it may be ahead.
    fn note_taken(&mut self, request: RequestId, bytes: u64) {
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        open.taken.0 += 1;
        open.taken.1 += bytes;
        let much = open.taken.0 >= WINDOW_RESPONSES / 4 || open.taken.1 >= WINDOW_BYTES / 4;
        // A client that takes little should not look like one that takes nothing.
        if much || open.told.elapsed() >= TELL_AFTER {
            open.told = Instant::now();
            let (responses, bytes) = std::mem::take(&mut open.taken);
            self.dispatcher.consumed(request, responses, bytes);
        }
    }

    /// Sends the answer at once, or, if the request has its turn, when those before it were answered.
    fn answer_in_turn(&mut self, request: RequestId, answer: Result<ModelStreamInferResponse, Status>) {
        match self.turns.iter_mut().find(|turn| turn.request == Some(request)) {
            None => self.ready.push_back(answer),
            Some(turn) => {
                self.held += size_of_answer(&answer);
                turn.answer = Some(answer);
                self.take_turns();
            }
        }
    }

    fn take_turns(&mut self) {
        while self.turns.front().is_some_and(|turn| turn.answer.is_some()) {
            let answer = self.turns.pop_front().and_then(|turn| turn.answer);
            self.held -= answer.as_ref().map_or(0, size_of_answer);
            self.ready.extend(answer);
        }
    }

    /// True while another request may be read: not behind answers that wait for their turn, which nothing else bounds.
    fn may_read(&self) -> bool {
        self.turns.len() < MOST_TURNS && self.held < MOST_HELD
    }

    /// The request has ended.
    fn close(&mut self, request: RequestId) -> Option<Open> {
        let mut open = self.open.remove(&request)?;
        open.hold.ended();
        Some(open)
    }

    fn error(&self, name: Name, failure: Failure) -> Result<ModelStreamInferResponse, Status> {
        if self.errors_end_it {
            return Err(failure.into());
        }
        let status = Status::from(failure);
        // Without a message it would look like a response.
        let error_message = match status.message() {
            "" => status.code().description(),
            message => message,
        };
        let error_message = error_message.to_owned();
        Ok(ModelStreamInferResponse { error_message, infer_response: Some(name.into_response()) })
    }

    /// What to send next, if it is there.
    fn next_ready(&mut self) -> Option<Result<ModelStreamInferResponse, Status>> {
        let next = self.ready.pop_front()?;
        if next.is_err() {
            self.end();
        }
        Some(next)
    }

    /// Nothing more is read or sent; what is left is cancelled.
    fn end(&mut self) {
        self.ended = true;
        self.requests = None;
        self.bringing = None;
        self.delivering = None;
        self.ready.clear();
        self.open.clear();
    }
}

impl fmt::Debug for StreamCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StreamCall").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Stream for StreamCall {
    type Item = Result<ModelStreamInferResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let call = &mut *self;
        loop {
            if let Some(next) = call.next_ready() {
                return Poll::Ready(Some(next));
            }
            if call.ended {
                return Poll::Ready(None);
            }
            if let Some(delivering) = &mut call.delivering {
                let delivered = ready!(delivering.as_mut().poll(context));
                call.delivering = None;
                call.delivered(delivered);
                continue;
            }
            if let Poll::Ready(Some(event)) = call.events.poll_recv(context) {
                call.handle(event);
                continue;
            }
            if let Some(bringing) = &mut call.bringing {
                let brought = ready!(bringing.as_mut().poll(context));
                call.bringing = None;
                call.go_on(brought);
                continue;
            }
            if call.open.is_empty() && call.requests.is_none() {
                return Poll::Ready(None);
            }
            if !call.may_read() {
                return Poll::Pending;
            }
            let Some(requests) = &mut call.requests else {
                return Poll::Pending;
            };
            match Pin::new(requests).poll_next(context) {
                Poll::Ready(Some(Ok(infer))) => call.begin(infer),
                Poll::Ready(None) => call.requests = None,
                Poll::Ready(Some(Err(error))) => {
                    let status = call.read_error(error);
                    call.end();
                    return Poll::Ready(Some(Err(status)));
                }
                Poll::Pending if call.open.is_empty() && call.poll_stopping(context) => {
                    call.end();
                    // An error, because a request may be on its way that nobody is going to answer.
                    return Poll::Ready(Some(Err(Failure::Draining.into())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl StreamCall {
    /// True once the agent is to stop and the client has had time to end the call: one on which nothing happens should
    /// not hold the agent up.
    fn poll_stopping(&mut self, context: &mut Context<'_>) -> bool {
        if self.lingering.is_none() && self.stopping.as_mut().poll(context).is_pending() {
            return false;
        }
        let lingering = self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        lingering.as_mut().poll(context).is_ready()
    }

    /// What the client hears if a request could not be read; the library's own errors in the words and codes of this
    /// project's error table.
    fn read_error(&self, error: ReadError) -> Status {
        match error {
            ReadError::Failure(failure) => self.dispatcher.reject(failure).into(),
            ReadError::Status(status) if status.code() == Code::OutOfRange => {
                over_limit(self.dispatcher.max_message_size())
            }
            ReadError::Status(status) => status,
        }
    }
}

impl Name {
    fn of(infer: &ModelInferRequest) -> Self {
        Self { id: infer.id.clone(), model: infer.model_name.clone(), version: infer.model_version.clone() }
    }

    /// A response without outputs.
    fn into_response(self) -> ModelInferResponse {
        let Self { id, model, version } = self;
        ModelInferResponse { id, model_name: model, model_version: version, ..Default::default() }
    }
}

fn answer(mut response: ModelInferResponse, last: bool) -> ModelStreamInferResponse {
    let last = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(last)) };
    response.parameters.insert(FINAL.to_owned(), last);
    ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
}

fn size_of_answer(answer: &Result<ModelStreamInferResponse, Status>) -> usize {
    answer.as_ref().map_or(0, Message::encoded_len)
}

fn is_true(parameter: Option<&InferParameter>) -> bool {
    let choice = parameter.and_then(|parameter| parameter.parameter_choice.as_ref());
    matches!(choice, Some(ParameterChoice::BoolParam(true)))
}
