//! One peer of a cluster, in this process.

use std::path::PathBuf;
use std::sync::Arc;

use tidings_core::definition::Definition;
use tidings_core::ident::PeerId;
use tidings_core::message::{Operation, Reply};
use tidings_core::name::Path;
use tidings_core::status::{DatabaseStatus, DatabaseSummary, DrainStatus, NodeStatus, PeerStatus};

use crate::shared::{Event, Shared};
use crate::{Database, Error, PeerBuilder, Result};

/// Milliseconds to wait for a holder's answer.
pub(crate) const REQUEST_TIMEOUT: u64 = 10_000;

/// A running peer. Clones are handles to the same peer; when the last one and its databases are
/// dropped, the peer stops, and its next start checks its data in the background, as after a crash.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
    id: PeerId,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("id", &self.id).finish_non_exhaustive()
    }
}

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

impl Peer {
    pub(crate) fn new(shared: Arc<Shared>, id: PeerId) -> Self {
        Self { shared, id }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn peer_id(&self) -> PeerId {
        self.id
    }

    /// A peer that keeps its data in a directory, which only one process uses at a time.
    pub fn builder(directory: impl Into<PathBuf>) -> PeerBuilder {
        PeerBuilder::new(Some(directory.into()))
    }

    /// A peer that keeps its data in memory, for tests: listens on loopback, without mDNS.
    pub fn in_memory() -> PeerBuilder {
        PeerBuilder::new(None)
    }

    /// Opens a database by its path. Writes nothing: it comes into being with its first write.
    ///
    /// # Errors
    /// [`Error::BadPath`], or [`Error::NoMatch`] with the nearest matchers.
    #[expect(clippy::unused_async, reason = "opening may come to wait for other peers")]
    pub async fn database(&self, path: &str) -> Result<Database> {
        self.shared.check()?;
        let path = Path::new(path)?;
        let definition = self.shared.with(|node, _| node.open(&path))??;
        let id = self.shared.with(|node, _| node.database_id(path.as_str()))?;
        Ok(Database::new(self.shared.clone(), path, id, definition))
    }

    /// Creates or changes definitions in the cluster; all of them or none.
    ///
    /// # Errors
    /// [`Error::BadDefinition`] for the first that is wrong; nothing was changed.
    #[expect(clippy::unused_async, reason = "the write may come to wait for other peers")]
    pub async fn apply(&self, definitions: Vec<Definition>) -> Result<ApplyReport> {
        self.shared.check()?;
        let [created, changed, unchanged, overlaps] =
            self.shared.with(|node, now| node.apply(&definitions, now))??;
        Ok(ApplyReport { created, changed, unchanged, overlaps })
    }

    /// Removes a definition; its databases keep their data and cannot be opened. False: there was
    /// none.
    ///
    /// # Errors
    /// When the peer has stopped.
    #[expect(clippy::unused_async, reason = "the write may come to wait for other peers")]
    pub async fn remove_definition(&self, name: &str) -> Result<bool> {
        self.shared.check()?;
        self.shared.with(|node, now| node.remove_definition(name, now))?
    }

    /// The definitions of the cluster, by name.
    ///
    /// # Errors
    /// When the peer has stopped.
    pub fn definitions(&self) -> Result<Vec<Definition>> {
        self.shared.check()?;
        self.shared.with(|node, _| node.definitions())
    }

    /// The databases of the cluster by path, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the peer has stopped.
    pub fn databases(&self, after: Option<&str>, limit: usize) -> Result<Vec<DatabaseSummary>> {
        self.shared.check()?;
        self.shared.with(|node, _| node.databases(after, limit))
    }

    /// The status of any database of the cluster by path, also where its definition was removed. A
    /// peer without a copy asks a holder, and the status says whose answer it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody who holds it can be reached, [`Error::NoMatch`] when nobody has
    /// written to it and no definition accepts it.
    pub async fn database_status(&self, path: &str) -> Result<DatabaseStatus> {
        let path = Path::new(path)?;
        status(&self.shared, &path).await
    }

    /// Drops a database, for good: every copy on every peer is removed, also on those that are away, once
    /// they are back. What is written next begins it anew. Returns once the drop is on this peer's disk,
    /// while the others hear of it; what they accept until then is dropped with the rest. False: nobody
    /// has written to it. A definition is not needed.
    ///
    /// # Errors
    /// [`Error::BadPath`], or [`Error::Unavailable`] while this peer does not know yet what the others hold.
    #[expect(clippy::unused_async, reason = "dropping may come to wait for other peers")]
    pub async fn drop_database(&self, path: &str) -> Result<bool> {
        let path = Path::new(path)?;
        self.shared.with(|node, now| node.drop_database(&path, now))?
    }

    /// Begins to hand over every copy that this peer holds, before it goes for good, or with `false`
    /// stops doing so. It returns at once; [`drain_status`](Peer::drain_status) tells how far it is. This
    /// peer takes no copies any more, as many other peers as are missing to `min` are invited, and each
    /// copy here is given back once `min` others durably have all of it. It goes on serving meanwhile
    /// and afterwards, and a restart changes nothing.
    ///
    /// # Errors
    /// When the peer has stopped, or its storage fails.
    pub fn drain(&self, on: bool) -> Result<()> {
        self.shared.with(|node, now| node.drain(on, now))?
    }

    /// How far [`drain`](Peer::drain) is.
    ///
    /// # Errors
    /// When the peer has stopped.
    pub fn drain_status(&self) -> Result<DrainStatus> {
        self.shared.with(|node, _| node.drain_status())
    }

    /// The other peers: alive, connected, or remembered from before.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.shared.with(|node, _| node.peers()).unwrap_or_default()
    }

