//! A registry behind API servers, over HTTP.

mod events;
mod exchange;
mod place;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyserve_core::replicas::{Replica, ReplicaId};
use async_trait::async_trait;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use self::exchange::Answer;
use self::place::Place;
use crate::error::RegistryError;
use crate::json;
use crate::registry::Registry;
use crate::shared::SharedDirectory;

/// The leases that an API server takes.
const LEASES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// API servers that share a registry: one is asked, and the next when it fails.
#[derive(Debug)]
pub(crate) struct HttpRegistry {
    places: Vec<Place>,
    current: AtomicUsize,
}

impl HttpRegistry {
    /// Of URLs with commas between them. An error says what is wrong with them.
    pub(crate) fn new(urls: &str) -> Result<Self, String> {
        Ok(Self { places: place::parse(urls)?, current: AtomicUsize::new(0) })
    }

    /// Asks one after the other until one answers anything but that it cannot.
    async fn ask(&self, method: Method, path: &str, body: &str) -> Result<Answer, RegistryError> {
        let mut tries = self.places.len();
        loop {
            let (index, place) = self.place();
            tries -= 1;
            let error = match exchange::ask(place, &method, path, body.to_owned()).await {
                Ok(answer) if answer.status.is_server_error() => {
                    RegistryError::Unreachable { place: place.to_string(), reason: answer.error() }
                }
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.turn(index);
            if tries == 0 {
                return Err(error);
            }
        }
    }

    fn place(&self) -> (usize, &Place) {
        let index = self.current.load(Ordering::Relaxed) % self.places.len();
        (index, &self.places[index])
    }

    /// Whoever comes next asks the next one, unless somebody else has turned already.
    fn turn(&self, index: usize) {
        let next = (index + 1) % self.places.len();
        let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn refused(&self, answer: &Answer) -> RegistryError {
        RegistryError::Refused { place: self.to_string(), reason: answer.error() }
    }
}

#[async_trait]
impl Registry for HttpRegistry {
    async fn put(&self, replica: &Replica, lease: Duration) -> Result<(), RegistryError> {
        let lease = lease.clamp(*LEASES.start(), *LEASES.end());
        let body = json::encode_with_lease(replica, lease.as_secs_f64());
        if body.len() > json::MAX_BYTES {
            return Err(RegistryError::TooLarge { id: replica.id().clone(), bytes: body.len() });
        }
        let answer = self.ask(Method::PUT, &path(replica.id()), &body).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(superseded(replica.id(), &answer.error())),
            _ => Err(self.refused(&answer)),
        }
    }

    async fn remove(&self, id: &ReplicaId, incarnation: Option<u64>) -> Result<bool, RegistryError> {
        let query = incarnation.map(|number| format!("?incarnation={number}")).unwrap_or_default();
        let answer = self.ask(Method::DELETE, &format!("{}{query}", path(id)), "").await?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refused(&answer)),
        }
    }

    async fn follow(&self, directory: &Arc<SharedDirectory>) -> RegistryError {
        let (index, place) = self.place();
        let error = watch::follow(place, directory).await;
        self.turn(index);
        error
    }
}

/// Where a replica is. Whatever is not plain is encoded, dots as well: `..` is an id too.
fn path(id: &ReplicaId) -> String {
    format!("/replicas/{}", utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC))
}

/// The error of an API server that passes on what its registry said.
fn superseded(id: &ReplicaId, said: &str) -> RegistryError {
    let of = |by: &str| RegistryError::Superseded { id: id.clone(), by: by.to_owned() };
    let prefix = of("").to_string();
    of(said.strip_prefix(&prefix).unwrap_or(said))
}

impl fmt::Display for HttpRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.places.iter().map(ToString::to_string).collect();
        formatter.write_str(&places.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_id_it_is_one_part_of_a_path() {
        let path = |name| path(&ReplicaId::new(name).unwrap());
        assert_eq!(path("a1"), "/replicas/a1");
        assert_eq!(path(".."), "/replicas/%2E%2E");
        assert_eq!(path("h:80?#%"), "/replicas/h%3A80%3F%23%25");
    }

    #[test]
    fn who_is_later_is_told_once() {
        let id = ReplicaId::new("a").unwrap();
        let first = RegistryError::Superseded { id: id.clone(), by: "b:80 (incarnation 2)".to_owned() };
        assert_eq!(superseded(&id, &first.to_string()).to_string(), first.to_string());
        assert!(superseded(&id, "somebody else").to_string().ends_with(": somebody else"));
    }
}
