//! The history: every write that was asked for, and what became of it.

use std::collections::BTreeMap;

use tidings_core::ident::DatabaseId;
use tidings_core::record::{Payload, Record};
use tidings_core::stamp::{Dot, Version};

use crate::look::incarnation;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody has said yet, or nobody will.
    Open,
    /// It was acknowledged.
    Acknowledged(Version),
    /// It was acknowledged, and a fault that its durability does not cover destroyed every copy.
    Excused(Version),
    /// It was said not to have happened.
    Refused,
    /// Nobody can say whether it happened.
    Unknown,
}

/// One write of one key.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone)]
pub struct Attempt {
    /// The database.
    pub of: DatabaseId,
    /// Which incarnation of it: see [`incarnation`].
    pub database: DatabaseId,
    /// The stored key.
    pub key: Vec<u8>,
    /// The value; `None` deletes.
    pub value: Option<Vec<u8>>,
    /// Which process was asked.
    pub process: usize,
    /// When, in the world's time.
    pub at: u64,
    /// Whether it was to be on the disk when acknowledged.
    pub synced: bool,
    /// How many holders were asked for.
    pub acks: u32,
    /// What became of it.
    pub fate: Fate,
    /// Which process accepted it, once known, and how often its disk had lost data by other means
    /// than power then.
    pub accepted: Option<(usize, u64)>,
    /// A disk that reflects it, unless that changed since: where the checker looks first.
    pub(crate) at_disk: usize,
    /// Its dot, once it was seen anywhere.
    pub dot: Option<Dot>,
    /// Of an increment: the stored key of the counter, and how much. Its own key is that of the sum, once
    /// it was acknowledged.
    pub adds: Option<(Vec<u8>, u64)>,
    /// The sum of an acknowledged increment was on no disk any more.
    pub(crate) sum_is_gone: bool,
    /// When the entry expires from then on, in milliseconds since the Unix epoch.
    pub expires: Option<u64>,
    /// Whether it changes nothing but when an entry expires.
    pub touches: bool,
    /// Whether its database was dropped before anybody saw where it went.
    pub(crate) homeless: bool,
}

impl Attempt {
    /// Whether it is known to which incarnation of its database it went.
    pub(crate) fn is_home(&self) -> bool {
        self.dot.is_some() && !self.homeless
    }

    /// Whether an incarnation is one of its database.
    pub(crate) fn is_of(
        &self,
        database: DatabaseId,
        generations: &BTreeMap<DatabaseId, u64>,
    ) -> bool {
        let last = generations.get(&self.of).copied().unwrap_or(0);
        (0..=last).any(|generation| incarnation(self.of, generation) == database)
    }

    /// Whether it went to a generation that was dropped, or nobody knows where.
    pub(crate) fn is_dropped(&self, generations: &BTreeMap<DatabaseId, u64>) -> bool {
        let last = generations.get(&self.of).copied().unwrap_or(0);
        self.homeless || last > 0 && incarnation(self.of, last) != self.database
    }

    /// A write that is about to be asked of a process, of which nothing else is known.
    pub fn new(
        process: usize,
        at: u64,
        database: DatabaseId,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Self {
        Self {
            of: database,
            database,
            key,
            value,
            process,
            at,
            synced: false,
            acks: 1,
            fate: Fate::Open,
            accepted: None,
            at_disk: process,
            dot: None,
            adds: None,
            sum_is_gone: false,
            expires: None,
            touches: false,
            homeless: false,
        }
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { database, key, value, process, at, synced, acks, fate, accepted, .. } = self;
        let key = String::from_utf8_lossy(key);
        let length = value.as_ref().map(Vec::len);
        write!(
            f,
            "write of {key:?} in {database:?}, {length:?} bytes, asked of {process} at {at}, \
             synced {synced}, acks {acks}, {fate:?}, accepted by {accepted:?}"
        )
    }
}

/// How a disk lost data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It lost nothing: the process was killed.
    Nothing,
    /// What was not synced.
    Unsynced,
    /// Anything.
    Anything,
}

/// The number of the write that made a record: its value begins with it.
pub(crate) fn written_by(record: &Record) -> Option<usize> {
    let Payload::Value(value, _) = record.payload() else { return None };
    let number = value.get(..8)?.try_into().map(u64::from_le_bytes).ok()?;
    usize::try_from(number).ok()
}