    /// This peer.
    pub fn status(&self) -> NodeStatus {
        let version = env!("CARGO_PKG_VERSION");
        let mut status = self.shared.with(|node, _| node.status(version)).unwrap_or(NodeStatus {
            peer: self.id(),
            name: String::new(),
            version: version.into(),
            epoch: String::new(),
            listen: Vec::new(),
            live_peers: 0,
            databases_held: 0,
            draining: false,
            cloned: false,
            databases_known: 0,
            health: tidings_core::status::Health::default(),
            verdict: vec!["the peer has stopped".into()],
            counters: std::collections::BTreeMap::new(),
        });
        if let Some(network) = self.shared.network() {
            let counters = network.counters();
            for (name, value) in [
                ("frame_bytes_sent", counters.frames_sent.bytes),
                ("frame_bytes_received", counters.frames_received.bytes),
                ("frames_sent", counters.frames_sent.frames),
                ("frames_received", counters.frames_received.frames),
                ("probe_bytes_sent", counters.probes_sent.bytes),
                ("probe_bytes_received", counters.probes_received.bytes),
                ("dropped_sends", counters.dropped_sends),
                ("authentication_failures", counters.authentication_failures),
                ("refused_connections", counters.refused_connections),
            ] {
                status.counters.insert(name.into(), value);
            }
        }
        status
    }

    /// The peer id, `12D3KooW…`.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Addresses to reach this peer at, each with `/p2p/…`.
    pub fn listen_addresses(&self) -> Vec<String> {
        let addresses = self.shared.network().map(crate::net::Network::listen_addresses);
        addresses
            .into_iter()
            .flatten()
            .map(|address| format!("{address}/p2p/{}", self.id))
            .collect()
    }

    /// The next thing that happened; events that nobody fetches are dropped, oldest first. `None`
    /// after the peer stopped.
    pub async fn next_event(&self) -> Option<Event> {
        self.shared.next_event().await
    }

    /// Resolves when the peer has stopped by itself, with why: a storage failure.
    pub async fn failed(&self) -> Error {
        self.shared.failed().await
    }

    /// Stops cleanly: tells the others, syncs, closes. Every handle is closed then.
    ///
    /// # Errors
    /// When the store fails at the last.
    pub async fn shutdown(&self) -> Result<()> {
        self.shared.shutdown().await
    }
}

/// The status of a database, from here or from a holder.
pub(crate) async fn status(shared: &Arc<Shared>, path: &Path) -> Result<DatabaseStatus> {
    shared.check()?;
    match shared.with(|node, now| node.database_status(path, now))? {
        Err(Error::Unavailable { .. }) => {}
        known => return known,
    }
    match request(shared, path, Operation::Status).await? {
        Reply::Status(status) => Ok(*status),
        _ => Err(Error::Internal("a status was answered as something else".into())),
    }
}

/// Asks a holder for something.
pub(crate) async fn request(
    shared: &Arc<Shared>,
    path: &Path,
    operation: Operation,
) -> Result<Reply> {
    // The answer may come out of the very call: the sender stands in the table before it.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    shared.request(path, operation, REQUEST_TIMEOUT, sender)?;
    receiver.await.map_err(|_| Error::Closed("the peer".into()))?
}
