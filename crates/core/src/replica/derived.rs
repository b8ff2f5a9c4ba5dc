//! What of a state follows from the rows alone.

use serde::{Deserialize, Serialize};

use crate::record::{Fingerprint, Payload, Record};

/// What of a state follows from the rows alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// See [`State::digest`](super::State::digest).
    pub digest: u128,
    /// See [`State::counts`](super::State::counts).
    pub counts: Counts,
}

/// How many rows of which kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values and counters, those included that have expired and are not swept yet.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Entries that expire, or did.
    pub expiring: u64,
}

impl Counts {
    /// Of one row.
    pub fn of(stored: &[u8], payload: &Payload) -> Self {
        let entry = payload.is_entry();
        // A stored key is the user's behind one byte, or the name of its keyspace and that.
        let key = stored.len().saturating_sub(1);
        Self {
            entries: entry.into(),
            bytes: if entry { (key + payload.len()) as u64 } else { 0 },
            tombstones: payload.is_tombstone().into(),
            expiring: payload.expires().is_some().into(),
        }
    }

    /// With one row more. What was stored may be damaged: never beyond the last number.
    pub fn add(&mut self, row: Self) {
        self.entries = self.entries.saturating_add(row.entries);
        self.bytes = self.bytes.saturating_add(row.bytes);
        self.tombstones = self.tombstones.saturating_add(row.tombstones);
        self.expiring = self.expiring.saturating_add(row.expiring);
    }

    /// With one row less. Where rows vanished, they were more than is known: never below nothing.
    pub fn remove(&mut self, row: Self) {
        self.entries = self.entries.saturating_sub(row.entries);
        self.bytes = self.bytes.saturating_sub(row.bytes);
        self.tombstones = self.tombstones.saturating_sub(row.tombstones);
        self.expiring = self.expiring.saturating_sub(row.expiring);
    }
}

impl Derived {
    /// Adds one row; gives its element.
    pub fn add(&mut self, fingerprint: &Fingerprint, stored: &[u8], record: &Record) -> u128 {
        self.counts.add(Counts::of(stored, record.payload()));
        let element = fingerprint.element(stored, record);
        self.digest = self.digest.wrapping_add(element);
        element
    }

    /// Takes away one row that was added, and its element.
    pub fn remove(&mut self, stored: &[u8], record: &Record, element: u128) {
        self.counts.remove(Counts::of(stored, record.payload()));
        self.digest = self.digest.wrapping_sub(element);
    }
}
