//! Definitions: named settings for every database whose path their matcher accepts.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::stamp::Millis;

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It survives the process (the operating system has it).
    #[default]
    Buffered,
    /// It survives power loss (the disk has it); many writers share one sync.
    Synced,
}

/// How many live copies of a database there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replication {
    /// At least this many, as far as peers live; at least 1.
    pub min: u32,
    /// At most this many; at least `min`.
    pub max: u32,
}

/// Named settings: which paths are databases, how many copies, how large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// A free identifier for the user's own use, such as a CID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name: unique in the cluster.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Which paths it accepts: see the module `matcher`.
    pub matcher: String,
    /// Copies of each database.
    pub replication: Replication,
    /// Most bytes of keys and values of live entries in each database; `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When writes are acknowledged, unless the call says otherwise.
    #[serde(default)]
    pub durability: Durability,
    /// Entries vanish this long after they were put, in milliseconds, unless the call says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Millis>,
    /// Where several definitions accept a path, the greatest priority comes first.
    #[serde(default)]
    pub priority: i32,
}
