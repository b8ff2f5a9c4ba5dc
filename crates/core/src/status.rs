//! What a peer says about itself, its peers and its databases. The JSON forms are what the doors
//! serve.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::stamp::Millis;

/// The state of one holder of one database, as the directory has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HolderState {
    /// Invited or filling its copy: receives pushes, never counts toward `min`.
    Joining,
    /// Has a whole copy.
    Active,
    /// Hands its copy over: takes no writes.
    Leaving,
    /// Holds nothing any more.
    Gone,
}

impl HolderState {
    /// Whether the copy is complete.
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Active | Self::Leaving)
    }
}

/// One holder in a [`DatabaseStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderStatus {
    /// The peer id, `12D3KooW…`.
    pub peer: String,
    /// Its state in the directory.
    pub state: HolderState,
    /// Whether it is live now.
    pub live: bool,
    /// Since when it is in this state: milliseconds since the Unix epoch.
    pub since: Millis,
    /// Records that it has not yet acknowledged, as far as the answering peer knows; `None`: unknown.
    pub behind: Option<u64>,
}

/// One database, as one holder sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// The path.
    pub path: String,
    /// The id in hexadecimal.
    pub id: String,
    /// The name of the definition it is bound to; `None` when the definition was removed.
    pub definition: Option<String>,
    /// How often it was dropped.
    pub generation: u64,
    /// The peer whose answer this is.
    pub peer: String,
    /// Fingerprint of the live entries, in hexadecimal.
    pub digest: String,
    /// Epoch in hexadecimal → highest sequence reflected.
    pub vector: alloc::collections::BTreeMap<String, u64>,
    /// Live entries.
    pub entries: u64,
    /// Tombstones kept.
    pub tombstones: u64,
    /// Bytes of keys and values of the live entries.
    pub bytes: u64,
    /// The size limit in bytes, if any.
    pub limit: Option<u64>,
    /// Who holds it.
    pub holders: Vec<HolderStatus>,
    /// Whole sentences: what is wrong and why, or that all is well.
    pub verdict: Vec<String>,
}

/// One database in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSummary {
    /// The path.
    pub path: String,
    /// The id in hexadecimal.
    pub id: String,
    /// The name of the definition it is bound to.
    pub definition: Option<String>,
    /// Active holders that are live.
    pub copies: u32,
    /// Whether the answering peer holds a copy.
    pub held: bool,
    /// Live entries, when held here.
    pub entries: Option<u64>,
    /// Bytes of the live entries, when held here.
    pub bytes: Option<u64>,
}

/// Another peer, as the answering peer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The peer id.
    pub peer: String,
    /// Its name.
    pub name: String,
    /// `alive` or `down`.
    pub state: String,
    /// Whether there is a connection now.
    pub connected: bool,
    /// Its addresses, best known first.
    pub addresses: Vec<String>,
    /// Its clock minus ours, in milliseconds, when known.
    pub clock_offset_ms: Option<i64>,
    /// Round trip in microseconds, when known.
    pub round_trip_us: Option<u64>,
    /// Its zone, if it has one.
    pub zone: Option<String>,
}

/// The answering peer itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The peer id.
    pub peer: String,
    /// Its name.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Its epoch since this start.
    pub epoch: String,
    /// Addresses it listens on.
    pub listen: Vec<String>,
    /// Live peers, itself included.
    pub live_peers: u32,
    /// Databases with a copy here.
    pub databases_held: u64,
    /// Whether it gives back every copy, because it is to go for good.
    pub draining: bool,
    /// Whether another process runs under its identity, so that both refuse writes.
    #[serde(default)]
    pub cloned: bool,
    /// Databases in the directory.
    pub databases_known: u64,
    /// Databases that want attention.
    #[serde(default)]
    pub health: Health,
    /// Whole sentences: what is wrong and why, or that all is well.
    pub verdict: Vec<String>,
    /// Counters since this start, by name.
    pub counters: alloc::collections::BTreeMap<String, u64>,
}

/// Databases that want attention, as one peer sees them. The steward of a database counts whether it has
/// too few or too many copies, so that the sum over all peers is that of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Databases in the directory without any live complete copy: each peer counts all of them.
    pub unavailable: u64,
    /// Databases of which this peer is the steward, with fewer live copies than `min`.
    pub under_replicated: u64,
    /// Databases of which this peer is the steward, with more live copies than `max`.
    pub over_replicated: u64,
    /// Copies here that know of writes which they have not received.
    pub behind: u64,
}

/// How far a peer is with handing over everything that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainStatus {
    /// Whether it is draining.
    pub draining: bool,
    /// Copies here that are not given back yet.
    pub copies: u64,
    /// Those of them that wait for others: fewer than `min` complete copies are elsewhere, on live
    /// peers that are not draining.
    pub waiting: u64,
    /// Those of them that know of writes which they have not received: they are handed over once they
    /// have them, or nobody is left who could.
    #[serde(default)]
    pub behind: u64,
    /// Whether it sees half of the peers of the last hour or fewer: it may be cut off from the others, and
    /// gives nothing back until it sees more.
    #[serde(default)]
    pub minority: bool,
}

impl DrainStatus {
    /// Why copies are still here, in words without a full stop; empty when they are being handed over.
    pub fn why(&self) -> Vec<String> {
        let mut why = Vec::new();
        if !self.draining || self.copies == 0 {
            return why;
        }
        if self.minority {
            why.push(
                "nothing is given back while half of the peers of the last hour are down or cut off".into(),
            );
        }
        for (count, until) in [
            (self.waiting, "enough other peers hold one"),
            (self.behind, "all the writes that they know of have arrived"),
        ] {
            if count > 0 {
                why.push(format!("waiting until {until}: {count}"));
            }
        }
        why
    }
}
