//! All that is known of requests and workers, behind the dispatcher's one lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_channel::Sender;
use anyserve_core::scheduler::{Assignment, Cancelled, Orphan, PoolId, Rejection, RequestId, Time, WorkerId};
use anyserve_core::{Catalog, Scheduler};
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve_proto::worker::{Assign, Cancel, Failure as WorkerFailure, Recall, Reply, ToWorker, to_worker};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::hello::{Declaration, Described, HelloError};
use super::{Violation, Wanted, time_left};
use crate::failure::Failure;
use crate::worker::WorkerExit;

#[derive(Debug)]
pub(super) struct State {
    pub(super) scheduler: Scheduler,
    pub(super) catalog: Catalog,
    pub(super) draining: bool,
    /// The ticker is awake and need not be woken.
    pub(super) ticking: bool,
    /// The one pool and what its workers serve, once the first of them has said so.
    pool: Option<(PoolId, Vec<Described>)>,
    requests: HashMap<RequestId, Pending>,
    workers: HashMap<WorkerId, Link>,
    last_request: u64,
}

/// A request that has not ended.
#[derive(Debug)]
pub(super) struct Pending {
    /// The request without contents; kept, because it may have to be sent once more.
    infer: ModelInferRequest,
    contents: Vec<Bytes>,
    deadline: Option<Instant>,
    answer: oneshot::Sender<Result<ModelInferResponse, Failure>>,
}

/// What the dispatcher holds of a worker.
#[derive(Debug)]
pub(crate) struct Link {
    sender: Arc<Sender>,
    /// Ends the worker for a reason; taken when it is used.
    kill: Option<oneshot::Sender<WorkerExit>>,
}

impl Pending {
    pub(super) fn new(
        mut infer: ModelInferRequest,
        deadline: Option<Instant>,
        answer: oneshot::Sender<Result<ModelInferResponse, Failure>>,
    ) -> Self {
        let contents = std::mem::take(&mut infer.raw_input_contents);
        Self { infer, contents, deadline, answer }
    }

    fn end(self, result: Result<ModelInferResponse, Failure>) {
        // Nobody listens when the client has just left.
        let _ = self.answer.send(result);
    }
}

impl Link {
    pub(crate) fn new(sender: Arc<Sender>, kill: oneshot::Sender<WorkerExit>) -> Self {
        Self { sender, kill: Some(kill) }
    }

    /// Sends a message; false if no frame can hold it.
    fn send(&self, message: to_worker::Message, payload: &[Bytes]) -> Result<(), Failure> {
        let message = ToWorker { message: Some(message) };
        self.sender.send(&message, payload).map_err(|error| Failure::Invalid(error.to_string()))
    }

    /// Sends the request; what it holds is back in `pending` afterwards.
    fn assign(&self, assignment: Assignment, pending: &mut Pending) -> Result<(), Failure> {
        let assign = Assign {
            request: assignment.request.0,
            sequence: assignment.sequence,
            capability: u32::try_from(assignment.offer).unwrap_or(u32::MAX),
            timeout_us: pending
                .deadline
                .map(|deadline| u64::try_from(time_left(deadline).as_micros()).unwrap_or(u64::MAX)),
            payload_sizes: pending.contents.iter().map(|content| content.len() as u64).collect(),
            infer: Some(std::mem::take(&mut pending.infer)),
        };
        let message = ToWorker { message: Some(to_worker::Message::Assign(assign)) };
        let sent = self.sender.send(&message, &pending.contents);
        if let Some(to_worker::Message::Assign(Assign { infer: Some(infer), .. })) = message.message {
            pending.infer = infer;
        }
        sent.map_err(|error| Failure::Invalid(error.to_string()))
    }
}

impl State {
    pub(super) fn new(max_queue_size: usize) -> Self {
        Self {
            scheduler: Scheduler::new(max_queue_size),
            catalog: Catalog::default(),
            draining: false,
            ticking: false,
            pool: None,
            requests: HashMap::new(),
            workers: HashMap::new(),
            last_request: 0,
        }
    }

    pub(super) fn submit(&mut self, wanted: Wanted, pending: Pending) -> Result<RequestId, Failure> {
        if self.draining {
            return Err(Failure::Draining);
        }
        if self.pool.is_none() {
            return Err(Failure::Starting);
        }
        let query = match wanted {
            Wanted::Pairs(query) => query,
            Wanted::Model { name, .. } if name.is_empty() => return Err(Failure::NoCapability),
            Wanted::Model { name, version } => self.catalog.query_for_model(&name, &version)?,
        };
        self.last_request += 1;
        let id = RequestId(self.last_request);
        self.scheduler.submit(id, &query).map_err(|rejection| match rejection {
            Rejection::NoMatch => Failure::NoMatch(self.catalog.explain_no_match(&query)),
            Rejection::QueueFull(limit) => Failure::QueueFull(limit),
        })?;
        self.requests.insert(id, pending);
        Ok(id)
    }

    pub(super) fn assign_all(&mut self, now: Time) {
        while let Some(assignment) = self.scheduler.next(now) {
            let id = assignment.request;
            let (Some(pending), Some(link)) =
                (self.requests.get_mut(&id), self.workers.get(&assignment.worker))
            else {
                continue;
            };
            if let Err(failure) = link.assign(assignment, pending) {
                self.scheduler.complete(assignment.worker, id, now);
                self.end(id, Err(failure));
            }
        }
    }

