//! A request that has not ended, and who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyserve_core::scheduler::{OfferId, Priority, RequestId, Time};
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::tensor;
use bytes::Bytes;
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::Wish;
use crate::failure::Failure;
use crate::telemetry::Stats;
use crate::trace::Trace;

/// How far a worker's stream may be ahead of its client.
pub(crate) const WINDOW_RESPONSES: u32 = 64;
pub(crate) const WINDOW_BYTES: u64 = 1 << 20;

/// What an assignment adds to its request, besides the sizes of the tensors.
const ASSIGN_OVERHEAD: usize = 256;

/// A request that has not ended.
#[derive(Debug)]
pub(super) struct Pending {
    /// The request without contents; kept, because it may have to be sent once more.
    pub(super) infer: ModelInferRequest,
    pub(super) contents: Vec<Bytes>,
    pub(super) deadline: Option<Instant>,
    /// What the client itself said.
    pub(super) priority: Option<Priority>,
    pub(super) trace: Option<Arc<Trace>>,
    pub(super) client: Client,
    pub(super) times: Times,
    /// Responses of a stream that its client has not taken.
    pub(super) outstanding: u32,
}

/// What happened to a request when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) arrived: Time,
    /// The first offer that it might run under.
    pub(super) offer: Option<OfferId>,
    /// The offer under which it runs, and since when.
    pub(super) assigned: Option<(OfferId, Time)>,
    pub(super) batch_size: u64,
    /// It stands for its batch where batches are counted.
    pub(super) leads: bool,
    responded: bool,
}

/// Who waits for a request.
#[derive(Debug)]
pub(crate) enum Client {
    /// One response.
    Unary(oneshot::Sender<Result<ModelInferResponse, Failure>>),
    /// Any number of them, in the stream of a call that may have other requests too.
    Stream(mpsc::UnboundedSender<Event>),
}

/// Something for a stream of responses.
#[derive(Debug)]
pub(crate) struct Event {
    /// Whose it is.
    pub(crate) request: RequestId,
    pub(crate) what: What,
    /// Counts it for as long as nobody has taken it.
    _unread: Unread,
}

/// The size of all responses that nobody has taken yet.
#[derive(Clone, Debug, Default)]
pub(super) struct UnreadBytes(Arc<AtomicU64>);

#[derive(Debug)]
struct Unread {
    all: UnreadBytes,
    bytes: u64,
}

impl UnreadBytes {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) -> Unread {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Unread { all: self.clone(), bytes }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What came for a request of a stream.
#[derive(Debug)]
pub(crate) enum What {
    /// A response, and the bytes that it takes of the stream's window; others follow, or the end does.
    More(ModelInferResponse, u64),
    /// The only response of a request whose handler does not stream.
    Only(ModelInferResponse),
    /// It has had all its responses.
    End,
    /// It failed.
    Failed(Failure),
}

impl Client {
    /// True if it takes any number of responses.
    pub(super) fn takes_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

impl Pending {
    pub(super) fn new(mut infer: ModelInferRequest, wish: &Wish, client: Client, arrived: Time) -> Self {
        let Wish { deadline, priority, ref trace, .. } = *wish;
        let trace = trace.clone();
        let contents = std::mem::take(&mut infer.raw_input_contents);
        let times =
            Times { arrived, offer: None, assigned: None, batch_size: 0, leads: false, responded: false };
        Self { infer, contents, deadline, priority, trace, client, times, outstanding: 0 }
    }

    /// Refuses what no frame of a worker's channel can hold: very many tensors, each of which is padded there.
    pub(super) fn check_frame(&self) -> Result<(), Failure> {
        let message = self.infer.encoded_len() + ASSIGN_OVERHEAD;
        let framed = anyserve_channel::framed_size(message, self.own_contents());
        if u32::try_from(framed).is_ok() {
            return Ok(());
        }
        let tensors = self.contents.len();
        Err(Failure::Invalid(format!(
            "the request's {tensors} tensors take {framed} bytes on their way to a worker, which is over {}",
            u32::MAX
        )))
    }

    /// The size of the tensors that came with it.
    pub(super) fn bytes(&self) -> u64 {
        self.own_contents().map(|content| content.len() as u64).sum()
    }

    /// The contents that came with it; what it refers to is there anyhow.
    fn own_contents(&self) -> impl Iterator<Item = &Bytes> {
        let inputs = self.infer.inputs.iter().zip(&self.contents);
        inputs.filter(|(input, _)| !tensor::is_elsewhere(&input.parameters)).map(|(_, content)| content)
    }

