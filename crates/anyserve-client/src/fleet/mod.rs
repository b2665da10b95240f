//! A client of many replicas: it knows from a registry who offers what, and sends each request straight to one of them.

mod attempts;
mod connections;
mod options;
mod routes;
mod stream;
mod wanted;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyserve_core::Replica;
use anyserve_core::replicas::balance::{Balancer, Choice, Picked};
use anyserve_core::scheduler::Time;
use anyserve_proto::admin::StatusResponse;
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse, ModelMetadataResponse};
use anyserve_registry::{Follower, Registry};
use attempts::{Attempts, Need};
use connections::Connections;
pub use options::{FleetOptions, HashOn, OptionsError};
use routes::Routes;
pub use stream::FleetStream;
use tokio::time::Instant;
use wanted::Wanted;

use crate::{CallOptions, Client, ClientError, Objects, add_capability};

/// How long a call without a timeout waits to hear for the first time which replicas there are.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of a fleet. Cheap to clone.
///
/// It follows a registry: which replicas there are is known before a request needs it, and what is known stays when the
/// registry is down. Connections are made when they are first used.
///
/// A request goes to another replica if the first cannot have begun it: no connection, or a replica that refuses because
/// it shuts down, has no room (once), or does not serve that any more. If it may have begun, the request is sent again
/// only where the capability is idempotent or [`FleetOptions::retry_on_failure`] says so, and never after a response.
#[derive(Clone, Debug)]
pub struct FleetClient {
    fleet: Arc<Fleet>,
    connections: Arc<Connections>,
}

/// What the clones of a client share, whatever runtime they are used in.
#[derive(Debug)]
struct Fleet {
    follower: Follower,
    /// Where the registry is, for messages.
    place: String,
    options: FleetOptions,
    balancer: Balancer,
    routes: Routes,
    /// Where the last request went.
    last: Mutex<Option<Arc<Replica>>>,
    /// Time is counted from here.
    epoch: Instant,
    random: RandomState,
    picks: AtomicU64,
}

impl FleetClient {
    /// A client of the replicas of a registry. Must be called in a tokio runtime that goes on running: that is where the
    /// registry is followed.
    pub fn new(registry: Arc<dyn Registry>, options: FleetOptions) -> Self {
        let place = registry.to_string();
        let fleet = Fleet {
            follower: Follower::start(registry),
            place,
            balancer: Balancer::new(options.policy()),
            options,
            routes: Routes::default(),
            last: Mutex::default(),
            epoch: Instant::now(),
            random: RandomState::new(),
            picks: AtomicU64::new(0),
        };
        Self { fleet: Arc::new(fleet), connections: Arc::default() }
    }

    /// The same client with connections of its own, for use in another runtime.
    #[must_use]
    pub fn with_own_connections(&self) -> Self {
        Self { fleet: Arc::clone(&self.fleet), connections: Arc::default() }
    }

