//! One peer of a cluster, in this process.

use std::path::PathBuf;

use tidings_core::definition::Definition;
use tidings_core::status::{DatabaseSummary, NodeStatus, PeerStatus};

use crate::{Database, Result};

/// A running peer. Clones are handles to the same peer.
#[derive(Clone, Debug)]
pub struct Peer {}

/// Settings of a peer before it starts.
#[derive(Clone, Debug)]
pub struct PeerBuilder {}

/// What [`Peer::apply`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyReport {
    /// Names of the definitions that were new.
    pub created: Vec<String>,
    /// Names of those that were changed.
    pub changed: Vec<String>,
    /// Names of those that were there already.
    pub unchanged: Vec<String>,
    /// Sentences about matchers that overlap, and which wins.
    pub overlaps: Vec<String>,
}

/// Something that happened, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether a person should look at it.
    pub alarm: bool,
    /// A sentence.
    pub text: String,
}

impl PeerBuilder {
    /// A name for people; the default is the end of the peer id.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        todo!()
    }
    /// The cluster secret, at least 16 bytes. Without one the peer listens on loopback only.
    #[must_use]
    pub fn secret(self, secret: impl Into<Vec<u8>>) -> Self {
        todo!()
    }
    /// Adds a libp2p address to listen on, such as `/ip4/0.0.0.0/udp/7001/quic-v1`. The default is
    /// TCP and QUIC on free ports of every interface, or of loopback without a secret.
    #[must_use]
    pub fn listen(self, address: impl Into<String>) -> Self {
        todo!()
    }
    /// Adds the address of a peer to connect to, with or without `/p2p/…`.
    #[must_use]
    pub fn bootstrap(self, address: impl Into<String>) -> Self {
        todo!()
    }
    /// Whether to find peers by mDNS on the local network; the default is yes.
    #[must_use]
    pub fn mdns(self, enabled: bool) -> Self {
        todo!()
    }
    /// Share of the databases relative to other peers, above 0; the default is 1.
    #[must_use]
    pub fn weight(self, weight: f64) -> Self {
        todo!()
    }
    /// The failure domain: copies are spread over zones.
    #[must_use]
    pub fn zone(self, zone: impl Into<String>) -> Self {
        todo!()
    }
    /// Definitions to apply at the start.
    #[must_use]
    pub fn definitions(self, definitions: Vec<Definition>) -> Self {
        todo!()
    }
    /// Bytes of memory for caching blocks of the store.
    #[must_use]
    pub fn cache_bytes(self, bytes: u64) -> Self {
        todo!()
    }
    /// Starts the peer.
    pub async fn start(self) -> Result<Peer> {
        todo!()
    }
}

impl Peer {
    /// A peer that keeps its data in a directory, which only one process uses at a time.
    pub fn builder(directory: impl Into<PathBuf>) -> PeerBuilder {
        todo!()
    }
    /// A peer that keeps its data in memory, for tests: listens on loopback, without mDNS.
    pub fn in_memory() -> PeerBuilder {
        todo!()
    }
    /// Opens a database by its path. Writes nothing: it comes into being with its first write.
    pub async fn database(&self, path: &str) -> Result<Database> {
        todo!()
    }
    /// Creates or changes definitions in the cluster; all of them or none.
    pub async fn apply(&self, definitions: Vec<Definition>) -> Result<ApplyReport> {
        todo!()
    }
    /// Removes a definition; its databases keep their data and cannot be opened. False: there was none.
    pub async fn remove_definition(&self, name: &str) -> Result<bool> {
        todo!()
    }
    /// The definitions of the cluster, by name.
    pub fn definitions(&self) -> Result<Vec<Definition>> {
        todo!()
    }
    /// The databases of the cluster, by path, after `after`, at most `limit`.
    pub fn databases(&self, after: Option<&str>, limit: usize) -> Result<Vec<DatabaseSummary>> {
        todo!()
    }
    /// The status of any database of the cluster by path, also where its definition was removed.
    pub async fn database_status(&self, path: &str) -> Result<tidings_core::status::DatabaseStatus> {
        todo!()
    }
    /// The other peers.
    pub fn peers(&self) -> Vec<PeerStatus> {
        todo!()
    }
    /// This peer.
    pub fn status(&self) -> NodeStatus {
        todo!()
    }
    /// The peer id, `12D3KooW…`.
    pub fn id(&self) -> String {
        todo!()
    }
    /// Addresses to reach this peer at, each with `/p2p/…`.
    pub fn listen_addresses(&self) -> Vec<String> {
        todo!()
    }
    /// The next thing that happened; events that nobody fetches are dropped, oldest first. `None`
    /// after the peer stopped.
    pub async fn next_event(&self) -> Option<Event> {
        todo!()
    }
    /// Resolves when the peer stopped by itself, with why: a storage failure.
    pub async fn failed(&self) -> crate::Error {
        todo!()
    }
    /// Stops cleanly: syncs, tells the others, closes.
    pub async fn shutdown(&self) -> Result<()> {
        todo!()
    }
}
