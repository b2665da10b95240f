//! Sends a request to one replica after the other, until one has it.

use std::sync::Arc;
use std::time::Instant;

use anyserve_core::replicas::balance::{Failure as Fault, Picked};
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::metadata::{HOPS, NOT_BEGUN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use hyper::body::Incoming;
use prost::Message;
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::{Code, Status};

use super::headers;
use super::passing::{Passing, Pieces};
use super::peer::SendError;
use super::{Delegate, Route};
use crate::failure::{Failure, outcome};
use crate::ingress::Frames;

/// A request as it goes over the wire; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    path: &'static str,
    headers: HeaderMap,
    body: Pieces,
    pub(super) until: Option<Instant>,
}

/// What came of an attempt that did not get through.
enum Next {
    /// Another replica may have it; this is what there is to say if there is none.
    Another(Result<Response<Incoming>, Failure>, Picked),
    /// It may have been begun.
    End(Failure),
}

impl Outgoing {
    /// For the call at that path, with the metadata that [goes on](headers::onward).
    pub(crate) fn new(
        path: &'static str,
        headers: HeaderMap,
        request: ModelInferRequest,
        until: Option<Instant>,
    ) -> Result<Self, Status> {
        let mut frames = Frames::default();
        frames.push_request(request)?;
        Ok(Self { path, headers, body: frames.into(), until })
    }

    /// The same for another call.
    pub(crate) fn of(
        path: &'static str,
        headers: HeaderMap,
        message: &impl Message,
        until: Option<Instant>,
    ) -> Result<Self, Status> {
        let mut frames = Frames::default();
        frames.push_message(message)?;
        Ok(Self { path, headers, body: frames.into(), until })
    }

    /// The request to the replica at that endpoint.
    fn to(&self, endpoint: &str, hops: &HeaderValue) -> Result<Request<Body>, http::Error> {
        let uri = format!("http://{endpoint}{}", self.path);
        let mut request = Request::builder().method(Method::POST).version(Version::HTTP_2).uri(uri);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            headers.insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
            headers.insert(HOPS, hops.clone());
            if let Some(until) = self.until {
                headers.insert("grpc-timeout", headers::timeout(until));
            }
        }
        request.body(Body::new(self.body.clone()))
    }
}

impl Delegate {
    /// The response of the first replica that has the request, from its head on.
    pub(crate) async fn send(
        self: &Arc<Self>,
        route: &mut Route,
        outgoing: &Outgoing,
    ) -> Result<Response<Passing>, Failure> {
        let (begun, _under_way) = (Instant::now(), self.under_way.token());
        let mut last = None;
        while let Some(picked) = self.pick(route) {
            let attempt = self.attempt(route, outgoing, picked);
            let attempted = match outgoing.until {
                Some(until) => tokio::time::timeout_at(until.into(), attempt).await,
                None => Ok(attempt.await),
            };
            match attempted.map_err(|_| Failure::Deadline(begun.elapsed()))? {
                Ok(response) => return Ok(response),
                Err(Next::End(failure)) => return Err(failure),
                Err(Next::Another(answer, picked)) => {
                    let go_on = route.refused_by(picked.replica().id());
                    last = Some((answer, picked));
                    if !go_on {
                        break;
                    }
                }
            }
        }
        match last {
            // What the last one said is as good as anything.
            Some((answer, picked)) => answer.map(|response| self.passing(response, picked)),
            None => Err(Failure::NoMatch(format!("no replica is left that serves {}", route.query()))),
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        route: &Route,
        outgoing: &Outgoing,
        picked: Picked,
    ) -> Result<Response<Passing>, Next> {
        let replica = Arc::clone(picked.replica());
        let request = outgoing.to(replica.endpoint(), route.hops());
        let request = request.map_err(|error| Next::End(Failure::Invalid(error.to_string())))?;
        let failure = |error: &SendError, begun| Failure::Elsewhere {
            code: Code::Unavailable,
            message: format!("replica '{}': {error}", replica.id()),
            retry_after: None,
            begun,
        };
        match self.peers.get(replica.endpoint()).send(request).await {
            Err(error @ SendError::NotBegun { .. }) => {
                picked.failed(Fault::Refused, self.now());
                self.counts.ended(replica.id(), "unreachable");
                Err(Next::Another(Err(failure(&error, false)), picked))
            }
            Err(error @ SendError::Lost { .. }) => {
                picked.failed(Fault::Failed, self.now());
                self.counts.ended(replica.id(), "lost");
                if replica.is_idempotent(route.query()) {
                    return Err(Next::Another(Err(failure(&error, true)), picked));
                }
                Err(Next::End(failure(&error, true)))
            }
            Ok(response) if response.headers().contains_key(NOT_BEGUN) => {
                if code(response.headers()) == Some(Code::Unavailable) {
                    picked.failed(Fault::Refused, self.now());
                } else {
                    picked.succeeded();
                }
                Err(Next::Another(Ok(response), picked))
            }
            Ok(response) => {
                picked.succeeded();
                Ok(self.passing(response, picked))
            }
        }
    }

    fn passing(self: &Arc<Self>, response: Response<Incoming>, picked: Picked) -> Response<Passing> {
        let early = code(response.headers());
        let (parts, body) = response.into_parts();
        let token = self.under_way.token();
        let mut passing = Passing::new(Arc::clone(self), body, picked, token);
        if let Some(code) = early {
            passing.ended(outcome(code));
        }
        Response::from_parts(parts, passing)
    }
}

/// The status in the headers or the trailers, if it is there.
pub(super) fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}
