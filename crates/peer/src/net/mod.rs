//! The network: carries opaque bytes between the peers of a cluster over libp2p.
//!
//! The protocol core above decides what is said to whom; this module gets it there. What it
//! promises:
//!
//! - **Only members.** Before anything else is spoken, both ends of a connection prove that they
//!   know the cluster key (`auth`); a stranger sees an encrypted connection that closes.
//! - **One ordered stream of frames per peer**, and a separate one for probes, whatever the
//!   number of connections: `pairing` holds the rules, `streams` opens them, a `session` runs
//!   them.
//! - **Sending never waits.** [`Network::send`] puts a frame into a bounded queue, or says that
//!   it did not. A frame goes from there straight to the peer's writer task.
//! - **Peers are tried for ever**, with backoff (`targets`): bootstrap addresses, what mDNS
//!   found, and whoever the layer above asks for.
//! - **Everything is bounded** (`limits`), and a peer's mistakes are events, never panics.
//!
//! One task (`driver`) owns the swarm; everything else is a value it feeds, or a task per
//! session. The layer above implements [`Sink`].

mod address;
mod auth;
mod counters;
mod driver;
mod events;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod listen;
mod pairing;
mod queue;
mod session;
mod shared;
mod streams;
mod targets;
mod transport;

use std::{sync::Arc, time::Instant};

use libp2p::{
    Multiaddr, PeerId, Swarm, connection_limits, identify, identity::Keypair, mdns,
    swarm::behaviour::toggle::Toggle,
};
use tokio::sync::watch;

use driver::{Behaviour, Driver};
use shared::Shared;

pub use auth::AuthenticationFailure;
pub use counters::{NetworkCounters, Traffic};
pub use events::{NetworkEvent, Sink};
pub use limits::{
    AUTHENTICATION_TIMEOUT, BACKOFF_AUTHENTICATION, BACKOFF_FIRST, BACKOFF_LONGEST,
    FRAME_QUEUE_BYTES, MAX_ADDRESSES_PER_PEER, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_PEER,
    MAX_FRAME_BYTES, MAX_PENDING_INCOMING, MAX_PENDING_INCOMING_PER_HOST, MAX_PENDING_OUTGOING,
    MAX_PROBE_BYTES, PROBE_QUEUE_BYTES, QUEUED_OVERHEAD_BYTES, SILENCE_LIMIT,
};

/// What the network must be told.
pub struct NetworkConfig {
    /// The identity of this peer, an Ed25519 key.
    pub keypair: Keypair,
    /// Derived from the cluster secret. Whoever is dialed sees a value keyed by it, so the secret
    /// must not be guessable, or the derivation must be slow.
    pub cluster_key: [u8; 32],
    /// Where to listen: `/ip4/…/tcp/…` and `/ip4/…/udp/…/quic-v1`, IPv6 alike. Port 0 takes any
    /// free port, an unspecified host all interfaces, those that appear later included.
    pub listen: Vec<Multiaddr>,
    /// Addresses to try for ever, with or without a trailing `/p2p`; `/dns`, `/dns4` and `/dns6`
    /// names are looked up for every attempt.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to look for peers on the local network, and to be found there.
    pub mdns: bool,
}

/// Why the network did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Another process listens there.
    #[error("{address} is in use by another process: stop it, or choose another port")]
    AddressInUse {
        /// As it was asked for.
        address: Multiaddr,
    },
    /// The kind of address is not one this network can listen on.
    #[error(
        "cannot listen on {address}: use /ip4/<host>/tcp/<port> or /ip4/<host>/udp/<port>/quic-v1"
    )]
    UnsupportedAddress {
        /// As it was asked for.
        address: Multiaddr,
    },
    /// The system refused to listen.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// As it was asked for.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// The identity cannot be used.
    #[error("the identity key cannot be used for encryption: {0}")]
    Identity(#[from] libp2p::noise::Error),
}

/// A handle to the running network; cheap to clone. When the last one is dropped, the network
/// shuts down.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
    finished: watch::Receiver<bool>,
    _running: Arc<Running>,
}

/// Shared by the handles alone, so that its drop means that the last of them is gone.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.begin_shutdown();
    }
}

