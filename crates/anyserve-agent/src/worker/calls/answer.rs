//! What a worker is told of the requests that it made.

use std::time::Duration;

use anyserve_client::ClientError;
use anyserve_proto::inference::ModelInferResponse;
use anyserve_proto::worker::failure::Kind;
use anyserve_proto::worker::{Failure as Message, answer};
use prost::{Message as _, length_delimiter_len};
use tonic::Status;

use crate::failure::{Failure, kind_of};
use crate::objects::WorkerMemory;

/// A response; others follow, or the end does, if there is more.
pub(super) fn respond(memory: &WorkerMemory, call: u64, mut response: ModelInferResponse, more: bool) {
    let contents = std::mem::take(&mut response.raw_output_contents);
    memory.answer_with(call, answer::Result::Inferred(response), &contents, more);
}

/// There are no more responses.
pub(super) fn end(memory: &WorkerMemory, call: u64) {
    memory.answer_with(call, answer::Result::Ended(true), &[], false);
}

/// The request failed.
pub(super) fn fail(memory: &WorkerMemory, call: u64, failure: Message) {
    memory.answer_with(call, answer::Result::Failure(failure), &[], false);
}

/// What a response takes of its stream's window, as both ends count it.
pub(super) fn size(response: &ModelInferResponse) -> u64 {
    // The contents go beside the message, so what they take within it does not count.
    let heads = response.raw_output_contents.iter().map(|content| 1 + length_delimiter_len(content.len()));
    (response.encoded_len() - heads.sum::<usize>()) as u64
}

pub(super) fn of_failure(failure: &Failure) -> Message {
    message(failure.kind(), failure.to_string(), failure.retry_after())
}

pub(super) fn of_status(status: &Status) -> Message {
    let hint = status.metadata().get("retry-after-ms").and_then(|hint| hint.to_str().ok()?.parse().ok());
    message(kind_of(status.code()), status.message().to_owned(), hint.map(Duration::from_millis))
}

/// What a server said that was asked directly, or why it could not be asked.
pub(super) fn of_client(error: &ClientError) -> Message {
    let kind = match error {
        ClientError::Status(status) => return of_status(status),
        ClientError::Endpoint(_) => Kind::InvalidArgument,
        ClientError::Unreachable { .. } | ClientError::Lost { .. } => Kind::Unavailable,
        ClientError::Timeout(_) => Kind::DeadlineExceeded,
        _ => Kind::Internal,
    };
    message(kind, error.to_string(), None)
}

fn message(kind: Kind, message: String, retry_after: Option<Duration>) -> Message {
    let retry_after_ms = retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    Message { kind: kind as i32, message, retry_after_ms, ..Message::default() }
}
