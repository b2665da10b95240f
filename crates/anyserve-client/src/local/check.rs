//! Whether an endpoint is on this machine.

use std::net::{SocketAddr, UdpSocket};

use crate::ClientError;

/// The endpoint's addresses that are this machine's; an error if none is.
pub(super) async fn local_addresses(endpoint: &str) -> Result<Vec<SocketAddr>, ClientError> {
    let unreachable = |error: std::io::Error| ClientError::Unreachable {
        endpoint: endpoint.to_owned(),
        reason: error.to_string(),
    };
    let all: Vec<_> = tokio::net::lookup_host(endpoint).await.map_err(unreachable)?.collect();
    let here: Vec<_> = all.into_iter().filter(is_here).collect();
    if here.is_empty() {
        let reason = "the endpoint is on another machine; leave out shared_memory".to_owned();
        return Err(ClientError::NoSharedMemory { endpoint: endpoint.to_owned(), reason });
    }
    Ok(here)
}

/// A port can be opened only at an address of this machine.
fn is_here(address: &SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_addresses_of_this_machine_are() {
        assert_eq!(local_addresses("127.0.0.1:80").await.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        // An address that is kept for documentation, and nobody's.
        let error = local_addresses("192.0.2.1:80").await.unwrap_err();
        assert!(error.to_string().contains("is on another machine"), "{error}");
    }
}