    pub(super) fn worker_ready(
        &mut self,
        worker: WorkerId,
        declaration: Declaration,
        link: Link,
    ) -> Result<(), HelloError> {
        let Declaration { capabilities, concurrency } = declaration;
        let pool = match &self.pool {
            Some((pool, known)) if *known == capabilities => *pool,
            Some(_) => return Err(HelloError::Changed),
            None => {
                let offers: Vec<_> = capabilities.iter().map(|described| described.offer.clone()).collect();
                for offer in &offers {
                    self.catalog.insert(offer.capability.clone());
                }
                let pool = self.scheduler.add_pool(offers);
                self.pool = Some((pool, capabilities));
                pool
            }
        };
        self.workers.insert(worker, link);
        self.scheduler.worker_ready(worker, pool, concurrency);
        Ok(())
    }

    pub(super) fn reply(
        &mut self,
        worker: WorkerId,
        reply: Reply,
        payload: Bytes,
        now: Time,
    ) -> Result<(), Violation> {
        let contents = anyserve_channel::split_payload(payload, &reply.payload_sizes)?;
        let mut response = reply.infer.unwrap_or_default();
        if response.outputs.len() != contents.len() {
            let (outputs, contents) = (response.outputs.len(), contents.len());
            return Err(Violation::OutputCount { outputs, contents });
        }
        response.raw_output_contents = contents;
        self.complete(worker, reply.request, Ok(response), now)
    }

    pub(super) fn failure(
        &mut self,
        worker: WorkerId,
        failure: WorkerFailure,
        debug: bool,
        now: Time,
    ) -> Result<(), Violation> {
        let (kind, retry_after) = (failure.kind(), failure.retry_after_ms.map(Duration::from_millis));
        let mut message = failure.message;
        if debug && !failure.traceback.is_empty() {
            message = format!("{message}\n{}", failure.traceback);
        }
        self.complete(worker, failure.request, Err(Failure::Handler { kind, message, retry_after }), now)
    }

    pub(super) fn returned(
        &mut self,
        worker: WorkerId,
        requests: &[u64],
        now: Time,
    ) -> Result<(), Violation> {
        let ids: Vec<_> = requests.iter().copied().map(RequestId).collect();
        if self.scheduler.returned(worker, &ids, now) {
            Ok(())
        } else {
            Err(Violation::NotHeld(requests.first().copied().unwrap_or_default()))
        }
    }

    pub(super) fn worker_gone(&mut self, worker: WorkerId, claimed: u64, exit: &WorkerExit) {
        self.workers.remove(&worker);
        for orphan in self.scheduler.worker_gone(worker, claimed) {
            match orphan {
                Orphan::Requeued(request) => tracing::debug!(request = request.0, "requeued"),
                Orphan::Lost(request) => self.end(request, Err(Failure::WorkerLost(exit.to_string()))),
            }
        }
    }

    pub(super) fn cancel(&mut self, request: RequestId) {
        self.requests.remove(&request);
        if let Cancelled::Assigned(worker) = self.scheduler.cancel(request)
            && let Some(link) = self.workers.get(&worker)
        {
            let _ = link.send(to_worker::Message::Cancel(Cancel { request: request.0 }), &[]);
        }
    }

    pub(super) fn recall(&mut self, worker: WorkerId) {
        if let Some(link) = self.workers.get(&worker) {
            let _ = link.send(to_worker::Message::Recall(Recall {}), &[]);
        }
    }

    /// Ends a worker whose handler ran too long, and the request it ran.
    pub(super) fn hung(&mut self, worker: WorkerId, request: RequestId) {
        let Some(kill) = self.workers.get_mut(&worker).and_then(|link| link.kill.take()) else {
            return;
        };
        let timeout = self.scheduler.timeout(worker, request).unwrap_or_default();
        self.scheduler.cancel(request);
        self.end(request, Err(Failure::Hung(timeout)));
        let _ = kill.send(WorkerExit::Hung(timeout));
    }

    pub(super) fn abandon(&mut self) -> Vec<String> {
        let left = std::mem::take(&mut self.requests);
        let describe = |(id, pending): (RequestId, Pending)| {
            self.scheduler.cancel(id);
            let what =
                format!("request {} (id '{}', model '{}')", id.0, pending.infer.id, pending.infer.model_name);
            pending.end(Err(Failure::Draining));
            what
        };
        left.into_iter().map(describe).collect()
    }

    pub(super) fn describe(&self, name: &str, version: &str) -> Result<(Described, bool), Failure> {
        if name.is_empty() {
            return Err(Failure::NoCapability);
        }
        let query = self.catalog.query_for_model(name, version)?;
        let no_match = || Failure::NoMatch(self.catalog.explain_no_match(&query));
        let (offer, ready) = self.scheduler.lookup(&query).ok_or_else(no_match)?;
        let mut known = self.pool.iter().flat_map(|(_, known)| known);
        let described = known.find(|described| described.offer == *offer).ok_or_else(no_match)?;
        Ok((described.clone(), ready && !self.draining))
    }

    fn complete(
        &mut self,
        worker: WorkerId,
        request: u64,
        result: Result<ModelInferResponse, Failure>,
        now: Time,
    ) -> Result<(), Violation> {
        let id = RequestId(request);
        self.scheduler.complete(worker, id, now).ok_or(Violation::NotHeld(request))?;
        self.end(id, result);
        Ok(())
    }

    /// Ends a request, if anybody still waits for it.
    fn end(&mut self, id: RequestId, result: Result<ModelInferResponse, Failure>) {
        if let Some(pending) = self.requests.remove(&id) {
            let result = result.and_then(|response| finish(&pending.infer, response));
            pending.end(result);
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
    if request.outputs.is_empty() {
        return Ok(response);
    }
    let given: Vec<_> = response.outputs.into_iter().zip(response.raw_output_contents).collect();
    (response.outputs, response.raw_output_contents) = (Vec::new(), Vec::new());
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
    Ok(response)
}
