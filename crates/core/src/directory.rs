//! The directory: which databases there are and who holds them. It is stored in system databases
//! that every peer holds, sharded by database id; this is what they say, in memory.
//!
//! Every row names the generation that it is about in its key. A database is dropped by a row of the
//! next generation: rows of lower ones mean nothing any more, whenever and with whatever stamp they
//! arrive.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, Durability, Replication};
use crate::ident::{DatabaseId, PeerId};
use crate::message::{Change, Write};
use crate::record::{Payload, Record};
use crate::rows::{split_key, stored_key};
use crate::stamp::Millis;
use crate::status::HolderState;
use crate::wire;

/// The system database of the definitions: name → definition.
pub const DEFINITIONS_PATH: &str = "_tidings/definitions";
/// Number of system databases that the directory is spread over.
pub const SHARDS: u8 = 16;

/// Most generations of one database.
const GENERATIONS_MAX: u64 = 1 << 32;

const DATABASE: u8 = b'd';
const HOLDER: u8 = b'h';

/// What a system database tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Definitions,
    Shard(u8),
}

/// One holder of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its state.
    pub state: HolderState,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: Millis,
}

/// The row of a database that was written to or dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DatabaseRow {
    path: String,
}

/// What is known of one database, in its latest generation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    path: Option<Arc<str>>,
    generation: u64,
    holders: Vec<(PeerId, Holder)>,
}

/// Something that a row of a system database says.
#[derive(Debug)]
pub(crate) enum Lesson {
    /// A definition was set, or cannot be read.
    Defined(Result<Definition, String>),
    /// A definition was removed.
    Undefined(String),
    /// The holders of a database changed; whether it is about the given peer.
    Held(DatabaseId, PeerId),
    /// A database has a path and a generation.
    Known(DatabaseId),
    /// The row is about a generation that was dropped.
    Outdated,
    /// The row makes no sense.
    Nonsense,
}

/// Which databases there are and who holds them.
#[derive(Debug, Default)]
pub struct Directory {
    system: BTreeMap<DatabaseId, System>,
    shards: BTreeMap<u8, DatabaseId>,
    entries: BTreeMap<DatabaseId, Entry>,
    paths: BTreeMap<Arc<str>, DatabaseId>,
    /// How many entries have holders: a status must not have to walk them all.
    known: usize,
}

impl Directory {
    /// The paths of all system databases.
    pub fn system_paths() -> impl Iterator<Item = String> {
        (0..SHARDS)
            .map(|shard| format!("_tidings/directory/{shard:x}"))
            .chain([String::from(DEFINITIONS_PATH)])
    }

    pub(crate) fn add_system(&mut self, id: DatabaseId, path: &str) {
        let system = if path == DEFINITIONS_PATH {
            System::Definitions
        } else {
            let shard =
                path.rsplit('/').next().and_then(|digit| u8::from_str_radix(digit, 16).ok());
            System::Shard(shard.unwrap_or(0))
        };
        if let System::Shard(shard) = system {
            self.shards.insert(shard, id);
        }
        self.system.insert(id, system);
    }

    /// Whether a database is a system database.
    pub fn is_system(&self, id: DatabaseId) -> bool {
        self.system.contains_key(&id)
    }

    /// The system databases.
    pub fn system_ids(&self) -> impl Iterator<Item = DatabaseId> {
        self.system.keys().copied()
    }

    /// Whether anyone holds or held the database, in its latest generation.
    pub fn is_known(&self, id: DatabaseId) -> bool {
        self.entries.get(&id).is_some_and(|entry| !entry.holders.is_empty())
    }

    /// The holders of a database, those gone included.
    pub fn holders(&self, id: DatabaseId) -> impl Iterator<Item = (PeerId, Holder)> {
        self.entries.get(&id).into_iter().flat_map(|entry| entry.holders.iter().copied())
    }

    /// One holder.
    pub fn holder(&self, id: DatabaseId, peer: PeerId) -> Option<Holder> {
        self.holders(id).find(|(holder, _)| *holder == peer).map(|(_, holder)| holder)
    }

