//! Binding the listen addresses, with errors a person can act on.

use std::{collections::HashSet, error::Error, io, net::TcpListener};

use futures::StreamExt;
use libp2p::{Multiaddr, Swarm, TransportError, swarm::SwarmEvent};
use tokio::time::timeout;

use super::{NetworkError, Shared, address, driver::Behaviour, limits::LISTEN_TIMEOUT};

/// Binds every address, and waits a moment for the actual addresses to be known.
///
/// # Errors
/// When one of them cannot be bound.
pub(super) async fn bind(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
    shared: &Shared,
) -> Result<(), NetworkError> {
    let mut unknown = HashSet::new();
    for address in addresses {
        check_free(address)?;
        let listener = swarm.listen_on(address.clone()).map_err(|error| match error {
            TransportError::MultiaddrNotSupported(address) => {
                NetworkError::UnsupportedAddress { address }
            }
            TransportError::Other(error) => refused(address, &error),
        })?;
        unknown.insert(listener);
    }
    // The sockets are bound. A wildcard listener without any interface has no address yet, and
    // will report one when an interface appears.
    let known = async {
        while !unknown.is_empty() {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address } => {
                    unknown.remove(&listener_id);
                    shared.listening(address);
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                    unknown.remove(&listener_id);
                    if let (Err(error), Some(address)) = (reason, addresses.first()) {
                        return Err(refused(address, &error));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    };
    timeout(LISTEN_TIMEOUT, known).await.unwrap_or(Ok(()))
}

/// TCP listeners share their port with others of the same user (`SO_REUSEPORT`), so a second
/// process would not fail to bind but take half of the connections. A plain listener would fail.
fn check_free(address: &Multiaddr) -> Result<(), NetworkError> {
    match address::tcp_socket(address) {
        Some(socket) if socket.port() != 0 => match TcpListener::bind(socket) {
            Ok(_) => Ok(()),
            Err(error) => Err(refused(address, &error)),
        },
        _ => Ok(()),
    }
}

fn refused(address: &Multiaddr, error: &io::Error) -> NetworkError {
    let address = address.clone();
    // The transport wraps the system's error more than once.
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::AddrInUse
        {
            return NetworkError::AddressInUse { address };
        }
        cause = error.source();
    }
    NetworkError::Listen { address, reason: error.to_string() }
}
