//! What of a state follows from the rows alone.

use crate::record::{Fingerprint, Record};

/// What of a state follows from the rows alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// See [`State::digest`](super::State::digest).
    pub digest: u128,
    /// See [`State::entries`](super::State::entries).
    pub entries: u64,
    /// See [`State::tombstones`](super::State::tombstones).
    pub tombstones: u64,
    /// See [`State::bytes`](super::State::bytes).
    pub bytes: u64,
}

impl Derived {
    /// Adds one row; gives its element.
    pub fn add(&mut self, fingerprint: &Fingerprint, stored: &[u8], record: &Record) -> u128 {
        if !record.is_live() {
            self.tombstones += 1;
            return 0;
        }
        self.entries += 1;
        self.bytes += (stored.len() + record.payload().len()) as u64;
        let element = fingerprint.element(stored, record);
        self.digest = self.digest.wrapping_add(element);
        element
    }

    /// Takes away one row that was added, and its element.
    pub fn remove(&mut self, stored: &[u8], record: &Record, element: u128) {
        if !record.is_live() {
            self.tombstones -= 1;
            return;
        }
        self.entries -= 1;
        self.bytes -= (stored.len() + record.payload().len()) as u64;
        self.digest = self.digest.wrapping_sub(element);
    }
}
