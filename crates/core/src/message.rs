//! What peers say to each other over their ordered stream.
//!
//! A frame is a version byte and one or more messages, each behind its length, so that a message of a
//! later version is skipped and not the rest of the frame. A message too large for a frame travels as
//! [`Message::Fragment`]s, with other messages in between, and is acted on only when whole.

mod operation;

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::definition::Durability;
use crate::error::Error;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::interval::Interval;
use crate::membership::Identity;
use crate::outline::Outline;
use crate::position::Position;
use crate::record::{Record, Sent};
use crate::stamp::{Dot, Time};
use crate::vector::Vector;

pub use operation::{
    Change, Condition, KeyspacesRequest, Operation, PageRequest, Reply, Write, Written,
};

/// Most bytes of a frame. The driver may refuse larger ones.
pub const FRAME_MAX: usize = 256 << 10;

/// A frame under construction is closed at this size: large enough to amortise a system call,
/// small enough that nothing waits long behind it.
pub const FRAME_TARGET: usize = 64 << 10;

/// Bytes of a fragment of a message that does not fit a frame.
pub const FRAGMENT_BYTES: usize = 128 << 10;

/// Most bytes of fragments kept for one peer: one message of the largest size, and one more.
pub const REASSEMBLY_MAX: usize = 2 * crate::wire::ITEM_MAX;

/// Most bytes of records in one chunk of a cut, unless a single record is larger: a few fit the
/// window, so that the stream never runs dry and other databases get their turn.
pub const CHUNK_BYTES: usize = 128 << 10;

/// Bytes of chunks sent ahead of the requester's credit, at least one chunk: all the pulls of one
/// peer together fit a fraction of its send queue.
pub const CHUNK_WINDOW_BYTES: usize = 512 << 10;

/// The version of the protocol, told in the hello.
pub const PROTOCOL_VERSION: u16 = 1;

/// Names one database in one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The database.
    pub database: DatabaseId,
    /// The generation the sender has.
    pub generation: u64,
}

