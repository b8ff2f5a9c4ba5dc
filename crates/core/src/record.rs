//! What a key maps to: a last-writer-wins register with the dot of the write that won.

use alloc::vec::Vec;

use crdts::{CvRDT, LWWReg};
use serde::{Deserialize, Serialize};

use crate::ident::Epoch;
use crate::planted::{Planted, planted};
use crate::stamp::{Dot, Millis, Stamp, TIME_CEILING, Time, Version};
use crate::vector::Vector;

/// A value, or the mark that it was deleted. Values are users' own: its `Debug` form says how long they
/// are, not what.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// The value and, if it expires, when: milliseconds since the Unix epoch.
    Value(#[serde(with = "serde_bytes")] Vec<u8>, Option<Millis>),
    /// Deleted.
    Tombstone,
    /// A counter: what it began with, and the sums under its key that began after `since`.
    Counter {
        /// The time of what it took the place of: sums that began no later belong to the past.
        since: Time,
        /// What it began with.
        start: i64,
        /// When it expires: milliseconds since the Unix epoch.
        expires: Option<Millis>,
    },
    /// What one epoch has added to a counter.
    Sum(i128),
    /// Deleted: a counter that expired. Sums that began no later than this belong to the past.
    Expired(Time),
}

impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Value(value, None) => write!(f, "Value({} bytes)", value.len()),
            Self::Value(value, Some(expires)) => {
                write!(f, "Value({} bytes, expires {expires})", value.len())
            }
            Self::Tombstone => f.write_str("Tombstone"),
            Self::Counter { since, start, expires } => {
                write!(f, "Counter({start}, since {}, expires {expires:?})", since.0)
            }
            Self::Sum(sum) => write!(f, "Sum({sum})"),
            Self::Expired(since) => write!(f, "Expired({})", since.0),
        }
    }
}

/// What a counter counts for in the size of a database, in bytes, besides its key.
const COUNTER_BYTES: usize = 8;

impl Payload {
    /// Bytes of the value; 8 for a counter, 0 for a tombstone or a sum.
    pub fn len(&self) -> usize {
        match self {
            Self::Value(value, _) => value.len(),
            Self::Counter { .. } => COUNTER_BYTES,
            Self::Tombstone | Self::Sum(_) | Self::Expired(_) => 0,
        }
    }

    /// Whether it has no bytes: an empty value, a tombstone or a sum.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When it expires, if ever, in milliseconds since the Unix epoch.
    pub fn expires(&self) -> Option<Millis> {
        match self {
            Self::Value(_, expires) | Self::Counter { expires, .. } => *expires,
            Self::Tombstone | Self::Sum(_) | Self::Expired(_) => None,
        }
    }

    /// Whether users see it as an entry, unless it has expired: a value or a counter.
    pub fn is_entry(&self) -> bool {
        matches!(self, Self::Value(..) | Self::Counter { .. })
    }

    /// Whether it stands for nothing but a delete.
    pub fn is_tombstone(&self) -> bool {
        matches!(self, Self::Tombstone | Self::Expired(_))
    }

    /// Whether it may be under a stored key: sums have keys of their own.
    pub fn fits(&self, stored: &[u8]) -> bool {
        if stored.starts_with(&crate::rows::SUMS_PREFIX) {
            let sum = matches!(self, Self::Sum(_) | Self::Tombstone);
            return sum && crate::rows::split_sum(stored).is_some();
        }
        !matches!(self, Self::Sum(_))
    }
}

/// The register of one key. `LWWReg` diverges silently where two writes share a marker, so stamps
/// are unique by construction and [`Record::merge`] validates every merge.
pub type Register = LWWReg<Payload, Stamp>;

/// A register and the sequence of the write that won: with the epoch of the stamp, its dot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Value and stamp.
    pub register: Register,
    /// Which write of the epoch in this database it was.
    pub sequence: u64,
}

/// What a merge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The other record won and took the place of this one.
    Taken,
    /// This record stays.
    Kept,
    /// Two different values carry one stamp: forged or cloned writes. The greater value hash stays
    /// on every peer, and an alarm is due. True: the other record took the place of this one.
    Conflict(bool),
}

impl Record {
    /// A record of one write.
    pub fn new(time: Time, dot: Dot, payload: Payload) -> Self {
        let marker = Stamp { time, epoch: dot.epoch };
        Self { register: LWWReg { val: payload, marker }, sequence: dot.sequence }
    }

    /// The stamp: which write wins.
    pub fn stamp(&self) -> Stamp {
        self.register.marker
    }

    /// The name of the write.
    pub fn dot(&self) -> Dot {
        Dot { epoch: self.register.marker.epoch, sequence: self.sequence }
    }

    /// Stamp and dot together, as users see them.
    pub fn version(&self) -> Version {
        Version { time: self.register.marker.time, dot: self.dot() }
    }

    /// The value or tombstone.
    pub fn payload(&self) -> &Payload {
        &self.register.val
    }

    /// A part of the stamp that tells it from others of the same key, mostly.
    pub fn mark(&self) -> u32 {
        self.register.marker.time.0 as u32
    }

    /// The value, unless it is a tombstone or has expired at `wall` (milliseconds since the Unix
    /// epoch).
    pub fn into_value(self, wall: Millis) -> Option<Vec<u8>> {
        match self.register.val {
            Payload::Value(value, expires) if expires.is_none_or(|at| at > wall) => Some(value),
            _ => None,
        }
    }