impl Network {
    /// Starts the network on the current tokio runtime; every listen address is bound when this
    /// returns.
    ///
    /// # Errors
    /// When an address cannot be bound, or the identity cannot be used.
    pub async fn start(config: NetworkConfig, sink: Arc<dyn Sink>) -> Result<Self, NetworkError> {
        let NetworkConfig { keypair, cluster_key, listen, bootstrap, mdns } = config;
        let (transport, rejections) = transport::build(&keypair, cluster_key)?;
        let behaviour = behaviour(&keypair, mdns, sink.as_ref());
        let mut swarm = Swarm::new(
            transport,
            behaviour,
            keypair.public().to_peer_id(),
            libp2p::swarm::Config::with_tokio_executor(),
        );
        let shared = Arc::new(Shared::new(sink));
        let (listeners, meanwhile) = listen::bind(&mut swarm, &listen, &shared).await?;
        {
            let mut targets = shared.targets();
            for address in bootstrap {
                targets.bootstrap(address, Instant::now());
            }
        }
        let (finished_sender, finished) = watch::channel(false);
        let driver = Driver::new(swarm, shared.clone(), listeners, rejections, finished_sender);
        tokio::spawn(driver.run(meanwhile));
        Ok(Self { _running: Arc::new(Running(shared.clone())), shared, finished })
    }

    /// Queues a data frame for a connected peer, from any thread, without waiting.
    ///
    /// Returns `false`, and counts a dropped send, if the peer is not connected, the queue of
    /// [`FRAME_QUEUE_BYTES`] has no room, or the frame is larger than [`MAX_FRAME_BYTES`]. `true`
    /// does not promise arrival: the connection may end first, which `disconnected` reports.
    pub fn send(&self, peer: &PeerId, frame: Vec<u8>) -> bool {
        let fits = frame.len() <= MAX_FRAME_BYTES;
        self.shared.send(peer, fits, |session| session.frames.push(frame))
    }

    /// Queues a probe packet for a connected peer, like [`Network::send`], within
    /// [`PROBE_QUEUE_BYTES`] and [`MAX_PROBE_BYTES`]. Probes overtake frames.
    pub fn send_probe(&self, peer: &PeerId, packet: Vec<u8>) -> bool {
        let fits = packet.len() <= MAX_PROBE_BYTES;
        self.shared.send(peer, fits, |session| session.probes.push(packet))
    }

    /// Keeps trying to reach `peer` at these addresses, beside those known already, whenever it
    /// is not connected, until [`Network::forget`].
    pub fn dial(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.shared.targets().ask(peer, addresses, Instant::now());
        self.shared.changed.notify_one();
    }

    /// Stops trying to reach `peer`. A connection that exists stays, and bootstrap addresses
    /// without a `/p2p` part are still tried.
    pub fn forget(&self, peer: &PeerId) {
        self.shared.targets().forget(peer);
    }

    /// The addresses this peer listens on now, with their actual ports and interfaces.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.shared.listen_addresses()
    }

    /// The peers connected now.
    pub fn connected_peers(&self) -> Vec<PeerId> {
        self.shared.connected_peers()
    }

    /// The counters, read without stopping anything.
    pub fn counters(&self) -> NetworkCounters {
        self.shared.counters()
    }

    /// Gives queued frames a moment to leave, ends every connection so that the others notice at
    /// once, and returns when the sink has seen the last `disconnected`. Further calls on any
    /// handle do nothing.
    pub async fn shutdown(&self) {
        self.shared.begin_shutdown();
        // An error means that the driver is gone, which is what is waited for.
        let _ = self.finished.clone().wait_for(|finished| *finished).await;
    }
}

fn behaviour(keypair: &Keypair, mdns_wanted: bool, sink: &dyn Sink) -> Behaviour {
    let local = keypair.public().to_peer_id();
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING_INCOMING))
        .with_max_pending_outgoing(Some(MAX_PENDING_OUTGOING))
        .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER))
        .with_max_established(Some(MAX_CONNECTIONS));
    let identify = identify::Config::new("/tidings/1".into(), keypair.public())
        .with_agent_version(concat!("tidings/", env!("CARGO_PKG_VERSION")).into())
        .with_push_listen_addr_updates(true)
        // Addresses are kept by the targets, not there.
        .with_cache_size(0);
    let mdns = mdns_wanted.then(|| {
        let config = mdns::Config {
            ttl: limits::MDNS_LIFETIME,
            query_interval: limits::MDNS_QUERY_INTERVAL,
            enable_ipv6: false,
        };
        mdns::tokio::Behaviour::new(config, local)
    });
    let mdns = match mdns {
        Some(Ok(mdns)) => Some(mdns),
        Some(Err(error)) => {
            sink.event(NetworkEvent::DiscoveryUnavailable { reason: error.to_string() });
            None
        }
        None => None,
    };
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        identify: identify::Behaviour::new(identify),
        mdns: Toggle::from(mdns),
        streams: streams::Behaviour::default(),
    }
}