/// One thing that a peer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// First on every connection.
    Hello {
        /// Who speaks, for the membership.
        identity: Identity,
        /// Its live epoch.
        epoch: Epoch,
        /// The version of the protocol it speaks.
        protocol: u16,
        /// Bits of what it can do beyond that version; none yet.
        features: u64,
    },
    /// The cluster remembers a later incarnation of the receiver: go above it.
    Stale {
        /// The one remembered.
        incarnation: u64,
    },
    /// A part of a message that does not fit a frame.
    Fragment {
        /// Which message, counted by the sender.
        message: u64,
        /// Which part, counted from 0: a gap means that a part was lost.
        index: u32,
        /// Whether this is its last part.
        last: bool,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A committed write set, or what is left of it: everything of one interval.
    Push {
        /// Where.
        target: Target,
        /// Which writes.
        interval: Interval,
        /// The records; those of the interval that are not here were overwritten within it.
        records: Vec<Sent>,
        /// When the sender wants it acknowledged.
        durability: Durability,
        /// Live holders that the sender has no connection to: pass it on to them.
        unreached: Vec<PeerId>,
    },
    /// The sender has everything of the epoch up to here: acknowledge it, or pull it.
    Offer {
        /// Where.
        target: Target,
        /// Whose writes.
        epoch: Epoch,
        /// The last one.
        upto: u64,
        /// When the sender wants it acknowledged.
        durability: Durability,
    },
    /// The sender reflects an epoch up to here.
    Acknowledge {
        /// Where.
        target: Target,
        /// Whose writes.
        epoch: Epoch,
        /// The last one.
        upto: u64,
        /// How safely it has them.
        durability: Durability,
    },
    /// Asks for everything above a vector.
    Pull {
        /// Where.
        target: Target,
        /// Chosen by the requester; returned in every chunk.
        session: u64,
        /// What the requester reflects.
        vector: Outline,
        /// The fingerprint of its floor, where the vector is not sent as a whole.
        floor: Option<u128>,
        /// Its digest.
        digest: u128,
        /// Whether its rows are exactly what its vector says.
        whole: bool,
        /// Intervals under the vector that are lost to it: what is there of them is news too.
        lost: Vec<Interval>,
    },
    /// A part of the answer to a pull.
    Chunk {
        /// Where.
        target: Target,
        /// Of the pull.
        session: u64,
        /// Counted from 0.
        index: u32,
        /// Records by epoch.
        records: Vec<(Epoch, Vec<Sent>)>,
        /// What the requester reflects once it has applied all of them: in the last chunk, or in the
        /// first one where the answer goes through the keys.
        cut: Option<Cut>,
        /// Where the answer goes through all keys: the part of them that this chunk is about.
        span: Option<Span>,
    },
    /// The requester has applied the chunk; another one may be sent.
    Credit {
        /// Of the pull.
        session: u64,
    },
    /// A pull is not answered, or not finished.
    Refuse {
        /// Where.
        target: Target,
        /// Of the pull.
        session: u64,
        /// Why.
        why: Refusal,
    },
    /// Fingerprints over everything that both hold.
    Summary {
        /// Of the system databases.
        system: u64,
        /// Of all others.
        user: u64,
        /// Whether the receiver shall tell its own: the sender is not in step with it yet.
        answer: bool,
    },
    /// Fingerprints of ranges of databases, where summaries differ.
    Ranges(Vec<RangeSum>),
    /// Fingerprints of single databases that the sender believes both hold, where ranges differ.
    Items {
        /// Database and fingerprint.
        items: Vec<(DatabaseId, u64)>,
    },
    /// Equal vectors, different digests: the bucket sums of the sender, shortened to 64 bits.
    Buckets {
        /// Where.
        target: Target,
        /// The vector at which they are compared.
        vector: Vector,
        /// 256 of them.
        sums: Vec<u64>,
    },
    /// The live rows of the sender in some buckets, from `start` on.
    BucketRows {
        /// Where.
        target: Target,
        /// The buckets that differ: bit b of byte b / 8.
        buckets: [u8; 32],
        /// Exclusive; empty: from the beginning.
        #[serde(with = "serde_bytes")]
        start: Vec<u8>,
        /// Inclusive; `None`: to the end.
        end: Option<Vec<u8>>,
        /// Stored key and shortened element, ascending.
        rows: Vec<(Vec<u8>, u64)>,
    },
    /// Asks for the next page of live rows.
    BucketNext {
        /// Where.
        target: Target,
        /// The buckets that differ.
        buckets: [u8; 32],
        /// The end of the page before.
        #[serde(with = "serde_bytes")]
        start: Vec<u8>,
    },
    /// Puts back what the receiver is missing, and asks for what the sender is missing.
    Repair {
        /// Where.
        target: Target,
        /// What the sender reflects: below the receiver's floor, it may have what was deleted.
        vector: Vector,
        /// Rows that the receiver lacks or has older.
        rows: Vec<(Vec<u8>, Record)>,
        /// Stored keys whose rows the sender lacks.
        wanted: Vec<Vec<u8>>,
    },
    /// Asks a holder to do something.
    Request {
        /// Chosen by the requester: the upper half once for its process, the lower half counts. Returned
        /// in the response.
        request: u64,
        /// The path of the database.
        path: String,
        /// What to do.
        operation: Operation,
        /// For a write that is asked for again after the connection broke: the live epoch of the holder
        /// when it was asked before. Under another one it does not know whether the write was done.
        again: Option<Epoch>,
    },
    /// The answer to a request.
    Response {
        /// Of the request.
        request: u64,
        /// What came of it.
        result: Result<Reply, Error>,
    },
    /// Changes for a watch that the receiver asked for.
    Changes {
        /// The request that began the watch.
        request: u64,
        /// Counted from 0: a gap means that changes were lost.
        index: u64,
        /// Stored key and record; none: nothing came since, and `index` is the next one.
        changes: Vec<(Vec<u8>, Record)>,
        /// What the watch has been told with them; `None`: the watch is over.
        position: Option<Position>,
    },
    /// The receiver's watch is over.
    Unwatch {
        /// The request that began the watch.
        request: u64,
    },
    /// A good bye: the sender stops, cleanly.
    Bye,
    /// Asks under which epoch the receiver writes now.
    AskEpoch {
        /// Returned in the answer.
        asked: u64,
    },
    /// The answer: whatever else bears the sender's name is closed.
    TellEpoch {
        /// Of the question.
        asked: u64,
        /// The live epoch.
        epoch: Epoch,
    },
    /// The sender wants to leave a database: what it reflects must be kept by the receiver.
    AskLeave {
        /// Where.
        target: Target,
        /// Returned in the answer.
        asked: u64,
        /// What the sender reflects.
        vector: Vector,
        /// Intervals under the vector that are lost to it.
        lost: Vec<Interval>,
    },
    /// The sender durably reflects that, and stays until it sees the receiver gone or active.
    Stay {
        /// Where.
        target: Target,
        /// Of the question.
        asked: u64,
    },
    /// Asks what the receiver durably reflects, to collect tombstones.
    AskDurable {
        /// Where.
        target: Target,
        /// Returned in the answer.
        asked: u64,
    },
    /// The answer, once it is on the disk.
    TellDurable {
        /// Where.
        target: Target,
        /// Of the question.
        asked: u64,
        /// What the sender reflected when it was asked.
        vector: Vector,
        /// Intervals under the vector that are lost to it.
        lost: Vec<Interval>,
    },
    /// Asks whether rows that another holder no longer has were deleted.
    AskDeleted {
        /// Where.
        target: Target,
        /// Returned in the answer.
        asked: u64,
        /// The floor of that other holder: who does not reflect it cannot say.
        floor: Vector,
        /// Stored keys and dots.
        rows: Vec<(Vec<u8>, Dot)>,
    },
    /// The answer.
    TellDeleted {
        /// Where.
        target: Target,
        /// Of the question.
        asked: u64,
        /// For each of the rows, in their order, whether the sender reflects it and does not have it;
        /// `None` where it does not reflect it. Empty: it cannot say.
        deleted: Vec<Option<bool>>,
    },
    /// Asks another holder to leave room below the size limit of a database.
    AskShare {
        /// Where.
        target: Target,
        /// Returned in the answer.
        asked: u64,
        /// The most bytes that the receiver may still add.
        keep: u64,
    },
    /// The answer.
    TellShare {
        /// Where.
        target: Target,
        /// Of the question.
        asked: u64,
        /// The most bytes that the sender adds before it asks itself.
        most: u64,
        /// What the sender reflected when it was asked.
        vector: Vector,
        /// Intervals under the vector that are lost to it.
        lost: Vec<Interval>,
    },
    /// Two processes are alive under the receiver's identity: both are to refuse writes.
    Cloned {
        /// The live epoch of the other one.
        epoch: Epoch,
    },
}

