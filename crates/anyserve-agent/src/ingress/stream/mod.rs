//! `ModelStreamInfer`: many requests on one call, each with any number of responses.
//!
//! The call has no task of its own: whoever sends the responses polls it, and it reads requests as it goes. So a client
//! that takes no responses is not read from either, and dropping the call cancels what is left of it.

mod elsewhere;
mod names;
mod turns;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anyserve_core::scheduler::RequestId;
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use anyserve_proto::tensor;
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use elsewhere::{Elsewhere, Passed};
use names::{FINAL, Name, answer, is_true};
use turns::{Answer, Turns};

use super::edge::over_limit;
use super::reader::ReadError;
use super::requests::Requests;
use super::wanted;
use crate::delegate::{Part, Route, onward};
use crate::dispatch::{Dispatcher, Event, Hold, WINDOW_BYTES, WINDOW_RESPONSES, What, Wish};
use crate::failure::Failure;
use crate::objects::{Objects, Targets};

/// A request that wants to be told of its end by an empty response.
const WANTS_EMPTY_FINAL: &str = "triton_enable_empty_final_response";
/// Metadata of a call whose first error is to end it with a gRPC status.
const GRPC_ERROR: &str = "triton_grpc_error";

/// How long a call on which nothing is open may stay when the agent stops.
const LINGER: Duration = Duration::from_millis(200);

/// What was taken of a stream is not kept from its worker for longer.
const TELL_AFTER: Duration = Duration::from_millis(250);

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
    /// Those that other replicas serve; none before the first.
    elsewhere: Option<Elsewhere>,
    open: HashMap<Key, Open>,
    /// Requests that have one response each are answered in the order they came.
    turns: Turns,
    /// What is to be sent next.
    ready: VecDeque<Answer>,
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
    checked: Result<(Checked, Targets), Failure>,
}

/// A request that is well formed.
struct Checked {
    wish: Wish,
    infer: ModelInferRequest,
    /// Where it goes if it is not served here.
    route: Option<Route>,
}

/// A response whose contents are where its client wants them, or why they are not.
struct Delivered {
    request: Key,
    name: Name,
    /// It is its request's last.
    last: bool,
    response: Result<ModelInferResponse, Failure>,
}

/// A request of the call that has not ended.
#[derive(Debug)]
struct Open {
    hold: Held,
    name: Name,
    wants_empty_final: bool,
    /// Where its outputs are to go.
    targets: Targets,
    /// What the connection has taken, and the worker was not told of yet.
    taken: (u32, u64),
    told: Instant,
}

/// A request of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Here(RequestId),
    /// By its number among those that were passed on.
    Elsewhere(u64),
}

