//! Small questions about multiaddrs.

use std::net::{IpAddr, SocketAddr};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use super::limits::MAX_ADDRESSES_PER_PEER;

/// The address without a trailing `/p2p`, and the peer named there.
pub(super) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            (address, Some(peer))
        }
        _ => (address, None),
    }
}

/// The host of an address, if it is a number.
pub(super) fn host(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(host) => Some(host.into()),
        Protocol::Ip6(host) => Some(host.into()),
        _ => None,
    }
}

/// What carries the connections of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Tcp,
    Udp,
}

/// The socket that a listener on this address binds.
pub(super) fn socket(address: &Multiaddr) -> Option<(Carrier, SocketAddr)> {
    match address.iter().nth(1)? {
        Protocol::Tcp(port) => Some((Carrier::Tcp, SocketAddr::new(host(address)?, port))),
        Protocol::Udp(port) => Some((Carrier::Udp, SocketAddr::new(host(address)?, port))),
        _ => None,
    }
}

/// Whether the address begins with a name that has to be looked up.
fn name(address: &Multiaddr) -> Option<(String, Family)> {
    match address.iter().next()? {
        Protocol::Dns(name) => Some((name.into_owned(), Family::Any)),
        Protocol::Dns4(name) => Some((name.into_owned(), Family::V4)),
        Protocol::Dns6(name) => Some((name.into_owned(), Family::V6)),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Family {
    Any,
    V4,
    V6,
}

/// Whether [`resolve`] would have to ask somebody.
pub(super) fn needs_lookup(addresses: &[Multiaddr]) -> bool {
    addresses.iter().any(|address| name(address).is_some())
}

/// Replaces names by the numbers that the system's resolver gives now. Names that do not resolve
/// are left out; they are asked again with the next dial.
pub(super) async fn resolve(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let mut resolved = Vec::new();
    for address in addresses {
        let Some((name, family)) = name(&address) else {
            resolved.push(address);
            continue;
        };
        match tokio::net::lookup_host((name.as_str(), 0)).await {
            Ok(hosts) => resolved.extend(hosts.filter_map(|host| {
                let number = match (host.ip(), family) {
                    (IpAddr::V4(ip), Family::Any | Family::V4) => Protocol::Ip4(ip),
                    (IpAddr::V6(ip), Family::Any | Family::V6) => Protocol::Ip6(ip),
                    _ => return None,
                };
                address.replace(0, |_| Some(number))
            })),
            Err(error) => tracing::debug!(%address, %error, "the name does not resolve"),
        }
    }
    resolved.truncate(MAX_ADDRESSES_PER_PEER);
    resolved
}

/// The addresses at which a peer may be found from here: what it says about itself, less what
/// makes no sense on this side, after `known_good`.
pub(super) fn usable(
    known_good: Option<Multiaddr>,
    claimed: Vec<Multiaddr>,
    seen_from_loopback: bool,
) -> Vec<Multiaddr> {
    let mut addresses: Vec<Multiaddr> = known_good.into_iter().collect();
    for address in claimed {
        let (address, _) = split_peer(address);
        let sensible = host(&address).is_some_and(|host| {
            !host.is_unspecified()
                && !host.is_multicast()
                && (seen_from_loopback || !host.is_loopback())
                // Without its zone a link-local address says nothing to others.
                && !matches!(host, IpAddr::V6(ip) if ip.is_unicast_link_local())
        });
        if sensible && !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES_PER_PEER {
            addresses.push(address);
        }
    }
    addresses
}
