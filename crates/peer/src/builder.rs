//! Settings of a peer, and its start.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use tidings_core::definition::Definition;
use tidings_core::error::Error;
use tidings_core::node::{
    Config, HOLDER_TTL, MAX_CLOCK_SKEW, Node, REBALANCE_DELAY, REPLACEMENT_DELAY, STABILITY_WINDOW,
    TOMBSTONE_GRACE, TRASH,
};
use tidings_core::store::MemoryStore;

use crate::net::{Network, NetworkConfig};
use crate::shared::{Arrivals, Shared, from_libp2p, is_loopback, now};
use crate::store::{AnyStore, Directory, FjallStore, StoreConfig};
use crate::{Peer, Result};

/// Shortest cluster secret, in bytes: shorter ones can be guessed.
pub const SECRET_MIN: usize = 16;

/// Bounds of the times after which things are forgotten.
const FORGET_MIN: Duration = Duration::from_secs(1);
const FORGET_MAX: Duration = Duration::from_hours(3_650 * 24);
/// Least and most bytes of the caches.
const CACHE_MIN: u64 = 1 << 20;
const CACHE_MAX: u64 = 1 << 40;

/// Settings of a peer before it starts.
#[derive(Clone, Debug)]
pub struct PeerBuilder {
    directory: Option<PathBuf>,
    name: Option<String>,
    secret: Option<Vec<u8>>,
    listen: Vec<String>,
    bootstrap: Vec<String>,
    mdns: bool,
    weight: f64,
    zone: String,
    tombstone_grace: Duration,
    holder_ttl: Duration,
    rebalance_delay: Duration,
    definitions: Vec<Definition>,
    store: StoreConfig,
}