/// The part of the keys of a copy that a chunk is about: above that of the chunk before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The last stored key of it; `None`: to the end, and the answer is complete.
    pub upto: Option<Vec<u8>>,
    /// Stored keys in it whose values the requester reflects already, ascending, with
    /// [`Record::mark`]. Tombstones are not named.
    pub present: Vec<(Vec<u8>, u32)>,
}

/// What the requester of a pull reflects after the last chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The vector of the snapshot.
    pub vector: Vector,
    /// Where the request had an outline, the epochs of its vector that this one does not name; this one
    /// then has only what it says otherwise.
    pub lacks: Option<Vec<Epoch>>,
    /// Its pending intervals.
    pub pending: Vec<Interval>,
    /// Its floor; empty, too, where it is known to be that of the requester.
    pub floor: Vector,
    /// Its newest collected tombstone.
    pub newest_collected: Time,
    /// Its digest.
    pub digest: u128,
    /// Whether its rows are exactly what the vector says.
    pub whole: bool,
    /// Intervals under the vector that are lost to it.
    pub lost: Vec<Interval>,
    /// What it reflects of the intervals that are lost to the requester.
    pub found: Vec<Interval>,
    /// Whether it is a complete copy. One that is being filled answers, too, with what it has so far.
    pub complete: bool,
}

/// Why a pull is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The asked peer has no copy that can answer.
    NotHolder,
    /// The asked peer has another generation.
    Generation(u64),
    /// Too many pulls at once, or this one was given up because no credit came: ask again later.
    Busy,
    /// The vector of the request cannot be told from its outline: send all of it.
    Outline,
}

/// All databases whose ids begin with some bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// How many of the first bits of the id are fixed, a multiple of 4, at most 64.
    pub bits: u8,
    /// Those bits, left-aligned.
    pub prefix: u64,
}

/// The fingerprint of one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSum {
    /// Which databases.
    pub range: Range,
    /// Sum of their fingerprints.
    pub sum: u64,
}
