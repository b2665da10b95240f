//! What an agent is called in a fleet, and where it says it is.

use std::net::{IpAddr, SocketAddr};

use anyserve_core::replicas::{Replica, ReplicaError, ReplicaId};
use anyserve_registry::incarnation;

use crate::config::ReplicaConfig;
use crate::error::Error;

/// The agent as a replica that offers nothing yet.
pub(super) fn identity(config: &ReplicaConfig, address: SocketAddr) -> Result<Replica, Error> {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let endpoint = match &config.advertise {
        Some(given) => with_port(given, address.port()),
        // Of an agent that listens everywhere, the machine's name is the best that is known.
        None if address.ip().is_unspecified() => format!("{machine}:{}", address.port()),
        None => address.to_string(),
    };
    if let Some(host) = unspecified_host(&endpoint) {
        return Err(Error::Advertise(host.to_owned()));
    }
    let id = match &config.id {
        Some(id) => Ok(id.clone()),
        None => ReplicaId::new(&format!("{machine}:{}", address.port())),
    };
    let replica = id.and_then(|id| Replica::new(id, &endpoint, incarnation(), []));
    replica.map_err(|source: ReplicaError| Error::Replica { source })
}

/// `HOST:PORT` of a `HOST` that may have its port already.
fn with_port(host: &str, port: u16) -> String {
    let has_port = match host.rsplit_once(']') {
        Some((_, rest)) => rest.starts_with(':'),
        None => host.contains(':'),
    };
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

/// The host, if it is an address that stands for all of a machine's own, and leads nowhere from another.
fn unspecified_host(endpoint: &str) -> Option<&str> {
    let (host, _) = endpoint.rsplit_once(':')?;
    let address: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    address.is_unspecified().then_some(host)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use anyserve_registry::MemoryRegistry;

    use super::*;

    fn identify(id: Option<&str>, advertise: Option<&str>, address: &str) -> Result<Replica, Error> {
        let config = ReplicaConfig {
            registry: Arc::new(MemoryRegistry::default()),
            id: id.map(|id| ReplicaId::new(id).unwrap()),
            advertise: advertise.map(str::to_owned),
            lease: Duration::from_secs(15),
        };
        identity(&config, address.parse().unwrap())
    }

    #[test]
    fn an_agent_is_where_it_listens_unless_told_otherwise() {
        let endpoint =
            |advertise, address| identify(Some("a"), advertise, address).unwrap().endpoint().to_owned();
        assert_eq!(endpoint(None, "127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(endpoint(None, "[::1]:80"), "[::1]:80");
        assert_eq!(endpoint(Some("host"), "0.0.0.0:80"), "host:80");
        assert_eq!(endpoint(Some("host:81"), "0.0.0.0:80"), "host:81");
        assert_eq!(endpoint(Some("[fe80::1]"), "[::]:80"), "[fe80::1]:80");
        assert!(endpoint(None, "0.0.0.0:80").ends_with(":80"));
        let unnamed = identify(None, None, "127.0.0.1:80").unwrap();
        assert!(unnamed.id().as_str().ends_with(":80") && unnamed.capabilities().is_empty());
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for host in ["0.0.0.0", "0.0.0.0:80", "[::]", "[::]:80"] {
            let message = identify(None, Some(host), "127.0.0.1:80").unwrap_err().to_string();
            assert!(message.contains("--advertise"), "{message}");
        }
        let message = identify(None, Some("http://host:1"), "127.0.0.1:80").unwrap_err().to_string();
        assert!(message.contains("'http://host:1' is not HOST:PORT"), "{message}");
    }
}
