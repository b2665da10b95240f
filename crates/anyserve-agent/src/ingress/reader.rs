//! The messages of a request's body: gRPC's framing, without a copy of what is large but the one into a slot.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use std::{fmt, mem};

use anyserve_channel::INLINE_LIMIT;
use anyserve_proto::inference::ModelInferRequest;
use anyserve_shm::SlotMut;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use hyper::body::Body;
use tonic::codegen::StdError;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code, Status};

use super::assembly::{Assembly, Fed, decode};
use super::edge::over_limit;
use super::intake::Intake;
use crate::failure::Failure;
use crate::objects::{Ask, Stake};

/// The length of what stands before each message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// Why a message cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no room for it.
    Failure(Failure),
    /// It is none, or the connection broke.
    Status(Status),
}

type Landed = Pin<Box<dyn Future<Output = Result<(SlotMut, Stake), Failure>> + Send>>;

/// The requests of a body whose messages are not compressed.
pub(crate) struct Reader<B> {
    body: B,
    intake: Intake,
    /// When the client stops waiting.
    until: Option<Instant>,
    /// What has come and was not looked at.
    input: Bytes,
    head: Head,
    message: Option<Box<Assembly>>,
    stake: Stake,
    /// The slot that the message waits for. Meanwhile the body is not read, so that the client is held back.
    landing: Option<Landed>,
    trailers: Option<HeaderMap>,
    ended: bool,
}

/// As much of a head as has come.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; HEAD],
    length: usize,
}

impl<B> Reader<B> {
    /// Reads `body` for a client that waits until then.
    pub(super) fn new(body: B, intake: Intake, until: Option<Instant>) -> Self {
        Self {
            body,
            intake,
            until,
            input: Bytes::new(),
            head: Head::default(),
            message: None,
            stake: Stake::default(),
            landing: None,
            trailers: None,
            ended: false,
        }
    }

    /// What came after the last message, once all have been read.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// The next message, as far as it can be had from what has come.
    fn advance(&mut self) -> Result<Option<ModelInferRequest>, Status> {
        loop {
            let Some(message) = &mut self.message else {
                let Some(length) = self.head.read(&mut self.input)? else {
                    return Ok(None);
                };
                if length > self.intake.max_message_size {
                    return Err(over_limit(self.intake.max_message_size));
                }
                if length <= INLINE_LIMIT && length <= self.input.len() {
                    // A copy, so that a small message does not keep the connection's buffer.
                    return decode(Bytes::copy_from_slice(&self.input.split_to(length))).map(Some);
                }
                self.message = Some(Box::new(Assembly::new(length)));
                continue;
            };
            match message.feed(&mut self.input) {
                Fed::More => return Ok(None),
                Fed::Done => {
                    self.stake = Stake::default();
                    return self.message.take().map(|message| message.finish()).transpose();
                }
                Fed::Land(ask) => self.ask(ask),
            }
            if self.landing.is_some() {
                return Ok(None);
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        if let Some(slot) = self.intake.try_land(&mut self.stake, ask) {
            self.landed(slot);
            return;
        }
        let stake = mem::take(&mut self.stake);
        self.landing = Some(Box::pin(self.intake.clone().land(stake, ask, self.until)));
    }

    fn landed(&mut self, slot: SlotMut) {
        if let Some(message) = &mut self.message {
            message.land(slot);
        }
    }

    /// True if the body must not end here.
    fn is_within_message(&self) -> bool {
        self.message.is_some() || self.head.length > 0
    }

    fn fail(&mut self, error: ReadError) -> Poll<Option<Result<ModelInferRequest, ReadError>>> {
        self.ended = true;
        self.message = None;
        self.stake = Stake::default();
        Poll::Ready(Some(Err(error)))
    }
}

impl<B> Stream for Reader<B>
where
    B: Body<Data = Bytes, Error: Into<StdError>> + Unpin,
{
    type Item = Result<ModelInferRequest, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let reader = &mut *self;
        while !reader.ended {
            if let Some(landing) = &mut reader.landing {
                let landed = ready!(landing.as_mut().poll(context));
                reader.landing = None;
                match landed {
                    Ok((slot, stake)) => {
                        reader.stake = stake;
                        reader.landed(slot);
                    }
                    Err(failure) => return reader.fail(ReadError::Failure(failure)),
                }
            }
            match reader.advance() {
                Ok(Some(infer)) => return Poll::Ready(Some(Ok(infer))),
                Ok(None) if reader.landing.is_some() => continue,
                Ok(None) => {}
                Err(status) => return reader.fail(ReadError::Status(status)),
            }
            match ready!(reader.poll_body(context)) {
                Ok(()) => {}
                Err(status) => return reader.fail(ReadError::Status(status)),
            }
        }
        Poll::Ready(None)
    }
}

impl<B> Reader<B>
where
    B: Body<Data = Bytes, Error: Into<StdError>> + Unpin,
{
    /// More to look at, or the end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.input = data;
                    return Poll::Ready(Ok(()));
                }
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            },
            Some(Err(error)) => {
                let status = Status::from_error(error.into());
                if status.code() != Code::Cancelled {
                    return Poll::Ready(Err(status));
                }
                // The client is gone: it is not told what it did wrong.
                self.message = None;
                self.head = Head::default();
            }
            None => {}
        }
        self.ended = true;
        Poll::Ready(if self.is_within_message() {
            Err(Status::invalid_argument("the request ended in the middle of a message"))
        } else {
            Ok(())
        })
    }
}

impl Head {
    /// Takes it off `input`; the length of the message behind it, once all of it has come.
    fn read(&mut self, input: &mut Bytes) -> Result<Option<usize>, Status> {
        let count = (HEAD - self.length).min(input.len());
        self.bytes[self.length..self.length + count].copy_from_slice(&input[..count]);
        input.advance(count);
        self.length += count;
        if self.length < HEAD {
            return Ok(None);
        }
        self.length = 0;
        let [compressed, length @ ..] = self.bytes;
        match compressed {
            0 => Ok(Some(u32::from_be_bytes(length) as usize)),
            1 => Err(Status::internal(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            )),
            flag => Err(Status::internal(format!(
                "protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1), while sending request"
            ))),
        }
    }
}

impl<B> fmt::Debug for Reader<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reader").field("message", &self.message).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
