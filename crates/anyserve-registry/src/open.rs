//! From a URL to a registry.

use std::sync::Arc;

use crate::error::RegistryError;
use crate::memory::MemoryRegistry;
use crate::registry::Registry;

/// The registry that a URL names: `memory:` is one of this process.
///
/// Connects to nothing yet: a registry that is down is one that will be up.
pub fn open(url: &str) -> Result<Arc<dyn Registry>, RegistryError> {
    let invalid = |reason: &str| RegistryError::Url { url: without_password(url), reason: reason.to_owned() };
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(MemoryRegistry::default())),
        Some(_) | None => Err(invalid("it must be memory:")),
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
