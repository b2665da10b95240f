//! The responses to one request, from whichever replica takes it.

use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse};

use super::attempts::{Attempt, Attempts};
use crate::{CallOptions, ClientError, ResponseStream};

/// The responses to one request. Dropping it cancels the request.
///
/// Until the first response came, the request may go to another replica, as [`super::FleetClient`] describes it.
#[derive(Debug)]
pub struct FleetStream {
    attempts: Attempts,
    request: ModelInferRequest,
    headers: Vec<(String, String)>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The next replica is to be asked.
    Ready,
    Asked(Attempt, ResponseStream),
    /// There was a response: no other replica from here on.
    Answered(Attempt, ResponseStream),
    Ended,
}

impl FleetStream {
    pub(super) async fn start(
        attempts: Attempts,
        request: ModelInferRequest,
        headers: Vec<(String, String)>,
    ) -> Result<Self, ClientError> {
        let mut stream = Self { attempts, request, headers, state: State::Ready };
        stream.ask().await?;
        Ok(stream)
    }

    /// The next response, whose contents are all raw; none after the last. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<ModelInferResponse, ClientError>> {
        loop {
            let next = match &mut self.state {
                State::Ready => match self.ask().await {
                    Ok(()) => continue,
                    Err(error) => return self.end(Some(Err(error))),
                },
                State::Asked(_, responses) | State::Answered(_, responses) => responses.next().await,
                State::Ended => return None,
            };
            let state = std::mem::replace(&mut self.state, State::Ended);
            match (state, next) {
                (
                    State::Asked(attempt, responses) | State::Answered(attempt, responses),
                    Some(Ok(response)),
                ) => {
                    attempt.succeeded();
                    self.state = State::Answered(attempt, responses);
                    return Some(Ok(response));
                }
                (State::Asked(attempt, _), Some(Err(error))) => match self.attempts.failed(&attempt, error) {
                    Ok(()) => self.state = State::Ready,
                    Err(error) => return Some(Err(error)),
                },
                (State::Answered(attempt, _), Some(Err(error))) => {
                    self.attempts.note_health(attempt.picked(), &error);
                    return Some(Err(error));
                }
                (State::Asked(attempt, _), None) => {
                    attempt.succeeded();
                    return None;
                }
                (_, next) => return next,
            }
        }
    }

    /// Asks one replica after the other until one takes the call.
    async fn ask(&mut self) -> Result<(), ClientError> {
        loop {
            let attempt = self.attempts.next()?;
            let options =
                CallOptions { headers: self.headers.clone(), ..attempt.options(&CallOptions::default()) };
            match attempt.client().stream(self.request.clone(), &options).await {
                Ok(responses) => {
                    self.state = State::Asked(attempt, responses);
                    return Ok(());
                }
                Err(error) => self.attempts.failed(&attempt, error)?,
            }
        }
    }

    fn end<T>(&mut self, last: Option<T>) -> Option<T> {
        self.state = State::Ended;
        last
    }
}
