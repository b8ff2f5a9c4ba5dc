//! Peers for the network tests: a sink that remembers, and waiting with a deadline.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tidings::net::{Network, NetworkConfig, NetworkEvent, Sink};
use tokio::sync::Notify;

/// Long enough for a busy machine; nothing waits for it when all is well.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Everything a peer was told, in order.
#[derive(Default)]
pub struct Memory {
    pub state: Mutex<Told>,
    changed: Notify,
}

#[derive(Default)]
pub struct Told {
    pub connected: HashMap<PeerId, Vec<Multiaddr>>,
    pub connections: usize,
    pub disconnections: usize,
    pub frames: HashMap<PeerId, Vec<Vec<u8>>>,
    pub probes: HashMap<PeerId, Vec<Vec<u8>>>,
    pub events: Vec<NetworkEvent>,
    /// Calls that broke the order that the sink is promised.
    pub mistakes: Vec<String>,
}

impl Memory {
    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
    }

    /// Waits until `condition` holds, however long it takes.
    pub async fn forever(&self, condition: impl Fn(&Told) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(&self.state.lock().unwrap()) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until `condition` holds, or fails with `what`.
    pub async fn until(&self, what: &str, condition: impl Fn(&Told) -> bool) {
        let wait = self.forever(condition);
        assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "waited in vain: {what}");
        let mistakes = self.state.lock().unwrap().mistakes.clone();
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
}

impl Sink for Memory {
    fn connected(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.tell(|told| {
            told.connections += 1;
            if told.connected.insert(peer, addresses).is_some() {
                told.mistakes.push("connected twice".into());
            }
        });
    }

    fn disconnected(&self, peer: PeerId) {
        self.tell(|told| {
            told.disconnections += 1;
            if told.connected.remove(&peer).is_none() {
                told.mistakes.push("disconnected without connected".into());
            }
        });
    }

    fn frames(&self, peer: PeerId, frames: Vec<Vec<u8>>) {
        self.tell(|told| {
            if !told.connected.contains_key(&peer) || frames.is_empty() {
                told.mistakes.push("frames outside of a connected period".into());
            }
            told.frames.entry(peer).or_default().extend(frames);
        });
    }

    fn probe(&self, peer: PeerId, packet: Vec<u8>) {
        self.tell(|told| {
            if !told.connected.contains_key(&peer) {
                told.mistakes.push("a probe outside of a connected period".into());
            }
            told.probes.entry(peer).or_default().push(packet);
        });
    }

    fn event(&self, event: NetworkEvent) {
        self.tell(|told| told.events.push(event));
    }
}

/// A running peer and what it was told.
pub struct Peer {
    pub id: PeerId,
    pub network: Network,
    pub told: Arc<Memory>,
}

impl Peer {
    pub async fn start(listen: &[&str], bootstrap: &[Multiaddr]) -> Self {
        Self::with(Keypair::generate_ed25519(), [7; 32], listen, bootstrap).await
    }

    pub async fn with(
        keypair: Keypair,
        cluster_key: [u8; 32],
        listen: &[&str],
        bootstrap: &[Multiaddr],
    ) -> Self {
        let told = Arc::new(Memory::default());
        let id = keypair.public().to_peer_id();
        let config = NetworkConfig {
            keypair,
            cluster_key,
            listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
            bootstrap: bootstrap.to_vec(),
            mdns: false,
        };
        let network = Network::start(config, told.clone()).await.unwrap();
        Self { id, network, told }
    }

    pub async fn until_connected(&self, other: &Self) {
        self.told.until("connected", |told| told.connected.contains_key(&other.id)).await;
    }

    pub async fn until_disconnected(&self, other: &Self) {
        self.told.until("disconnected", |told| !told.connected.contains_key(&other.id)).await;
    }

    /// Sends a frame each way, once both are connected, and waits for both.
    pub async fn exchange(&self, other: &Self, frame: &[u8]) {
        self.until_connected(other).await;
        other.until_connected(self).await;
        assert!(self.network.send(&other.id, frame.to_vec()));
        assert!(other.network.send(&self.id, frame.to_vec()));
        for (from, to) in [(self, other), (other, self)] {
            to.told
                .until("the frame", |told| {
                    told.frames.get(&from.id).is_some_and(|got| got.iter().any(|f| f == frame))
                })
                .await;
        }
    }
}
