//! What happens when: operations of users and faults, as an explicit list.
//!
//! A scenario may say some of them outright and leave others to be drawn. Everything random is drawn
//! up front into this list, and what happens while one of them is carried out depends on its own time
//! and peer only. So taking one event away leaves the others as they are, which is what lets a
//! failing run be shrunk.

mod draw;
pub(crate) mod text;

use tidings_core::definition::Durability;

use crate::faults::Fault;

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When, in microseconds after the beginning.
    pub at: u64,
    /// What.
    pub what: What,
}

/// A fault or an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Something goes wrong.
    Fault(Fault),
    /// A user does something.
    Operation(Operation),
}

/// What a user does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The peer that is asked; where it does not run, the next one that does.
    pub peer: usize,
    /// The path of the database.
    pub database: String,
    /// What is asked.
    pub call: Call,
}

/// One key of a write: the user's key, and the length of the value, or nothing for a delete.
pub type KeyWrite = (String, Option<u64>);

/// What is asked of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Writes, in one call: each inner list is a batch of its own.
    Write {
        /// The batches.
        batches: Vec<Vec<KeyWrite>>,
        /// Overrides the durability of the definition.
        durability: Option<Durability>,
        /// How many holders must have it, 1 or more.
        acks: u32,
    },
    /// Adds to a counter, whose key begins with [`COUNTERS`].
    Count {
        /// The key.
        key: String,
        /// How much, above 0.
        by: u64,
        /// Overrides the durability of the definition.
        durability: Option<Durability>,
        /// How many holders must have it, 1 or more.
        acks: u32,
    },
    /// Adds to a counter, and deletes it in the same batch before that if `anew`. Its key begins with
    /// [`TALLIES`].
    Tally {
        /// The key.
        key: String,
        /// How much, above 0.
        by: u64,
        /// Whether it counts from 0.
        anew: bool,
    },
    /// Puts a value of this length that expires, under a key that begins with [`LEASES`].
    Lease(String, u64, u64),
    /// Changes when what is under a key that begins with [`LEASES`] expires, to this many milliseconds
    /// from now, or lets it stay.
    Expire(String, Option<u64>),
    /// Reads one key.
    Read(String),
    /// Waits until the copy has caught up.
    Sync,
    /// Asks how the database is doing.
    Status,
    /// Drops the database.
    Drop,
}

/// What the keys of counters begin with: nothing but increments is written to them.
pub const COUNTERS: &str = "count";
/// What the keys of counters begin with that are also deleted.
pub const TALLIES: &str = "tally";
/// What the keys begin with of what may expire: nothing of it is deleted.
pub const LEASES: &str = "lease";

/// Largest value that an operation may write: what the core allows.
pub const VALUE_MAX: u64 = 8 << 20;