    /// Whether two peers are both active holders.
    pub fn are_both_active(&self, id: DatabaseId, one: PeerId, other: PeerId) -> bool {
        let active = |peer| self.holder(id, peer).is_some_and(|h| h.state == HolderState::Active);
        active(one) && active(other)
    }

    /// Every database with holders, by id.
    pub fn databases(&self) -> impl Iterator<Item = DatabaseId> {
        self.entries.keys().copied()
    }

    /// How many databases there are: those that were dropped are none.
    pub fn len(&self) -> usize {
        let counted = || self.entries.values().filter(|entry| !entry.holders.is_empty()).count();
        debug_assert_eq!(self.known, counted());
        self.known
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path of a database.
    pub fn path(&self, id: DatabaseId) -> Option<&Arc<str>> {
        self.entries.get(&id).and_then(|entry| entry.path.as_ref())
    }

    /// How often a database was dropped.
    pub fn generation(&self, id: DatabaseId) -> u64 {
        self.entries.get(&id).map_or(0, |entry| entry.generation)
    }

    /// Databases by path, above a path; those that were dropped included.
    pub fn by_path(&self, after: Option<&str>) -> impl Iterator<Item = (&Arc<str>, DatabaseId)> {
        use core::ops::Bound;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.paths.range::<str, _>((start, Bound::Unbounded)).map(|(path, id)| (path, *id))
    }

    fn shard(&self, id: DatabaseId) -> Option<DatabaseId> {
        self.shards.get(&(id.0[0] % SHARDS)).copied()
    }

    /// The write that makes a database known.
    pub(crate) fn database_write(&self, id: DatabaseId, path: &str) -> Option<(DatabaseId, Write)> {
        self.generation_write(id, path, self.generation(id))
    }

    /// The write that drops a database; `None` if it was dropped too often.
    pub(crate) fn drop_write(&self, id: DatabaseId, path: &str) -> Option<(DatabaseId, Write)> {
        let next = self.generation(id) + 1;
        self.generation_write(id, path, next).filter(|_| next <= GENERATIONS_MAX)
    }

    fn generation_write(
        &self,
        id: DatabaseId,
        path: &str,
        generation: u64,
    ) -> Option<(DatabaseId, Write)> {
        let key = row_key(id, DATABASE, generation, &[]);
        let payload = Payload::Value(wire::encode(&DatabaseRow { path: path.into() }), None);
        Some((self.shard(id)?, Write { key, change: Change::Set(payload) }))
    }

    /// The write that says what a holder is.
    pub(crate) fn holder_write(
        &self,
        id: DatabaseId,
        peer: PeerId,
        state: HolderState,
        since: Millis,
    ) -> Option<(DatabaseId, Write)> {
        let key = row_key(id, HOLDER, self.generation(id), &peer.0);
        let payload = Payload::Value(wire::encode(&Holder { state, since }), None);
        Some((self.shard(id)?, Write { key, change: Change::Set(payload) }))
    }

    /// The write that sets or removes a definition.
    pub(crate) fn definition_write(
        &self,
        name: &str,
        definition: Option<&Definition>,
    ) -> Option<(DatabaseId, Write)> {
        let (id, _) = self.system.iter().find(|(_, system)| **system == System::Definitions)?;
        let payload = definition.map_or(Payload::Tombstone, |definition| {
            Payload::Value(wire::encode(&StoredDefinition::from(definition)), None)
        });
        Some((*id, Write { key: stored_key(name.as_bytes()), change: Change::Set(payload) }))
    }

    /// Takes in what a row of a system database says now.
    pub(crate) fn learn(&mut self, system: DatabaseId, stored: &[u8], record: &Record) -> Lesson {
        let Some((b"", key)) = split_key(stored) else { return Lesson::Nonsense };
        match self.system.get(&system) {
            Some(System::Definitions) => {
                let name = String::from_utf8_lossy(key).into_owned();
                match record.payload() {
                    payload if payload.is_tombstone() => Lesson::Undefined(name),
                    Payload::Value(value, _) => {
                        let stored = wire::decode::<StoredDefinition>(value);
                        Lesson::Defined(match stored {
                            Ok(stored) if stored.name == name => Ok(stored.into()),
                            Ok(_) => Err(format!("{name:?} is stored under another name")),
                            Err(error) => Err(format!("{name:?}: {error}")),
                        })
                    }
                    _ => Lesson::Nonsense,
                }
            }
            Some(System::Shard(_)) => self.learn_entry(key, record).unwrap_or(Lesson::Nonsense),
            None => Lesson::Nonsense,
        }
    }

    /// What is known of a database, in this generation at least: its holders were those of a lower one.
    pub(crate) fn raise(&mut self, id: DatabaseId, generation: u64) -> &mut Entry {
        let entry = self.entries.entry(id).or_default();
        if generation > entry.generation {
            entry.generation = generation;
            self.known -= usize::from(!entry.holders.is_empty());
            entry.holders.clear();
            // Until its own row comes, which comes with that of whoever created it.
            entry.path = None;
        }
        entry
    }

    fn learn_entry(&mut self, key: &[u8], record: &Record) -> Option<Lesson> {
        let (id, rest) = key.split_at_checked(16)?;
        let id = DatabaseId(id.try_into().ok()?);
        let (kind, rest) = rest.split_first()?;
        let (generation, rest) = rest.split_at_checked(8)?;
        let generation = u64::from_be_bytes(generation.try_into().ok()?);
        let Payload::Value(value, _) = record.payload() else { return None };
        if generation < self.generation(id) {
            return Some(Lesson::Outdated);
        }
        if generation > GENERATIONS_MAX {
            return None;
        }
        match (*kind, rest) {
            (DATABASE, []) => {
                let row: DatabaseRow = wire::decode(value).ok()?;
                let path: Arc<str> = row.path.into();
                self.raise(id, generation).path = Some(path.clone());
                self.paths.insert(path, id);
                Some(Lesson::Known(id))
            }
            (HOLDER, peer) => {
                let peer = PeerId(peer.try_into().ok()?);
                let holder: Holder = wire::decode(value).ok()?;
                let holders = &mut self.raise(id, generation).holders;
                match holders.binary_search_by_key(&peer, |(peer, _)| *peer) {
                    Ok(at) => holders[at].1 = holder,
                    Err(at) => {
                        let first = holders.is_empty();
                        // A vector of one has room for four unless told otherwise.
                        holders.reserve_exact(1);
                        holders.insert(at, (peer, holder));
                        self.known += usize::from(first);
                    }
                }
                Some(Lesson::Held(id, peer))
            }
            _ => None,
        }
    }
}

/// The stored key of a row about a database in a generation.
fn row_key(id: DatabaseId, kind: u8, generation: u64, rest: &[u8]) -> Vec<u8> {
    stored_key(&[id.0.as_slice(), &[kind], &generation.to_be_bytes(), rest].concat())
}

/// A definition as it is stored: every field, in this order.
#[derive(Serialize, Deserialize)]
struct StoredDefinition {
    id: Option<String>,
    name: String,
    description: String,
    tags: Vec<String>,
    matcher: String,
    min: u32,
    max: u32,
    size: Option<u64>,
    synced: bool,
    ttl: Option<Millis>,
    priority: i32,
}

impl From<&Definition> for StoredDefinition {
    fn from(definition: &Definition) -> Self {
        let definition = definition.clone();
        Self {
            id: definition.id,
            name: definition.name,
            description: definition.description,
            tags: definition.tags,
            matcher: definition.matcher,
            min: definition.replication.min,
            max: definition.replication.max,
            size: definition.size,
            synced: definition.durability == Durability::Synced,
            ttl: definition.ttl,
            priority: definition.priority,
        }
    }
}

impl From<StoredDefinition> for Definition {
    fn from(stored: StoredDefinition) -> Self {
        Self {
            id: stored.id,
            name: stored.name,
            description: stored.description,
            tags: stored.tags,
            matcher: stored.matcher,
            replication: Replication { min: stored.min, max: stored.max },
            size: stored.size,
            durability: if stored.synced { Durability::Synced } else { Durability::Buffered },
            ttl: stored.ttl,
            priority: stored.priority,
        }
    }
}
