//! What the network tells the layer above.

use libp2p::{Multiaddr, PeerId};

use super::AuthenticationFailure;

/// Where the network delivers.
///
/// The methods are called from the network's own tasks, synchronously. One that takes its time
/// slows the peer it is called for (that is the back pressure), and blocks a worker thread of the
/// runtime, so none may wait for anything that takes long.
///
/// For each peer the calls are ordered: `connected`, then any number of `frames` and `probe`,
/// then `disconnected`, before the next `connected`. `frames` and `probe` of one peer may be
/// called at the same time, and so may those of different peers.
pub trait Sink: Send + Sync + 'static {
    /// A connected period with `peer` begins; sending to it works from here on. `addresses` are
    /// where it may be found from here, the one that worked first, the others as it claims.
    fn connected(&self, peer: PeerId, addresses: Vec<Multiaddr>);
    /// The connected period is over; nothing more of it will be delivered. Frames accepted for
    /// sending may be lost.
    fn disconnected(&self, peer: PeerId);
    /// Data frames from `peer`, in the order in which it sent them, at least one.
    fn frames(&self, peer: PeerId, frames: Vec<Vec<u8>>);
    /// One probe packet from `peer`.
    fn probe(&self, peer: PeerId, packet: Vec<u8>);
    /// Something else worth knowing happened.
    fn event(&self, event: NetworkEvent);
}

/// What happened on the network beside connections and frames.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// The network listens on this address now.
    Listening {
        /// With the actual port and interface.
        address: Multiaddr,
    },
    /// The network does not listen on this address any more: its interface is gone.
    StoppedListening {
        /// As it was reported by `Listening`.
        address: Multiaddr,
    },
    /// A listener failed after it had been bound.
    ListenFailed {
        /// As it was reported by `Listening`.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// A connection did not pass the secret handshake and was closed.
    AuthenticationFailed {
        /// Who it was; its `PeerId` is proven.
        peer: PeerId,
        /// The remote end of the connection.
        address: Multiaddr,
        /// Whether this side had dialed it.
        dialed: bool,
        /// What went wrong.
        reason: AuthenticationFailure,
    },
    /// A connection limit turned a connection away.
    ConnectionRefused {
        /// The remote end.
        address: Multiaddr,
        /// Which limit.
        reason: String,
    },
    /// mDNS says that a peer may be found here. Not verified in any way.
    Discovered {
        /// Who it is said to be.
        peer: PeerId,
        /// Where it is said to be.
        address: Multiaddr,
    },
    /// mDNS is asked for, but could not be started; the network runs without it.
    DiscoveryUnavailable {
        /// What the system said.
        reason: String,
    },
    /// An authenticated peer says more about itself, at first and when its addresses change.
    Identified {
        /// Who.
        peer: PeerId,
        /// Its software and version, such as `tidings/0.1.0`.
        agent: String,
        /// Where it may be found from here, the address that worked first.
        addresses: Vec<Multiaddr>,
    },
}
