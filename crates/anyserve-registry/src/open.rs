//! From a URL to a registry.

use std::sync::Arc;

use crate::error::RegistryError;
use crate::etcd::EtcdRegistry;
use crate::http::HttpRegistry;
use crate::memory::MemoryRegistry;
use crate::registry::Registry;

/// The registry that a URL names:
///
/// - `memory:` is one of this process.
/// - `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...` is etcd, with the options `?ca=FILE` (TLS, checked against these
///   certificates), `cert=FILE` and `key=FILE` (its own) and `prefix=TEXT` (of the keys; by default
///   `/anyserve/replicas/`). What is not plain is percent-encoded.
///
/// - `http://HOST:PORT[,http://HOST:PORT]...` is that of API servers that share one.
///
/// Connects to nothing yet: a registry that is down is one that will be up.
pub fn open(url: &str) -> Result<Arc<dyn Registry>, RegistryError> {
    let invalid = |reason| RegistryError::Url { url: without_password(url), reason };
    if url == "memory:" {
        return Ok(Arc::new(MemoryRegistry::default()));
    }
    match url.split_once("://") {
        Some(("etcd", rest)) => Ok(Arc::new(EtcdRegistry::new(rest).map_err(invalid)?)),
        Some(("http", _)) => Ok(Arc::new(HttpRegistry::new(url).map_err(invalid)?)),
        _ => Err(invalid("it must be memory:, etcd://HOST:PORT or http://HOST:PORT".to_owned())),
    }
}

/// The URL as it may be shown to anybody.
pub(crate) fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, place)) if scheme.is_empty() => place.to_owned(),
        Some((_, place)) => format!("{scheme}://{place}"),
        None => url.to_owned(),
    }
}