    /// Whether reads see it at `wall`: a value or a counter that has not expired.
    pub fn is_visible(&self, wall: Millis) -> bool {
        let payload = self.payload();
        let expired = payload.expires().is_some_and(|at| at <= wall);
        payload.is_entry() && (!expired || planted(Planted::ExpiredShown))
    }

    /// Whether it is no tombstone: what has expired is live until a tombstone takes its place.
    pub fn is_live(&self) -> bool {
        !self.payload().is_tombstone()
    }

    /// Whether no peer of this program could have written it under this stored key.
    pub fn is_malformed(&self, stored: &[u8]) -> bool {
        self.sequence == 0
            || self.register.marker.time > TIME_CEILING
            || self.payload().len() > crate::limits::VALUE_MAX
            || !self.payload().fits(stored)
    }

    /// Merges another record of the same key: the greater stamp wins.
    pub fn merge(&mut self, other: Self) -> Merge {
        if self.register.validate_merge(&other.register).is_err() {
            let taken = self.value_hash() < other.value_hash();
            if taken {
                *self = other;
            }
            return Merge::Conflict(taken);
        }
        let delete_wins = planted(Planted::DeleteBeatsNewer) && !other.is_live() && self.is_live();
        if planted(Planted::LastArrivalWins) || delete_wins {
            *self = other;
            return Merge::Taken;
        }
        if planted(Planted::TieBreakDropped) && other.stamp().time == self.stamp().time {
            return Merge::Kept;
        }
        if other.register.marker <= self.register.marker {
            return Merge::Kept;
        }
        self.sequence = other.sequence;
        self.register.merge(other.register);
        Merge::Taken
    }

    fn value_hash(&self) -> [u8; 32] {
        *blake3::hash(&crate::wire::encode(&self.register.val)).as_bytes()
    }
}

/// Fingerprints elements: one per cluster, so that outsiders cannot aim at collisions.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint {
    key: [u8; 32],
}

impl Fingerprint {
    /// Derives the fingerprint key from the cluster key.
    pub fn new(cluster_key: &[u8; 32]) -> Self {
        Self { key: *blake3::keyed_hash(cluster_key, b"tidings digest v1").as_bytes() }
    }

    /// The element of one live entry; a digest is the sum of them modulo 2^128.
    pub fn element(&self, key: &[u8], record: &Record) -> u128 {
        let encoded;
        let (value, expires) = match record.payload() {
            Payload::Value(value, expires) => (value, expires),
            payload if payload.is_tombstone() => return 0,
            payload => {
                encoded = crate::wire::encode(payload);
                (&encoded, &None)
            }
        };
        let parts: [&[u8]; 7] = [
            &(key.len() as u64).to_le_bytes(),
            key,
            &record.stamp().time.0.to_le_bytes(),
            &record.stamp().epoch.0.to_le_bytes(),
            &record.sequence.to_le_bytes(),
            &expires.unwrap_or(0).to_le_bytes(),
            value,
        ];
        // Most entries are short: they are hashed from the stack.
        let mut short = [0; 512];
        let mut length = 0;
        for part in parts {
            let Some(place) = short.get_mut(length..length + part.len()) else {
                return low_half(&blake3::keyed_hash(&self.key, &parts.concat()));
            };
            place.copy_from_slice(part);
            length += part.len();
        }
        low_half(&blake3::keyed_hash(&self.key, &short[..length]))
    }

    /// The element of one epoch of a vector with its sequence.
    pub fn pair(&self, (epoch, sequence): (Epoch, u64)) -> u128 {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&epoch.0.to_le_bytes());
        bytes[16..].copy_from_slice(&sequence.to_le_bytes());
        low_half(&blake3::keyed_hash(&self.key, &bytes))
    }

    /// The sum of the elements of a vector, modulo 2^128.
    pub fn vector(&self, vector: &Vector) -> u128 {
        vector.iter().fold(0, |sum: u128, pair| sum.wrapping_add(self.pair(pair)))
    }

    /// A 64-bit fingerprint of some bytes.
    pub fn short(&self, bytes: &[u8]) -> u64 {
        low_half(&blake3::keyed_hash(&self.key, bytes)) as u64
    }
}

fn low_half(hash: &blake3::Hash) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(half)
}

/// Which of the 256 buckets of a digest a key belongs to: FNV-1a, folded to a byte.
pub fn bucket_of(key: &[u8]) -> u8 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as u8
}

/// A record on its way between peers, inside an interval or a cut that names its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The stored key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// The sequence of the write.
    pub sequence: u64,
    /// The time of its stamp.
    pub time: Time,
    /// Value or tombstone.
    pub payload: Payload,
}

impl Sent {
    /// The sent form of a record.
    pub fn new(key: &[u8], record: &Record) -> Self {
        Self {
            key: key.to_vec(),
            sequence: record.sequence,
            time: record.stamp().time,
            payload: record.payload().clone(),
        }
    }

    /// The record, given its epoch, and its key.
    pub fn into_record(self, epoch: Epoch) -> (Vec<u8>, Record) {
        let dot = Dot { epoch, sequence: self.sequence };
        (self.key, Record::new(self.time, dot, self.payload))
    }

    /// Bytes it weighs in a message, roughly.
    pub fn weight(&self) -> usize {
        self.key.len() + self.payload.len() + 24
    }
}
