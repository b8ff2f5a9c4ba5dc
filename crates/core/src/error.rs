//! The one error that users meet, whatever the door.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::store::StoreError;

/// What could not be done, and what that means for the data.
///
/// Each variant has a stable [`code`](Error::code), the same in every door. "Not found" is not an
/// error: reads return `Option`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// A key is empty or too long; nothing was written.
    #[error("a key of {length} bytes: keys have 1 to {} bytes", limits::KEY_MAX)]
    KeyLength {
        /// Its length in bytes.
        length: usize,
    },
    /// A value is too long; nothing was written.
    #[error(
        "a value of {length} bytes: values have at most {} bytes; split it over several keys",
        limits::VALUE_MAX
    )]
    ValueLength {
        /// Its length in bytes.
        length: usize,
    },
    /// A batch is too large; nothing was written.
    #[error(
        "a batch of {writes} writes and {bytes} bytes: a batch has at most {} writes and {} bytes; split it",
        limits::BATCH_WRITES_MAX,
        limits::BATCH_BYTES_MAX
    )]
    BatchTooLarge {
        /// Number of writes.
        writes: usize,
        /// Bytes of keys and values.
        bytes: usize,
    },
    /// A path cannot name a database; nothing was opened.
    #[error("the path {path:?} names no database: {why}")]
    BadPath {
        /// The path, shortened.
        path: String,
        /// Which rule it breaks.
        why: String,
    },
    /// No definition accepts the path; nothing was opened.
    #[error(
        "no definition matches the path {path:?}{}; apply a definition whose matcher accepts it",
        near(nearest)
    )]
    NoMatch {
        /// The path.
        path: String,
        /// The nearest matchers, as `name: matcher`.
        nearest: Vec<String>,
    },
    /// A definition is wrong; nothing was changed.
    #[error("the definition {name:?} is refused: {why}")]
    BadDefinition {
        /// Its name.
        name: String,
        /// Which rule it breaks.
        why: String,
    },
    /// Some other argument is wrong; nothing was changed.
    #[error("{0}")]
    BadArgument(String),
    /// No holder of the database can be reached; nothing was done.
    #[error("the database {path:?} is unavailable: {why}")]
    Unavailable {
        /// The path.
        path: String,
        /// Who holds it and why they do not answer.
        why: String,
    },
    /// The outcome of a forwarded write is not known: it may or may not have happened.
    #[error(
        "the outcome of the write to {path:?} is unknown: {why}; read it back before repeating"
    )]
    OutcomeUnknown {
        /// The path.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// Fewer holders than asked for acknowledged in time; the write is kept and goes on spreading.
    #[error(
        "{have} of {want} holders acknowledged in time; the write is kept and goes on spreading"
    )]
    UnderReplicated {
        /// Holders that acknowledged, this one included.
        have: u32,
        /// Holders asked for.
        want: u32,
    },
    /// The database is at its size limit; nothing was written.
    #[error(
        "no space: {used} of {limit} bytes are used and the write needs {need} more; delete something or raise `size`"
    )]
    NoSpace {
        /// Bytes of keys and values now.
        used: u64,
        /// The limit of its definition.
        limit: u64,
        /// Bytes the write would add.
        need: u64,
    },
    /// A condition (if-absent, if-version) did not hold here; nothing was written.
    #[error("the condition does not hold: {0}")]
    ConditionFailed(String),
    /// What the key says cannot be counted; nothing was written.
    #[error("the key {key:?} cannot be counted: {why}")]
    NotACounter {
        /// The key.
        key: String,
        /// What is in the way.
        why: String,
    },
    /// This peer's clock is too far off its peers'; nothing was written.
    #[error(
        "this peer's clock is {offset_ms} ms off the median of its peers, at most {bound_ms} ms are allowed: writes are refused until it is set right"
    )]
    ClockSkew {
        /// Own clock minus the median, in milliseconds.
        offset_ms: i64,
        /// The bound, in milliseconds.
        bound_ms: u64,
    },
    /// Two processes run under one peer's identity; nothing was written.
    #[error(
        "two running processes share one peer's identity, as after its data directory was copied: both refuse writes until one of them is stopped; start that one with an empty directory, so that it gets an identity of its own"
    )]
    Cloned,
    /// The call did not finish in time; what it says may still happen.
    #[error("timed out after {0} ms")]
    TimedOut(u64),
    /// The handle or the peer is closed.
    #[error("{0} is closed")]
    Closed(String),
    /// A watch or a cursor cannot continue where it was: read the database again.
    #[error("the watch fell behind what is kept: start a new watch, then list the database again")]
    Lagged,
    /// The storage engine failed; the peer stops serving.
    #[error("{0}")]
    Storage(String),
    /// The peer cannot start: its directory, its secret, its addresses; nothing was changed.
    #[error("cannot start: {0}")]
    Start(String),
    /// A defect of tidings itself.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

fn near(nearest: &[String]) -> String {
    if nearest.is_empty() {
        "; there is no definition yet".into()
    } else {
        alloc::format!(" (nearest: {})", nearest.join(", "))
    }
}

impl Error {
    /// Where a database is cannot be known before the directory was compared with the other peers'.
    pub fn not_in_step(path: &str) -> Self {
        let why = "the directory is not in step with the other peers yet".into();
        Self::Unavailable { path: path.into(), why }
    }

    /// The stable name of this kind of error, the same in every door.
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyLength { .. } => "key-length",
            Self::ValueLength { .. } => "value-length",
            Self::BatchTooLarge { .. } => "batch-too-large",
            Self::BadPath { .. } => "bad-path",
            Self::NoMatch { .. } => "no-match",
            Self::BadDefinition { .. } => "bad-definition",
            Self::BadArgument(_) => "bad-argument",
            Self::Unavailable { .. } => "unavailable",
            Self::OutcomeUnknown { .. } => "outcome-unknown",
            Self::UnderReplicated { .. } => "under-replicated",
            Self::NoSpace { .. } => "no-space",
            Self::ConditionFailed(_) => "condition-failed",
            Self::NotACounter { .. } => "not-a-counter",
            Self::ClockSkew { .. } => "clock-skew",
            Self::Cloned => "cloned",
            Self::TimedOut(_) => "timed-out",
            Self::Closed(_) => "closed",
            Self::Lagged => "lagged",
            Self::Storage(_) => "storage",
            Self::Start(_) => "start",
            Self::Internal(_) => "internal",
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        use alloc::string::ToString;
        Self::Storage(error.to_string())
    }
}
