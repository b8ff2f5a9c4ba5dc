//! Binding the listen addresses, with errors a person can act on, and letting go of them.

use std::{
    collections::HashSet,
    io,
    net::{TcpListener, UdpSocket},
    time::Duration,
};

use futures::StreamExt;
use libp2p::{Multiaddr, Swarm, TransportError, core::transport::ListenerId, swarm::SwarmEvent};
use tokio::time::{sleep, timeout};

use super::{
    NetworkError, Shared,
    address::{self, Carrier},
    driver::{Behaviour, BehaviourEvent},
    limits::{LISTEN_QUIET, LISTEN_TIMEOUT, RELEASE_TIMEOUT},
};

/// How often a port is looked at that is about to become free.
const RELEASE_INTERVAL: Duration = Duration::from_millis(10);

/// Binds every address, and waits a moment for the actual addresses to be known. Returns the
/// listeners, and what else happened meanwhile: others may connect already.
///
/// # Errors
/// When one of them cannot be bound.
pub(super) async fn bind(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
    shared: &Shared,
) -> Result<(Vec<ListenerId>, Vec<SwarmEvent<BehaviourEvent>>), NetworkError> {
    let (mut listeners, mut meanwhile) = (Vec::new(), Vec::new());
    for address in addresses {
        check_free(address)?;
        let listener = swarm.listen_on(address.clone()).map_err(|error| match error {
            TransportError::MultiaddrNotSupported(address) => {
                NetworkError::UnsupportedAddress { address }
            }
            TransportError::Other(error) => refused(address, &error),
        })?;
        listeners.push(listener);
    }
    let mut unknown: HashSet<ListenerId> = listeners.iter().copied().collect();
    let wildcard = addresses.iter().filter_map(address::host).any(|host| host.is_unspecified());
    // The sockets are bound. A wildcard listener without any interface has no address yet, and
    // will report one when an interface appears.
    let known = async {
        loop {
            let next = swarm.select_next_some();
            let event = if !unknown.is_empty() {
                next.await
            } else if wildcard && let Ok(event) = timeout(LISTEN_QUIET, next).await {
                // One interface is known; the others are told of right after it.
                event
            } else {
                return Ok(());
            };
            match event {
                SwarmEvent::NewListenAddr { listener_id, address } => {
                    unknown.remove(&listener_id);
                    shared.listening(address);
                }
                SwarmEvent::ExpiredListenAddr { address, .. } => shared.not_listening(&address),
                SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                    unknown.remove(&listener_id);
                    if let (Err(error), Some(address)) = (reason, addresses.first()) {
                        return Err(refused(address, &error));
                    }
                }
                other => meanwhile.push(other),
            }
        }
    };
    timeout(LISTEN_TIMEOUT, known).await.unwrap_or(Ok(()))?;
    Ok((listeners, meanwhile))
}

/// Whether nobody else listens there. TCP listeners share their port with others of the same user
/// (`SO_REUSEPORT`), so a second process would not fail to bind but take half of the connections;
/// plain sockets fail, and say why in one word.
fn check_free(address: &Multiaddr) -> Result<(), NetworkError> {
    let bound = match address::socket(address) {
        Some((_, socket)) if socket.port() == 0 => return Ok(()),
        Some((Carrier::Tcp, socket)) => TcpListener::bind(socket).map(drop),
        Some((Carrier::Udp, socket)) => UdpSocket::bind(socket).map(drop),
        None => return Ok(()),
    };
    bound.map_err(|error| refused(address, &error))
}

/// Waits for a moment until the UDP ports of a network that was shut down are free: QUIC keeps its
/// socket for some round trips after the last connection is closed.
pub(super) async fn until_released(addresses: &[Multiaddr]) {
    let released = async {
        for address in addresses {
            let Some((Carrier::Udp, socket)) = address::socket(address) else { continue };
            while UdpSocket::bind(socket)
                .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
            {
                sleep(RELEASE_INTERVAL).await;
            }
        }
    };
    if timeout(RELEASE_TIMEOUT, released).await.is_err() {
        tracing::debug!("a UDP port is still in use after the shutdown");
    }
}

fn refused(address: &Multiaddr, error: &io::Error) -> NetworkError {
    let address = address.clone();
    if error.kind() == io::ErrorKind::AddrInUse {
        NetworkError::AddressInUse { address }
    } else {
        NetworkError::Listen { address, reason: error.to_string() }
    }
}