impl PeerBuilder {
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self {
            mdns: directory.is_some(),
            directory,
            name: None,
            secret: None,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            weight: 1.0,
            zone: String::new(),
            tombstone_grace: Duration::from_millis(TOMBSTONE_GRACE),
            holder_ttl: Duration::from_millis(HOLDER_TTL),
            rebalance_delay: Duration::from_millis(REBALANCE_DELAY),
            definitions: Vec::new(),
            store: StoreConfig::default(),
        }
    }

    /// A name for people, at most 128 bytes; the default is the end of the peer id.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The cluster secret, at least 16 bytes: peers with the same secret are one cluster. Without one
    /// the peer listens on loopback only, and mDNS is off.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Adds a libp2p address to listen on, such as `/ip4/0.0.0.0/udp/7001/quic-v1`. The default is
    /// TCP and QUIC on free ports of every IPv4 interface, or of loopback without a secret.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// Adds the address of a peer to connect to, with or without `/p2p/…`.
    #[must_use]
    pub fn bootstrap(mut self, address: impl Into<String>) -> Self {
        self.bootstrap.push(address.into());
        self
    }

    /// Whether to find peers by mDNS on the local network; the default is yes for a peer with a
    /// directory, no for one in memory.
    #[must_use]
    pub fn mdns(mut self, enabled: bool) -> Self {
        self.mdns = enabled;
        self
    }

    /// Share of the databases relative to other peers, from 0.01 to 10,000; the default is 1.
    #[must_use]
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// The failure domain: copies are spread over zones.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// How long a delete is remembered at least, from 1 s to ten years; the default is three days. A
    /// holder that was away for less catches up with what it missed, one that was away for longer
    /// compares its copy key by key. Give all peers of a cluster the same.
    #[must_use]
    pub fn tombstone_grace(mut self, grace: Duration) -> Self {
        self.tombstone_grace = grace;
        self
    }

    /// How long a holder may be away before deletes are no longer kept for it, from 1 s to ten years; the
    /// default is seven days. It may come back all the same. Give all peers of a cluster the same.
    #[must_use]
    pub fn holder_ttl(mut self, ttl: Duration) -> Self {
        self.holder_ttl = ttl;
        self
    }

    /// How long another peer must have been there before this one hands it copies that it is preferred
    /// for, from 1 s to ten years; the default is ten minutes, and zero means never. A copy that was
    /// used through this peer within that time stays.
    #[must_use]
    pub fn rebalance_delay(mut self, delay: Duration) -> Self {
        self.rebalance_delay = delay;
        self
    }

    /// Definitions to apply at the start.
    #[must_use]
    pub fn definitions(mut self, definitions: Vec<Definition>) -> Self {
        self.definitions = definitions;
        self
    }

    /// Bytes of memory for rows written and blocks read lately, from 1 MiB to 1 TiB; the default is 128 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.store.cache_bytes = bytes;
        self
    }

    /// Bytes of writes to collect in memory before they are written into tables, for each of three
    /// tables; the default is 16 MiB. At worst four times as much waits. Fixed when the data
    /// directory is created.
    #[must_use]
    pub fn memtable_bytes(mut self, bytes: u64) -> Self {
        self.store.memtable_bytes = bytes;
        self
    }

    /// Starts the peer: opens its store, binds its addresses, begins to look for others.
    ///
    /// # Errors
    /// [`Error::BadArgument`] when a setting is out of bounds; [`Error::Start`] when the secret is too short
    /// or missing, the directory is locked, of a newer format or unreadable, or an address cannot be bound;
    /// [`Error::Storage`] when the store fails.
    pub async fn start(self) -> Result<Peer> {
        self.check()?;
        let (listen, bootstrap) = self.addresses()?;
        let secret = self.secret.as_deref().unwrap_or_default();
        let cluster_key = blake3::derive_key("tidings 2026 cluster key v1", secret);
        let mdns = self.mdns && self.secret.is_some();

        let opened = self.clone();
        let (keypair, store) = blocking(move || opened.open()).await??;
        let id = from_libp2p(keypair.public().to_peer_id())
            .ok_or_else(|| Error::Start("the identity is not an Ed25519 key".into()))?;
        let id_text = id.to_string();
        let config = Config {
            peer: id,
            name: self.name.clone().unwrap_or_else(|| id_text[id_text.len() - 6..].to_string()),
            zone: self.zone.clone(),
            weight: (self.weight * 100.0).round() as u32,
            cluster_key,
            expects_peers: mdns || !bootstrap.is_empty(),
            max_clock_skew: MAX_CLOCK_SKEW,
            replacement_delay: REPLACEMENT_DELAY,
            stability_window: STABILITY_WINDOW,
            rebalance_delay: millis(self.rebalance_delay),
            trash: TRASH,
            tombstone_grace: millis(self.tombstone_grace),
            holder_ttl: millis(self.holder_ttl),
            sweep_interval: tidings_core::node::SWEEP_INTERVAL,
        };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| Error::Start(format!("no randomness from the system: {error}")))?;
        let born = Instant::now();
        let node_store = store.clone();
        let node = blocking(move || Node::new(config, node_store, seed, now(born))).await??;
        let shared = Shared::new(node, store, born);
        let definitions = self.definitions.clone();
        if !definitions.is_empty() {
            shared.with(|node, now| node.apply(&definitions, now))??;
        }

        let arrivals = Arc::new(Arrivals(OnceLock::new()));
        let _ = arrivals.0.set(Arc::downgrade(&shared));
        let network = NetworkConfig { keypair, cluster_key, listen, bootstrap, mdns };
        let network = Network::start(network, arrivals)
            .await
            .map_err(|error| Error::Start(error.to_string()))?;
        shared.run(network)?;
        shared.tell_addresses();
        Ok(Peer::new(shared, id))
    }

    fn check(&self) -> Result<()> {
        if let Some(secret) = &self.secret
            && secret.len() < SECRET_MIN
        {
            return Err(Error::Start(format!(
                "a secret of {} bytes: it has at least {SECRET_MIN}; make one with `openssl rand -hex 32`",
                secret.len()
            )));
        }
        if !(0.01..=10_000.0).contains(&self.weight) {
            return Err(Error::BadArgument(format!(
                "a weight of {}: it is from 0.01 to 10000, and 1 is usual",
                self.weight
            )));
        }
        for (what, time, usual) in [
            ("tombstone grace", self.tombstone_grace, "3 days are usual"),
            ("holder ttl", self.holder_ttl, "7 days are usual"),
            ("rebalance delay", self.rebalance_delay, "10 minutes are usual, 0 s means never"),
        ] {
            let never = time.is_zero() && what == "rebalance delay";
            if !never && !(FORGET_MIN..=FORGET_MAX).contains(&time) {
                return Err(Error::BadArgument(format!(
                    "a {what} of {time:?}: it is from 1 s to 3650 days; {usual}"
                )));
            }
        }
        if !(CACHE_MIN..=CACHE_MAX).contains(&self.store.cache_bytes) {
            return Err(Error::BadArgument(format!(
                "a cache of {} bytes: it is from 1 MiB to 1 TiB; 128 MiB are usual",
                self.store.cache_bytes
            )));
        }
        let max = crate::limits::NAME_MAX;
        for (what, text) in
            [("name", self.name.as_deref().unwrap_or_default()), ("zone", self.zone.as_str())]
        {
            if text.len() > max || text.chars().any(char::is_control) {
                return Err(Error::BadArgument(format!(
                    "a {what} of {} bytes: it has at most {max}, without control characters",
                    text.len()
                )));
            }
        }
        Ok(())
    }

    fn addresses(&self) -> Result<(Vec<Multiaddr>, Vec<Multiaddr>)> {
        let parse = |text: &String| {
            text.parse::<Multiaddr>().map_err(|error| {
                Error::BadArgument(format!(
                    "{text:?} is no libp2p address ({error}); one looks like /ip4/192.0.2.7/tcp/7001"
                ))
            })
        };
        let host = if self.secret.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        let defaults = [format!("/ip4/{host}/tcp/0"), format!("/ip4/{host}/udp/0/quic-v1")];
        let listen: Vec<String> =
            if self.listen.is_empty() { defaults.to_vec() } else { self.listen.clone() };
        let listen = listen.iter().map(parse).collect::<Result<Vec<Multiaddr>>>()?;
        if self.secret.is_none()
            && let Some(open) = listen.iter().find(|address| !is_loopback(&address.to_string()))
        {
            return Err(Error::Start(format!(
                "listening on {open} without a secret would admit everyone: give a secret, or listen on /ip4/127.0.0.1/…"
            )));
        }
        let bootstrap = self.bootstrap.iter().map(parse).collect::<Result<_>>()?;
        Ok((listen, bootstrap))
    }

    fn open(&self) -> Result<(Keypair, AnyStore)> {
        let start = |error: &dyn std::fmt::Display| Error::Start(error.to_string());
        let Some(path) = &self.directory else {
            return Ok((Keypair::generate_ed25519(), AnyStore::Memory(MemoryStore::default())));
        };
        let directory = Directory::open(path).map_err(|error| start(&error))?;
        let known = directory.identity().map_err(|error| start(&error))?;
        let keypair = if let Some(bytes) = known {
            Keypair::from_protobuf_encoding(&bytes).map_err(|error| {
                start(&format!("the identity in {} is damaged: {error}", path.display()))
            })?
        } else {
            let keypair = Keypair::generate_ed25519();
            let bytes = keypair.to_protobuf_encoding().map_err(|error| start(&error))?;
            directory.set_identity(&bytes).map_err(|error| start(&error))?;
            keypair
        };
        let store = FjallStore::open(&directory, &self.store).map_err(|error| start(&error))?;
        Ok((keypair, AnyStore::Fjall(store)))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("opening the store: {error}")))
}
