//! What a client sends its requests to: one server, or whichever replica of a fleet.

use std::time::Duration;

use anyserve::client::fleet::FleetStream;
use anyserve::client::{CallOptions, Client, ClientError, FleetClient, ResponseStream};
use anyserve::core::Replica;
use anyserve::proto::admin::StatusResponse;
use anyserve::proto::inference::{ModelInferRequest, ModelInferResponse, ModelMetadataResponse};

/// `HOST:PORT`, and the replica's id in a fleet.
pub(crate) type Place = (String, Option<String>);

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Server(Box<Client>),
    Fleet(FleetClient),
}

/// The responses to one request.
pub(crate) enum Responses {
    Server(Box<ResponseStream>),
    Fleet(Box<FleetStream>),
}

impl Target {
    pub(crate) async fn infer(
        &self,
        request: ModelInferRequest,
        options: &CallOptions,
    ) -> Result<ModelInferResponse, ClientError> {
        match self {
            Self::Server(client) => client.infer(request, options).await,
            Self::Fleet(fleet) => fleet.infer(request, options).await,
        }
    }

    pub(crate) async fn stream(
        &self,
        request: ModelInferRequest,
        options: &CallOptions,
    ) -> Result<Responses, ClientError> {
        match self {
            Self::Server(client) => {
                client.stream(request, options).await.map(Box::new).map(Responses::Server)
            }
            Self::Fleet(fleet) => fleet.stream(request, options).await.map(Box::new).map(Responses::Fleet),
        }
    }

    pub(crate) async fn is_server_ready(&self, timeout: Option<Duration>) -> Result<bool, ClientError> {
        match self {
            Self::Server(client) => client.is_server_ready(timeout).await,
            Self::Fleet(fleet) => fleet.is_server_ready(timeout).await,
        }
    }

    pub(crate) async fn is_model_ready(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<bool, ClientError> {
        match self {
            Self::Server(client) => client.is_model_ready(name, timeout).await,
            Self::Fleet(fleet) => fleet.is_model_ready(name, timeout).await,
        }
    }

    pub(crate) async fn model_metadata(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<ModelMetadataResponse, ClientError> {
        match self {
            Self::Server(client) => client.model_metadata(name, timeout).await,
            Self::Fleet(fleet) => fleet.model_metadata(name, timeout).await,
        }
    }

    pub(crate) async fn status(&self, timeout: Option<Duration>) -> Result<StatusResponse, ClientError> {
        match self {
            Self::Server(client) => client.status(timeout).await,
            Self::Fleet(fleet) => fleet.status(timeout).await,
        }
    }

    /// Where the last request went; none before the first.
    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            Self::Server(client) => Some((client.endpoint().to_owned(), None)),
            Self::Fleet(fleet) => fleet.last().as_deref().map(place_of),
        }
    }

    /// The same; before the first request, where it may go.
    pub(crate) async fn resolve(&self, timeout: Option<Duration>) -> Result<Place, ClientError> {
        match self {
            Self::Server(client) => Ok((client.endpoint().to_owned(), None)),
            Self::Fleet(fleet) => fleet.resolve(timeout).await.map(|replica| place_of(&replica)),
        }
    }
}

impl Responses {
    pub(crate) async fn next(&mut self) -> Option<Result<ModelInferResponse, ClientError>> {
        match self {
            Self::Server(responses) => responses.next().await,
            Self::Fleet(responses) => responses.next().await,
        }
    }
}

fn place_of(replica: &Replica) -> Place {
    (replica.endpoint().to_owned(), Some(replica.id().to_string()))
}
