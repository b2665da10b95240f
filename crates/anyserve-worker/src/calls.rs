//! Requests that handlers make of other workers, in the middle of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::object::micros;
use anyserve_proto::worker::failure::Kind;
use anyserve_proto::worker::{Answer, Infer, Taken, answer, call, to_agent};
use bytes::Bytes;
use prost::Message;

use crate::failure::Failure;
use crate::inbox::Answered;
use crate::lead::Shared;

/// How long an answer is waited for beyond the time that the agent was given.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// So many answers of a stream, and so many bytes of them, may be taken before the agent is told. Less than a half of the
/// agent's window, so that a stream never waits for what was taken.
const TELL_ANSWERS: u32 = 16;
const TELL_BYTES: u64 = 256 * 1024;

/// What a handler may ask of other workers. Usable from any thread.
#[derive(Clone, Debug)]
pub struct Calls(Arc<Shared>);

/// What a call asks for.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The request, as a client would send it, without contents.
    pub request: ModelInferRequest,
    /// The raw contents of its inputs, but for those that are references.
    pub contents: Vec<Bytes>,
    /// How long its answer is waited for.
    pub timeout: Option<Duration>,
    /// The requests in whose handler it is made, by [their ids](crate::Request::id): one, those of a batch, or none.
    pub callers: Vec<u64>,
    /// It takes any number of responses.
    pub stream: bool,
    /// `HOST:PORT` of the server to ask, instead of whoever serves it.
    pub endpoint: Option<String>,
}

/// A response and the contents of its outputs.
pub type Response = (ModelInferResponse, Vec<Bytes>);

/// A call that is under way. Dropping it tells the agent that nobody waits any longer.
#[derive(Debug)]
pub struct Call {
    shared: Arc<Shared>,
    id: u64,
    timeout: Option<Duration>,
    until: Option<Instant>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    /// What was taken of a stream, and the agent was not told of.
    answers: u32,
    bytes: u64,
}

impl Calls {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Makes a call. With `watched`, [`crate::News`] say when something has come for it.
    pub fn begin(&self, ask: Ask, watched: bool) -> Result<Call, Failure> {
        let Ask { request, contents, timeout, callers, stream, endpoint } = ask;
        let infer = Infer {
            request: Some(request),
            timeout_us: timeout.map(micros),
            callers,
            stream,
            endpoint: endpoint.unwrap_or_default(),
        };
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout.saturating_add(GRACE)));
        let shared = Arc::clone(&self.0);
        let id = shared.begin_call(call::What::Infer(infer), &contents, watched)?;
        Ok(Call { shared, id, timeout, until, state: Mutex::default() })
    }

    /// Makes a call that has one response, and waits for it.
    pub fn infer(&self, ask: Ask) -> Result<Response, Failure> {
        let call = self.begin(ask, false)?;
        call.next()?.ok_or_else(|| Failure::new(Kind::Internal, "the agent ended a call without an answer"))
    }
}

impl Call {
    /// As [`crate::News`] name it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the next response; none after the last, or once the call was [cancelled](Self::cancel).
    pub fn next(&self) -> Result<Option<Response>, Failure> {
        if self.state().ended {
            return Ok(None);
        }
        match self.shared.next_answer(self.id, self.until) {
            Some(answered) => self.take(answered),
            None if self.state().ended => Ok(None),
            None => {
                self.cancel();
                let message = format!("no answer within {:?}", self.timeout.unwrap_or_default());
                Err(Failure::new(Kind::DeadlineExceeded, message))
            }
        }
    }

    /// The same if it is there; else none.
    pub fn try_next(&self) -> Result<Option<Option<Response>>, Failure> {
        if self.state().ended {
            return Ok(Some(None));
        }
        let found = self.shared.inbox.lock().take_answer(self.id);
        found.map(|answered| self.take(answered)).transpose()
    }

    /// Nobody waits any longer: the agent ends what is left of the call, and who waits here for it gets nothing.
    pub fn cancel(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        drop(state);
        self.shared.give_up(self.id);
    }

    fn take(&self, (answer, contents): Answered) -> Result<Option<Response>, Failure> {
        let Answer { result, more, .. } = answer;
        if !more {
            self.state().ended = true;
            self.shared.inbox.lock().forget_answer(self.id);
        }
        match result {
            Some(answer::Result::Inferred(response)) => {
                if more {
                    self.taken(&response, &contents);
                }
                Ok(Some((response, contents)))
            }
            Some(answer::Result::Ended(_)) => Ok(None),
            other => Err(failure_of(other)),
        }
    }

    /// Lets the agent send more, once enough of what it sent was taken.
    fn taken(&self, response: &ModelInferResponse, contents: &[Bytes]) {
        let mut state = self.state();
        state.answers += 1;
        state.bytes += size_of(response, contents);
        if state.answers >= TELL_ANSWERS || state.bytes >= TELL_BYTES {
            let (answers, bytes) = (std::mem::take(&mut state.answers), std::mem::take(&mut state.bytes));
            drop(state);
            self.shared.send(to_agent::Message::Taken(Taken { call: self.id, answers, bytes }), &[]);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// As both ends count it towards the window of a stream.
fn size_of(response: &ModelInferResponse, contents: &[Bytes]) -> u64 {
    (response.encoded_len() + contents.iter().map(Bytes::len).sum::<usize>()) as u64
}

/// What went wrong, of an answer that is not what was asked for.
pub(crate) fn failure_of(result: Option<answer::Result>) -> Failure {
    match result {
        Some(answer::Result::Failure(failure)) => Failure {
            kind: failure.kind(),
            retry_after: failure.retry_after_ms.map(Duration::from_millis),
            message: failure.message,
            traceback: failure.traceback,
        },
        Some(other) => {
            let message = format!("the agent gave another answer than was asked for: {other:?}");
            Failure::new(Kind::Internal, message)
        }
        None => Failure::new(Kind::Internal, "the agent sent an empty answer"),
    }
}
