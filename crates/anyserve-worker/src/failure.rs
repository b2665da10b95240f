//! How a handler says that there is no response.

use std::time::Duration;

use anyserve_proto::worker::Failure as Message;
use anyserve_proto::worker::failure::Kind;

/// The longest message and the longest traceback that are sent, in bytes.
const LONGEST_TEXT: usize = 64 * 1024;

pub(crate) fn cut(mut text: String) -> String {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
    text
}

/// Why a request gets no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status that the client sees.
    pub kind: Kind,
    /// What was wrong, and what would be right.
    pub message: String,
    /// Where it happened, for an agent that passes it on; or empty.
    pub traceback: String,
    /// After which trying again makes sense.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without a traceback or a hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), traceback: String::new(), retry_after: None }
    }

    /// A message and a traceback of any length would make a frame of any length: they are cut.
    pub(crate) fn into_message(self, request: u64) -> Message {
        let millis = |hint: Duration| u64::try_from(hint.as_millis()).unwrap_or(u64::MAX);
        Message {
            request,
            kind: self.kind.into(),
            message: cut(self.message),
            traceback: cut(self.traceback),
            retry_after_ms: self.retry_after.map(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_where_a_character_ends() {
        let failure = Failure::new(Kind::Internal, "é".repeat(LONGEST_TEXT)).into_message(1);
        assert_eq!(failure.message.len(), LONGEST_TEXT);
        let failure = Failure::new(Kind::Internal, format!("a{}", "é".repeat(LONGEST_TEXT))).into_message(1);
        assert_eq!(failure.message.len(), LONGEST_TEXT - 1);
        assert_eq!(Failure::new(Kind::Internal, "short").into_message(1).message, "short");
    }
}
