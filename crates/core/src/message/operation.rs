//! What a peer asks of a holder, and what it answers.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::definition::Durability;
use crate::filter::Pattern;
use crate::position::Position;
use crate::record::{Payload, Record};
use crate::stamp::{Dot, Millis, Version};
use crate::status::DatabaseStatus;

/// What a peer asks of a holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Reads keys from one snapshot.
    Get {
        /// Stored keys.
        keys: Vec<Vec<u8>>,
        /// Only from a copy that reflects this write.
        least: Option<Dot>,
    },
    /// Reads one page of a range.
    Page(PageRequest),
    /// Writes, all or nothing.
    Write {
        /// The writes.
        writes: Vec<Write>,
        /// When to acknowledge.
        durability: Durability,
        /// How many holders must have it.
        acks: u32,
        /// How long to wait for them, in milliseconds.
        timeout: Millis,
        /// What must be true of every key.
        condition: Option<Condition>,
        /// How often the requester knows the database to be dropped: not for who knows less.
        generation: u64,
    },
    /// Asks how the database is doing.
    Status,
    /// Asks the steward to invite the requester as a holder.
    Invite,
    /// Begins a watch.
    Watch {
        /// Stored keys that begin with this.
        prefix: Vec<u8>,
        /// What an earlier watch had been told; `None`: from now on.
        after: Option<Position>,
    },
    /// Asks for one page of the names of keyspaces that have keys.
    Keyspaces(KeyspacesRequest),
}

/// What must be true of a key before it is written, at the holder that accepts the write: another one
/// may accept another write of the key at the same time. It is no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// There is no such key, or it has expired.
    Absent,
    /// There is one.
    Present,
    /// Its value has this version.
    Version(Version),
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The stored key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// What becomes of it.
    pub change: Change,
}

/// What a write makes of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A value, or a tombstone.
    Set(Payload),
    /// A counter that says this much more.
    Add(i64),
    /// What it is, until another time, in milliseconds since the Unix epoch, or for good. The key must be
    /// there.
    Expire(Option<Millis>),
}

impl Change {
    /// Bytes of the value that it sets, for [`Payload::len`].
    pub fn len(&self) -> usize {
        match self {
            Self::Set(payload) => payload.len(),
            Self::Add(_) | Self::Expire(_) => 0,
        }
    }

    /// Whether it sets no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What came of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its version.
    pub version: Version,
    /// Of an increment: what the counter says where it was accepted.
    pub value: Option<i64>,
}

/// One page of a range of stored keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// Where it starts, in ascending order whatever `reverse` says.
    pub start: core::ops::Bound<Vec<u8>>,
    /// Where it ends.
    pub end: core::ops::Bound<Vec<u8>>,
    /// Most rows.
    pub limit: u32,
    /// Descending.
    pub reverse: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// What the user's keys have to match.
    pub filter: Option<Pattern>,
    /// Most rows that are looked at, deleted and expired ones among them; 0: [`PAGE_READS_MAX`] with a
    /// filter, and without one as many as it takes.
    ///
    /// [`PAGE_READS_MAX`]: crate::limits::PAGE_READS_MAX
    pub budget: u32,
}

/// One page of the names of keyspaces, in the order of their stored keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspacesRequest {
    /// The first stored key that is looked at; empty: from the beginning.
    #[serde(with = "serde_bytes")]
    pub start: Vec<u8>,
    /// Most names.
    pub limit: u32,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The records, in the order asked.
    Got(Vec<Option<Record>>),
    /// The rows, and behind which stored key there may be more; `None`: there is nothing more.
    Page(Vec<(Vec<u8>, Record)>, Option<Vec<u8>>),
    /// What came of the writes, in their order.
    Written(Vec<Written>),
    /// The status.
    Status(alloc::boxed::Box<DatabaseStatus>),
    /// Done; nothing to say.
    Done,
    /// The copy does not reflect the write, or the position, that was asked for yet.
    Behind,
    /// What came since the position that was asked for, and what the watch has been told with that.
    Watching(Vec<(Vec<u8>, Record)>, Position),
    /// The names, and with which stored key there may be more; `None`: there is nothing more.
    Keyspaces(Vec<String>, Option<Vec<u8>>),
}
