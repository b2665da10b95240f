//! One request, at one replica after the other until one has taken it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyserve_core::ReplicaId;
use anyserve_core::replicas::balance::{Failure, Picked};
use tokio::time::Instant;
use tonic::Code;

use super::FleetClient;
use super::wanted::Wanted;
use crate::{CallOptions, Client, ClientError};

/// So many replicas are asked that do not take the request.
const MOST_TRIES: usize = 16;
/// So often a request is sent again that may have been begun.
const MOST_REPEATS: u32 = 2;

/// What a request needs.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) wanted: Wanted,
    /// See [`anyserve_core::replicas::balance::Choice::key`].
    pub(super) key: Option<u64>,
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Attempts {
    client: FleetClient,
    need: Need,
    /// What was allowed in all, and when that is over.
    until: Option<(Duration, Instant)>,
    /// Sending it twice does no harm.
    repeatable: bool,
    tried: Vec<ReplicaId>,
    repeats: u32,
    /// One had no room for it.
    was_turned_away: bool,
    last: Option<ClientError>,
}

/// A try: at one replica, which counts the request as under way until this is dropped.
#[derive(Debug)]
pub(super) struct Attempt {
    picked: Picked,
    client: Client,
    left: Option<Duration>,
}

impl Attempts {
    pub(super) fn new(client: FleetClient, need: Need, until: Option<(Duration, Instant)>) -> Self {
        let repeatable = client.fleet.options.retry_on_failure;
        Self {
            client,
            need,
            until,
            repeatable,
            tried: Vec::new(),
            repeats: 0,
            was_turned_away: false,
            last: None,
        }
    }

    /// The same for a call that only asks something.
    pub(super) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// The next try; if there is nobody left to ask, what the last one said.
    pub(super) fn next(&mut self) -> Result<Attempt, ClientError> {
        let left = match self.until {
            None => None,
            Some((limit, until)) => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return Err(self.last.take().unwrap_or(ClientError::Timeout(limit))),
                left => Some(left),
            },
        };
        let picked = match self.client.pick(&self.need.wanted, self.need.key, &self.tried) {
            Ok(Some(picked)) => picked,
            Ok(None) => return Err(self.last.take().unwrap_or_else(|| self.client.fleet.nobody())),
            Err(error) => return Err(self.last.take().unwrap_or(error)),
        };
        let fleet = &self.client.fleet;
        let client = self.client.connections.to(picked.replica(), fleet)?;
        *fleet.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(picked.replica()));
        Ok(Attempt { picked, client, left })
    }

    /// Notes how a try failed, before there was any response; fails with its error if there may be no other.
    pub(super) fn failed(&mut self, attempt: &Attempt, error: ClientError) -> Result<(), ClientError> {
        let error = match (error, self.until) {
            // What counts is what the caller allowed, not what was left of it.
            (ClientError::Timeout(_), Some((limit, _))) => ClientError::Timeout(limit),
            (error, _) => error,
        };
        self.note_health(&attempt.picked, &error);
        if !self.may_go_on(&attempt.picked, &error) {
            return Err(error);
        }
        self.tried.push(attempt.picked.replica().id().clone());
        self.client.connections.tidy(&self.client.fleet);
        self.last = Some(error);
        Ok(())
    }

    /// Notes how a request failed that has had responses.
    pub(super) fn note_health(&self, picked: &Picked, error: &ClientError) {
        let now = self.client.fleet.now();
        match error {
            ClientError::Unreachable { .. } | ClientError::Lost { .. } => {
                picked.failed(Failure::Refused, now);
            }
            ClientError::Status(status) if status.code() == Code::Unavailable => {
                // One that has not begun it does not take requests at all: it shuts down.
                let failure = if error.is_not_begun() { Failure::Refused } else { Failure::Failed };
                picked.failed(failure, now);
            }
            ClientError::Timeout(_) => picked.failed(Failure::Failed, now),
            _ => picked.succeeded(),
        }
    }

    fn may_go_on(&mut self, picked: &Picked, error: &ClientError) -> bool {
        if self.tried.len() + 1 >= MOST_TRIES {
            return false;
        }
        if error.is_not_begun() {
            let is_full = is_status(error, Code::ResourceExhausted);
            // A fleet without room had better hear less of a request, not more.
            return !is_full || !std::mem::replace(&mut self.was_turned_away, true);
        }
        let is_lost = matches!(error, ClientError::Lost { .. }) || is_status(error, Code::Unavailable);
        if is_lost && self.repeats < MOST_REPEATS && self.is_repeatable(picked) {
            self.repeats += 1;
            return true;
        }
        false
    }

    fn is_repeatable(&self, picked: &Picked) -> bool {
        let query = match &self.need.wanted {
            Wanted::Query(query) => Some(query.clone()),
            Wanted::Model { name, version } => {
                self.client.fleet.follower.directory().read().query_for_model(name, version).ok()
            }
            Wanted::Anything => None,
        };
        self.repeatable || query.is_some_and(|query| picked.replica().is_idempotent(&query))
    }
}

impl Attempt {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn left(&self) -> Option<Duration> {
        self.left
    }

    /// The options of the call at this replica; what is wanted is in the request by now.
    pub(super) fn options(&self, call: &CallOptions) -> CallOptions {
        CallOptions { capability: None, timeout: self.left, headers: call.headers.clone() }
    }

    /// The replica has answered.
    pub(super) fn succeeded(&self) {
        self.picked.succeeded();
    }

    pub(super) fn picked(&self) -> &Picked {
        &self.picked
    }
}

fn is_status(error: &ClientError, code: Code) -> bool {
    matches!(error, ClientError::Status(status) if status.code() == code)
}
