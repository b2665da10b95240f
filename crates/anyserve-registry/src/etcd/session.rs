//! Calls to an etcd: to one member at a time, and to the next when that one fails.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::api::AuthenticateRequest;
use super::api::auth_client::AuthClient;
use super::settings::Settings;
use crate::error::RegistryError;

/// How long an answer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A member that answers no ping is gone. etcd takes it amiss if it is asked more often than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The members of an etcd, and who is asked.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) settings: Settings,
    /// A connection to each member; made in a runtime, so not before the first call.
    channels: OnceLock<Vec<Channel>>,
    /// Who is asked.
    current: AtomicUsize,
    token: Mutex<Option<MetadataValue<Ascii>>>,
}

/// One member, as the user that the settings name.
pub(super) struct Session<'a> {
    cluster: &'a Cluster,
    member: usize,
    pub(super) channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

/// Why a call failed, and whether it may go better at once: at another member, or with a new token.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: RegistryError,
    pub(super) again: bool,
}

impl Cluster {
    /// Connects to nothing yet.
    pub(super) fn new(settings: Settings) -> Result<Self, String> {
        let cluster = Self {
            settings,
            channels: OnceLock::new(),
            current: AtomicUsize::new(0),
            token: Mutex::default(),
        };
        cluster.settings.members.iter().try_for_each(|member| cluster.endpoint(member).map(drop))?;
        Ok(cluster)
    }

    /// A member to talk to.
    pub(super) async fn session(&self) -> Result<Session<'_>, Failure> {
        let channels = self.channels.get_or_init(|| {
            let lazy = |member: &String| self.endpoint(member).expect("it was one before").connect_lazy();
            self.settings.members.iter().map(lazy).collect()
        });
        let member = self.current.load(Ordering::Relaxed) % channels.len();
        let mut session = Session { cluster: self, member, channel: channels[member].clone(), token: None };
        if let Some((name, password)) = &self.settings.user {
            let known = self.token().clone();
            session.token = match known {
                Some(token) => Some(token),
                None => session.authenticate(name, password).await?,
            };
            self.token().clone_from(&session.token);
        }
        Ok(session)
    }

    /// How many times a call may be tried again: once for each member.
    pub(super) fn tries(&self) -> usize {
        self.settings.members.len()
    }

    fn endpoint(&self, member: &str) -> Result<Endpoint, String> {
        let endpoint = Endpoint::from_shared(self.settings.url(member)).map_err(|error| error.to_string())?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        match &self.settings.tls {
            Some(tls) => endpoint
                .tls_config(tls.clone())
                .map_err(|error| format!("its certificates cannot be used: {}", with_sources(&error))),
            None => Ok(endpoint),
        }
    }

    fn token(&self) -> std::sync::MutexGuard<'_, Option<MetadataValue<Ascii>>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// A message with the token that says who asks.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    /// The answer of a call, if it comes in time.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(self.silent()),
        }
    }

    /// What an error of a call means; the next call goes to another member if that may help.
    pub(super) fn failed(&self, status: &Status) -> Failure {
        let reason = with_sources(status);
        // An etcd that was restarted has forgotten its tokens, and one whose users have changed wants new ones.
        if status.code() == Code::Unauthenticated || status.message().contains("auth store is old") {
            let again = self.cluster.token().take().is_some();
            return Failure { error: RegistryError::Refused { place: self.place(), reason }, again };
        }
        match status.code() {
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => {
                Failure { error: RegistryError::Refused { place: self.place(), reason }, again: false }
            }
            _ => {
                self.turn();
                Failure { error: RegistryError::Unreachable { place: self.place(), reason }, again: true }
            }
        }
    }

    /// The error of an answer that no etcd gives.
    pub(super) fn protocol(&self, reason: &str) -> Failure {
        let error = RegistryError::Protocol { place: self.place(), reason: reason.to_owned() };
        Failure { error, again: false }
    }

    fn silent(&self) -> Failure {
        self.turn();
        let reason = format!("no answer within {CALL_TIMEOUT:?}");
        // Another member may answer; the same one will not.
        let again = self.cluster.settings.members.len() > 1;
        Failure { error: RegistryError::Unreachable { place: self.place(), reason }, again }
    }

    /// Whoever comes next asks the next member, unless somebody else has turned already.
    fn turn(&self) {
        let (members, current) = (self.cluster.settings.members.len(), &self.cluster.current);
        let next = (self.member + 1) % members;
        let _ = current.compare_exchange(self.member, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn place(&self) -> String {
        self.cluster.settings.members[self.member].clone()
    }

    async fn authenticate(
        &self,
        name: &str,
        password: &str,
    ) -> Result<Option<MetadataValue<Ascii>>, Failure> {
        let message = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
        let call = async { AuthClient::new(self.channel.clone()).authenticate(message).await };
        let result = tokio::time::timeout(CALL_TIMEOUT, call).await;
        match result {
            Ok(Ok(response)) => match response.into_inner().token.parse() {
                Ok(token) => Ok(Some(token)),
                Err(_) => Err(self.protocol("its token is no text")),
            },
            // It lets anybody in: that is for its operators to change.
            Ok(Err(status)) if status.message().contains("authentication is not enabled") => Ok(None),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(self.silent()),
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "etcd://{}", self.settings.members.join(","))
    }
}

/// An error and what caused it: the transport's own message says nothing.
fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
