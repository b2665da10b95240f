//! One replica, as it registers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::capability::{Capability, Query};

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// The most capabilities that a replica may have.
pub const MAX_CAPABILITIES: usize = 1024;
/// The longest endpoint, in bytes: a DNS name and a port.
const MAX_ENDPOINT_BYTES: usize = 260;

/// The name of a replica; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(Arc<str>);

/// An agent that takes requests for some capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    id: ReplicaId,
    endpoint: Arc<str>,
    incarnation: u64,
    capabilities: BTreeSet<Capability>,
    idempotent: BTreeSet<Capability>,
}

/// Why something is not a replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum ReplicaError {
    #[error(
        "replica id '{0}' is not allowed; an id is 1 to {MAX_ID_BYTES} visible ASCII characters, none of them ',' or '/'"
    )]
    BadId(String),
    #[error("endpoint '{0}' is not HOST:PORT")]
    BadEndpoint(String),
    #[error("{0} capabilities are over the limit of {MAX_CAPABILITIES} for a replica")]
    TooManyCapabilities(usize),
}

impl ReplicaId {
    /// The id of that name.
    pub fn new(name: &str) -> Result<Self, ReplicaError> {
        // A comma separates ids in headers, a slash parts of paths and keys.
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b',' && byte != b'/';
        if (1..=MAX_ID_BYTES).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(ReplicaError::BadId(name.chars().take(MAX_ID_BYTES).collect()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Replica {
    /// A replica at `endpoint`, `HOST:PORT` of its gRPC port. Of two with one id, the one with the larger `incarnation`
    /// counts. One without capabilities takes no new requests.
    pub fn new(
        id: ReplicaId,
        endpoint: &str,
        incarnation: u64,
        capabilities: impl IntoIterator<Item = Capability>,
    ) -> Result<Self, ReplicaError> {
        let endpoint = check_endpoint(endpoint)?.into();
        let capabilities: BTreeSet<_> = capabilities.into_iter().collect();
        if capabilities.len() > MAX_CAPABILITIES {
            return Err(ReplicaError::TooManyCapabilities(capabilities.len()));
        }
        Ok(Self { id, endpoint, incarnation, capabilities, idempotent: BTreeSet::new() })
    }

    /// The same replica with other capabilities.
    pub fn offering(&self, capabilities: impl IntoIterator<Item = Capability>) -> Result<Self, ReplicaError> {
        Self::new(self.id.clone(), &self.endpoint, self.incarnation, capabilities)
    }

    /// The same replica, of which these capabilities do no harm if a request runs twice. Others than its own do not count.
    #[must_use]
    pub fn with_idempotent(mut self, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        let own = capabilities.into_iter().filter(|capability| self.capabilities.contains(capability));
        self.idempotent = own.collect();
        self
    }

    /// Its name.
    pub fn id(&self) -> &ReplicaId {
        &self.id
    }

    /// `HOST:PORT` of its gRPC port.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Which start of it this is.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// What it takes requests for, in order.
    pub fn capabilities(&self) -> &BTreeSet<Capability> {
        &self.capabilities
    }

    /// Those of them that do no harm if a request runs twice.
    pub fn idempotent(&self) -> &BTreeSet<Capability> {
        &self.idempotent
    }

    /// True if a request that it may have begun may be sent to another replica.
    pub fn is_idempotent(&self, query: &Query) -> bool {
        let mut matching = self.capabilities.iter().filter(|capability| query.matches(capability)).peekable();
        matching.peek().is_some() && matching.all(|capability| self.idempotent.contains(capability))
    }

    /// True if one of its capabilities matches.
    pub fn matches(&self, query: &Query) -> bool {
        self.capabilities.iter().any(|capability| query.matches(capability))
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

fn check_endpoint(endpoint: &str) -> Result<&str, ReplicaError> {
    let parts = endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let host_is_good = |host: &str| {
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let name = bracketed.unwrap_or(host);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !name.is_empty() && name.bytes().all(|byte| allowed(byte) || (bracketed.is_some() && byte == b':'))
    };
    match parts {
        Some((host, port)) if port > 0 && endpoint.len() <= MAX_ENDPOINT_BYTES && host_is_good(host) => {
            Ok(endpoint)
        }
        _ => Err(ReplicaError::BadEndpoint(endpoint.chars().take(MAX_ENDPOINT_BYTES).collect())),
    }
}