    /// Where the last request went; none before the first.
    pub fn last(&self) -> Option<Arc<Replica>> {
        self.fleet.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the last request went, or, before the first, one of the replicas that it may go to.
    pub async fn resolve(&self, timeout: Option<Duration>) -> Result<Arc<Replica>, ClientError> {
        if let Some(replica) = self.last() {
            return Ok(replica);
        }
        self.loaded(timeout).await?;
        let picked = self.pick(&self.fleet.default(), None, &[])?.ok_or_else(|| self.fleet.nobody())?;
        let mut last = self.fleet.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever asks again hears the same.
        Ok(Arc::clone(last.get_or_insert_with(|| Arc::clone(picked.replica()))))
    }

    /// Sends a request and waits for its response, whose contents are all raw.
    pub async fn infer(
        &self,
        mut request: ModelInferRequest,
        options: &CallOptions,
    ) -> Result<ModelInferResponse, ClientError> {
        let need = self.prepare(&mut request, options)?;
        let mut attempts = self.attempts(need, options.timeout).await?;
        loop {
            let attempt = attempts.next()?;
            let options = attempt.options(options);
            match attempt.client().infer(request.clone(), &options).await {
                Ok(response) => {
                    attempt.succeeded();
                    return Ok(response);
                }
                Err(error) => attempts.failed(&attempt, error)?,
            }
        }
    }

    /// Sends a request that may have any number of responses.
    pub async fn stream(
        &self,
        mut request: ModelInferRequest,
        options: &CallOptions,
    ) -> Result<FleetStream, ClientError> {
        let need = self.prepare(&mut request, options)?;
        let attempts = self.attempts(need, options.timeout).await?;
        FleetStream::start(attempts, request, options.headers.clone()).await
    }

    /// True if a replica of the fleet has a worker that is ready; with a default capability, one that offers it.
    pub async fn is_server_ready(&self, timeout: Option<Duration>) -> Result<bool, ClientError> {
        let asked = self.ask(self.fleet.default(), timeout, |client, left| async move {
            client.is_server_ready(left).await
        });
        is_ready(asked.await)
    }

    /// True if a replica that offers the model has a worker that is ready for it.
    pub async fn is_model_ready(&self, name: &str, timeout: Option<Duration>) -> Result<bool, ClientError> {
        let asked = self.ask(Wanted::model(name, ""), timeout, |client, left| {
            let name = name.to_owned();
            async move { client.is_model_ready(&name, left).await }
        });
        is_ready(asked.await)
    }

    /// The declared inputs and outputs of the model.
    pub async fn model_metadata(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<ModelMetadataResponse, ClientError> {
        self.ask(Wanted::model(name, ""), timeout, |client, left| {
            let name = name.to_owned();
            async move { client.model_metadata(&name, left).await }
        })
        .await
    }

    /// The pools, workers and queues of the replica that the last request went to.
    pub async fn status(&self, timeout: Option<Duration>) -> Result<StatusResponse, ClientError> {
        let replica = self.resolve(timeout).await?;
        self.connections.to(&replica, &self.fleet)?.status(timeout).await
    }

    /// The objects of one replica, the same one as long as it is there.
    pub async fn objects(&self, timeout: Option<Duration>) -> Result<Objects, ClientError> {
        self.loaded(timeout).await?;
        let replica = match self.connections.home(&self.fleet) {
            Some(replica) => replica,
            None => self.connections.settle(self.resolve(timeout).await?),
        };
        Ok(self.connections.to(&replica, &self.fleet)?.objects())
    }

    /// What a request needs, from what it says, what the call says, and what the client was told.
    fn prepare(&self, request: &mut ModelInferRequest, options: &CallOptions) -> Result<Need, ClientError> {
        let fleet = &self.fleet;
        let own = Wanted::of(request, options).map_err(ClientError::Capability)?;
        let default = || Some(Wanted::Query(fleet.options.capability.clone()?));
        let wanted = own
            .or_else(default)
            .unwrap_or_else(|| Wanted::model(&request.model_name, &request.model_version));
        let key = fleet.options.key_of(request, &options.headers);
        let capability = options.capability.as_ref().or(match &wanted {
            // Said by the request itself, in one of the other ways.
            Wanted::Query(query) if Some(query) == fleet.options.capability.as_ref() => Some(query),
            _ => None,
        });
        add_capability(request, capability);
        Ok(Need { wanted, key })
    }

    async fn attempts(&self, need: Need, timeout: Option<Duration>) -> Result<Attempts, ClientError> {
        let until = timeout.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?)));
        self.loaded(timeout).await?;
        Ok(Attempts::new(self.clone(), need, until))
    }

    /// A call that may be repeated.
    async fn ask<T, F>(
        &self,
        wanted: Wanted,
        timeout: Option<Duration>,
        call: impl Fn(Client, Option<Duration>) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut attempts = self.attempts(Need { wanted, key: None }, timeout).await?.repeatable();
        loop {
            let attempt = attempts.next()?;
            match call(attempt.client().clone(), attempt.left()).await {
                Ok(answer) => {
                    attempt.succeeded();
                    return Ok(answer);
                }
                Err(error) => attempts.failed(&attempt, error)?,
            }
        }
    }

    /// Waits until it is known which replicas there are.
    async fn loaded(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        let directory = self.fleet.follower.directory();
        if directory.status().version > 0 {
            return Ok(());
        }
        let limit = timeout.unwrap_or(PATIENCE);
        let loaded = tokio::time::timeout(limit, directory.loaded()).await;
        loaded.map_err(|_| ClientError::NoRegistry { place: self.fleet.place.clone(), waited: limit })
    }

    /// One of the replicas for what is wanted; none if all of them are excepted.
    fn pick(
        &self,
        wanted: &Wanted,
        key: Option<u64>,
        except: &[anyserve_core::ReplicaId],
    ) -> Result<Option<Picked>, ClientError> {
        let fleet = &self.fleet;
        let now = fleet.now();
        let matches = fleet.routes.find(wanted, fleet.follower.directory(), now)?;
        let random = fleet.random.hash_one(fleet.picks.fetch_add(1, Ordering::Relaxed));
        Ok(fleet.balancer.pick(&matches, &Choice { now, random, key, except }))
    }
}

impl Fleet {
    fn now(&self) -> Time {
        Time(self.epoch.elapsed())
    }

    fn default(&self) -> Wanted {
        self.options.capability.clone().map_or(Wanted::Anything, Wanted::Query)
    }

    fn nobody(&self) -> ClientError {
        ClientError::NoReplica(format!("the registry at {} knows no replica", self.place))
    }
}

/// That nobody offers it is an answer too.
fn is_ready(asked: Result<bool, ClientError>) -> Result<bool, ClientError> {
    match asked {
        Err(ClientError::NoReplica(_)) => Ok(false),
        asked => asked,
    }
}
