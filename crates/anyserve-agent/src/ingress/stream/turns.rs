//! Answers that keep the order in which their requests came: those of requests that have one response each.

use std::collections::VecDeque;

use anyserve_proto::inference::ModelStreamInferResponse;
use prost::Message;
use tonic::Status;

use super::Key;

/// How many answers, and how many bytes of them, may wait for the turn of an earlier request before the client is no
/// longer read from.
const MOST_TURNS: usize = 256;
const MOST_HELD: usize = 4 << 20;

pub(super) type Answer = Result<ModelStreamInferResponse, Status>;

/// The requests that have a turn, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Turns {
    turns: VecDeque<Turn>,
    /// The size of the answers that are here.
    held: usize,
}

/// A request whose answer keeps its turn.
#[derive(Debug)]
struct Turn {
    /// None if it was refused.
    request: Option<Key>,
    answer: Option<Answer>,
}

impl Turns {
    /// The request's turn is behind all others.
    pub(super) fn wait(&mut self, request: Key) {
        self.turns.push_back(Turn { request: Some(request), answer: None });
    }

    /// The answer of a request that is none, in its turn.
    pub(super) fn refuse(&mut self, answer: Answer) {
        self.held += size_of(&answer);
        self.turns.push_back(Turn { request: None, answer: Some(answer) });
    }

    /// The answer of a request; it comes back if the request has no turn.
    pub(super) fn answer(&mut self, request: Key, answer: Answer) -> Option<Answer> {
        match self.turns.iter_mut().find(|turn| turn.request == Some(request)) {
            None => Some(answer),
            Some(turn) => {
                self.held += size_of(&answer);
                turn.answer = Some(answer);
                None
            }
        }
    }

    /// The request has no turn any more, if it has no answer yet.
    pub(super) fn leave(&mut self, request: Key) {
        self.turns.retain(|turn| turn.request != Some(request) || turn.answer.is_some());
    }

    /// The next answer whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Answer> {
        self.turns.front()?.answer.as_ref()?;
        let answer = self.turns.pop_front()?.answer?;
        self.held -= size_of(&answer);
        Some(answer)
    }

    /// True while another request may be read: not behind answers that wait for their turn, which nothing else bounds.
    pub(super) fn may_grow(&self) -> bool {
        self.turns.len() < MOST_TURNS && self.held < MOST_HELD
    }
}

fn size_of(answer: &Answer) -> usize {
    answer.as_ref().map_or(0, Message::encoded_len)
}