    /// Passes a response of a stream on.
    pub(super) fn part(
        &mut self,
        id: RequestId,
        response: ModelInferResponse,
        bytes: u64,
        unread: &UnreadBytes,
    ) -> Result<(), Failure> {
        let response = finish(&self.infer, response)?;
        self.outstanding += 1;
        if let Client::Stream(events) = &self.client {
            // Nobody listens when the client has just left.
            let what = What::More(response, bytes);
            let _ = events.send(Event { request: id, what, _unread: unread.add(bytes) });
        }
        Ok(())
    }

    /// The last response as the client gets it: the only one, or none after those of a stream.
    pub(super) fn finished(
        &self,
        response: Option<ModelInferResponse>,
    ) -> Result<Option<ModelInferResponse>, Failure> {
        match (response, &self.client) {
            (None, Client::Unary(_)) => {
                Err(Failure::Invalid("the handler ended without a response".to_owned()))
            }
            (response, _) => response.map(|response| finish(&self.infer, response)).transpose(),
        }
    }

    /// The last word: the only response, the end of a stream, or a failure. Nobody listens when the client has left.
    pub(super) fn end(
        self,
        id: RequestId,
        result: Result<Option<ModelInferResponse>, Failure>,
        unread: &UnreadBytes,
    ) {
        match self.client {
            Client::Unary(answer) => {
                // A response is there, or `finished` has made it a failure.
                let _ = answer.send(result.map(Option::unwrap_or_default));
            }
            Client::Stream(events) => {
                let bytes = |response: &ModelInferResponse| {
                    response.raw_output_contents.iter().map(|content| content.len() as u64).sum()
                };
                let bytes = result.as_ref().ok().and_then(Option::as_ref).map_or(0, bytes);
                let what = match result {
                    Ok(Some(response)) => What::Only(response),
                    Ok(None) => What::End,
                    Err(failure) => What::Failed(failure),
                };
                let _ = events.send(Event { request: id, what, _unread: unread.add(bytes) });
            }
        }
    }

    /// For the log: what the client calls it.
    pub(super) fn describe(&self, id: RequestId) -> String {
        format!("request {} (id '{}', model '{}')", id.0, self.infer.id, self.infer.model_name)
    }
}

impl Times {
    /// A response leaves for the client.
    pub(super) fn responded(&mut self, stats: &mut Stats, now: Time) {
        if let Some((offer, _)) = self.assigned {
            let stats = stats.offer(offer);
            stats.responses += 1;
            if !std::mem::replace(&mut self.responded, true) {
                stats.responded(self.arrived, now);
            }
        }
    }

    /// The request has ended.
    pub(super) fn ended(&self, stats: &mut Stats, failure: Option<&Failure>, now: Time) {
        let Some(offer) = self.assigned.map(|(offer, _)| offer).or(self.offer) else {
            return;
        };
        let stats = stats.offer(offer);
        let outcome = failure.map_or("ok", Failure::outcome);
        let assigned = self.assigned.map(|(_, since)| (since, self.leads.then_some(self.batch_size)));
        stats.ended(outcome, self.arrived, assigned, now);
        if self.assigned.is_some() {
            stats.returned();
        }
    }
}

/// What the protocol promises of every response: the request's name and id, and the outputs that were asked for.
fn finish(
    request: &ModelInferRequest,
    mut response: ModelInferResponse,
) -> Result<ModelInferResponse, Failure> {
    if response.model_name.is_empty() {
        response.model_name.clone_from(&request.model_name);
    }
    if response.id.is_empty() {
        response.id.clone_from(&request.id);
    }
    if !request.outputs.is_empty() {
        pick(request, &mut response)?;
    }
    leave_out_elsewhere(&mut response);
    Ok(response)
}

/// Leaves the outputs that were asked for, in that order.
fn pick(request: &ModelInferRequest, response: &mut ModelInferResponse) -> Result<(), Failure> {
    let given: Vec<_> = std::mem::take(&mut response.outputs)
        .into_iter()
        .zip(std::mem::take(&mut response.raw_output_contents))
        .collect();
    for requested in &request.outputs {
        let found = given.iter().find(|(output, _)| output.name == requested.name);
        let (output, contents) = found.cloned().ok_or_else(|| {
            let names: Vec<_> = given.iter().map(|(output, _)| format!("'{}'", output.name)).collect();
            Failure::Invalid(format!(
                "output '{}' was requested, but the handler gave {}",
                requested.name,
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ))
        })?;
        response.outputs.push(output);
        response.raw_output_contents.push(contents);
    }
    Ok(())
}

/// On the wire there are raw contents only for outputs whose contents are here.
fn leave_out_elsewhere(response: &mut ModelInferResponse) {
    let ModelInferResponse { outputs, raw_output_contents, .. } = response;
    if outputs.iter().any(|output| tensor::is_elsewhere(&output.parameters)) {
        let mut outputs = outputs.iter();
        raw_output_contents
            .retain(|_| outputs.next().is_none_or(|output| !tensor::is_elsewhere(&output.parameters)));
    }
}
