//! Connections to the servers that handlers ask directly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyserve_client::{Client, ClientError};

/// The most servers to which connections are kept; the one that was not asked for longest goes.
const MOST: usize = 64;

/// A connection is not kept for longer if nothing is asked by it.
const IDLE: Duration = Duration::from_secs(300);

/// One connection to each server that was asked lately, of all workers together.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<HashMap<String, Server>>);

#[derive(Debug)]
struct Server {
    client: Client,
    asked: Instant,
}

impl Servers {
    /// A client of the server at that endpoint. One that is not known is not connected yet.
    pub(super) fn client(&self, endpoint: &str) -> Result<Client, ClientError> {
        let now = Instant::now();
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get_mut(endpoint) {
            server.asked = now;
            return Ok(server.client.clone());
        }
        let client = Client::new(endpoint)?;
        servers.retain(|_, server| now.duration_since(server.asked) < IDLE);
        if servers.len() >= MOST {
            let oldest = servers.iter().min_by_key(|(_, server)| server.asked).map(|(name, _)| name.clone());
            // Its calls under way have a handle of their own, and end as they would have.
            oldest.and_then(|oldest| servers.remove(&oldest));
        }
        servers.insert(endpoint.to_owned(), Server { client: client.clone(), asked: now });
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn few_connections_are_kept() {
        let servers = Servers::default();
        assert!(servers.client("nowhere").is_err());
        for port in 1..=2 * MOST {
            servers.client(&format!("127.0.0.1:{port}")).unwrap();
        }
        assert_eq!(servers.0.lock().unwrap().len(), MOST);
    }
}