/// What cancels a request when it is dropped before its end.
#[derive(Debug)]
enum Held {
    Here(Hold),
    Elsewhere(Passed),
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
            elsewhere: None,
            open: HashMap::new(),
            turns: Turns::default(),
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
            Ok(checked) if Objects::has_references(&checked.infer) => {
                self.bringing =
                    Some(Box::pin(bring(Arc::clone(&self.dispatcher), name, wants_empty_final, checked)));
            }
            checked => {
                let checked = checked.map(|checked| (checked, Targets::default()));
                self.go_on(Brought { name, wants_empty_final, checked });
            }
        }
    }

    /// The request is complete: it is queued, passed on, or refused.
    fn go_on(&mut self, Brought { name, wants_empty_final, checked }: Brought) {
        let begun = checked.and_then(|(checked, targets)| Ok((self.submit(checked)?, targets)));
        match begun {
            Ok(((request, hold, may_stream), targets)) => {
                let (taken, told) = ((0, 0), Instant::now());
                self.open.insert(request, Open { hold, name, wants_empty_final, targets, taken, told });
                if !may_stream {
                    self.turns.wait(request);
                }
            }
            Err(failure) => {
                let answer = self.error(name, failure);
                self.turns.refuse(answer);
                self.take_turns();
            }
        }
    }

    /// Queues a request, or passes it on; also returns whether it may have many responses, as far as that is known.
    fn submit(&mut self, Checked { wish, infer, route }: Checked) -> Result<(Key, Held, bool), Failure> {
        let delegate = self.dispatcher.delegate();
        if let Some((route, delegate)) = route.zip(delegate) {
            let headers = onward(self.metadata.as_ref());
            let elsewhere = self.elsewhere.get_or_insert_with(Elsewhere::new);
            let (request, passed) = elsewhere.begin(delegate, (route, &wish), headers, infer)?;
            return Ok((request, Held::Elsewhere(passed), false));
        }
        let (request, hold, may_stream) =
            self.dispatcher.submit_to_stream(&wish, infer, self.sender.clone())?;
        Ok((Key::Here(request), Held::Here(hold), may_stream))
    }

    fn check(&self, mut infer: ModelInferRequest) -> Result<Checked, Failure> {
        let wish = tensor::normalize(&mut infer)
            .map_err(Failure::from)
            .and_then(|()| wanted::wish(&self.metadata, &infer, self.arrival, Instant::now()))
            .map_err(|failure| self.dispatcher.reject(failure))?;
        let route = self.dispatcher.route(&wish.wanted, self.metadata.as_ref())?;
        Ok(Checked { wish, infer, route })
    }

    /// Something came for a request that another replica has.
    fn handle_part(&mut self, request: Key, part: Part) {
        match part {
            Part::Response(ModelStreamInferResponse { infer_response: Some(response), error_message })
                if error_message.is_empty() =>
            {
                let last = is_true(response.parameters.get(FINAL));
                if !last {
                    // It has many, so it keeps none waiting.
                    self.turns.leave(request);
                    self.take_turns();
                }
                self.respond(request, response, last);
            }
            // No replica sends that on a call whose first error ends it.
            Part::Response(message) => self.ready.push_back(Ok(message)),
            Part::End(Ok(())) => {
                self.close(request);
                self.turns.leave(request);
                self.take_turns();
            }
            Part::End(Err(failure)) => self.failed(request, failure),
        }
    }

    /// Something came for one of the requests.
    fn handle(&mut self, event: Event) {
        match event.what {
            What::More(response, bytes) => {
                self.note_taken(event.request, bytes);
                self.respond(Key::Here(event.request), response, false);
            }
            What::Only(response) => self.respond(Key::Here(event.request), response, true),
            What::End => {
                if let Some(open) = self.close(Key::Here(event.request))
                    && open.wants_empty_final
                {
                    self.ready.push_back(Ok(answer(open.name.into_response(), true)));
                }
            }
            What::Failed(failure) => self.failed(Key::Here(event.request), failure),
        }
    }

    fn failed(&mut self, request: Key, failure: Failure) {
        if let Some(open) = self.close(request) {
            let error = self.error(open.name, failure);
            self.answer_in_turn(request, error);
        }
    }

    /// Sends a response, once its contents are where the client wants them.
    fn respond(&mut self, request: Key, response: ModelInferResponse, last: bool) {
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
    fn send(&mut self, request: Key, answer: Answer, last: bool) {
        if last {
            self.answer_in_turn(request, answer);
        } else {
            self.ready.push_back(answer);
        }
    }

    /// Lets the worker go on, once the connection has taken a quarter of what it may be ahead.
    fn note_taken(&mut self, request: RequestId, bytes: u64) {
        let Some(open) = self.open.get_mut(&Key::Here(request)) else {
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
    fn answer_in_turn(&mut self, request: Key, answer: Answer) {
        self.ready.extend(self.turns.answer(request, answer));
        self.take_turns();
    }

    fn take_turns(&mut self) {
        self.ready.extend(std::iter::from_fn(|| self.turns.pop()));
    }

    /// The request has ended.
    fn close(&mut self, request: Key) -> Option<Open> {
        let mut open = self.open.remove(&request)?;
        match &mut open.hold {
            Held::Here(hold) => hold.ended(),
            Held::Elsewhere(passed) => passed.ended(),
        }
        Some(open)
    }

    fn error(&self, name: Name, failure: Failure) -> Answer {
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
    fn next_ready(&mut self) -> Option<Answer> {
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
        self.elsewhere = None;
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
            if let Some(elsewhere) = &mut call.elsewhere
                && let Poll::Ready((request, part)) = elsewhere.poll(context)
            {
                call.handle_part(request, part);
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
            if !call.turns.may_grow() {
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

/// Brings what a request refers to.
async fn bring(
    dispatcher: Arc<Dispatcher>,
    name: Name,
    wants_empty_final: bool,
    mut checked: Checked,
) -> Brought {
    let (objects, infer) = (dispatcher.objects(), &mut checked.infer);
    let resolved = match checked.route {
        Some(_) => objects.resolve_for_another(infer).await,
        None => objects.resolve(infer, checked.wish.deadline).await,
    };
    let checked = match resolved {
        Ok(targets) => Ok((checked, targets)),
        Err(error) => Err(dispatcher.reject(error.into())),
    };
    Brought { name, wants_empty_final, checked }
}
