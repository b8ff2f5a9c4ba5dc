//! Hybrid logical clock time: which write wins.
//!
//! After Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally
//! Distributed Databases" (2014): 48 bits of milliseconds since the Unix epoch, 16 bits of counter.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ident::Epoch;

/// Milliseconds: since the Unix epoch for wall time, since any fixed moment for a monotonic clock.
pub type Millis = u64;

/// A hybrid logical clock time: 48 bits of milliseconds above 16 bits of counter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// The first time of a millisecond; the last time of all where there is no room for it.
    pub const fn from_millis(millis: Millis) -> Self {
        if millis > u64::MAX >> 16 { Self(u64::MAX) } else { Self(millis << 16) }
    }

    /// The wall time part, in milliseconds since the Unix epoch.
    pub const fn millis(self) -> Millis {
        self.0 >> 16
    }

    /// The next time after this one; the last one, which is far above [`TIME_CEILING`], stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Times above this are malformed: the year 6429. It leaves room above for `next`.
pub const TIME_CEILING: Time = Time::from_millis(1 << 47);

/// Time and epoch of a write: the greater stamp wins, on every peer and in any order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When, by the hybrid logical clock of the peer that accepted the write.
    pub time: Time,
    /// Which start of which peer wrote: makes stamps unique.
    pub epoch: Epoch,
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}@{:?}", self.time.millis(), self.time.0 & 0xffff, self.epoch)
    }
}

/// Names one write in one database for ever: epoch and sequence. Sequences are dense from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The epoch that wrote.
    pub epoch: Epoch,
    /// Its n-th write in this database.
    pub sequence: u64,
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.epoch, self.sequence)
    }
}

/// What a write returns and a read can wait for: the stamp and the dot of one write.
///
/// Its text form, used as an HTTP `ETag` and by the CLI, is `time-sequence-epoch` in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// When the write happened.
    pub time: Time,
    /// Its name.
    pub dot: Dot,
}

impl Version {
    /// What decides whether it wins.
    pub fn stamp(&self) -> Stamp {
        Stamp { time: self.time, epoch: self.dot.epoch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{}", self.time.0, self.dot.sequence, self.dot.epoch)
    }
}

/// A version's text was not of the form `time-sequence-epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: expected time-sequence-epoch in hexadecimal, as a write returned it")]
pub struct BadVersion;

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let mut parts = text.split('-');
        let (Some(time), Some(sequence), Some(epoch), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadVersion);
        };
        let number = |text| u64::from_str_radix(text, 16).map_err(|_| BadVersion);
        Ok(Self {
            time: Time(number(time)?),
            dot: Dot {
                epoch: Epoch(u128::from_str_radix(epoch, 16).map_err(|_| BadVersion)?),
                sequence: number(sequence)?,
            },
        })
    }
}
