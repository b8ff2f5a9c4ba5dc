//! What a peer tells its operator.

use alloc::string::String;

use crate::ident::PeerId;

/// Something that happened. Those with [`Event::is_alarm`] want a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member is up, or describes itself anew.
    PeerUp(PeerId, String),
    /// A member is down.
    PeerDown(PeerId),
    /// A copy of a database is complete here.
    Joined(String),
    /// A copy too many was given back.
    Left(String),
    /// Rows were put back into a database that differed at equal vectors.
    Repaired(String, u64),
    /// What is derived from the rows of a database did not fit them, and was recomputed.
    Damaged(String),
    /// A database was dropped, here or elsewhere: the copy here is removed.
    DatabaseDropped(String),
    /// So many rows of a database were dropped: the other holders had deleted them, long ago.
    Dropped(String, u64),
    /// So many values arrived for keys that may have been deleted since, too late to tell: they are
    /// kept.
    Late(String, u64),
    /// So many writes of an ended start of a peer are on no live copy of a database.
    Lost(String, u64),
    /// Two writes carry one stamp: a forged or cloned peer.
    Conflict(String),
    /// A peer sent what no peer of this program sends.
    Misbehaved(PeerId, &'static str),
    /// A remote stamp was further ahead than the bound on clock skew.
    StampAhead(String),
    /// This peer's own live epoch was heard above what it issued; it took a new one.
    EpochSeenElsewhere,
    /// Another process runs under this peer's identity: the writes of both are refused.
    Cloned,
    /// Two processes run under the identity of another peer.
    ClonesSeen(PeerId),
    /// This peer's clock is off by this many milliseconds: its writes are refused.
    ClockOff(i64),
    /// A definition from another peer cannot be used.
    BadDefinition(String),
}

impl Event {
    /// Whether a person should look at it.
    pub fn is_alarm(&self) -> bool {
        !matches!(
            self,
            Self::PeerUp(..)
                | Self::PeerDown(_)
                | Self::Joined(_)
                | Self::Left(_)
                | Self::DatabaseDropped(_)
        )
    }
}

impl core::fmt::Display for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::PeerUp(peer, name) => write!(f, "peer {name} ({peer}) is up"),
            Self::PeerDown(peer) => write!(f, "peer {peer} is down"),
            Self::Joined(path) => write!(f, "the copy of {path:?} is complete"),
            Self::Left(path) => {
                write!(f, "the copy of {path:?} was one too many and is given back")
            }
            Self::DatabaseDropped(path) => {
                write!(f, "{path:?} was dropped; its copy here is removed")
            }
            Self::Repaired(path, rows) => write!(f, "put {rows} missing rows back into {path:?}"),
            Self::Damaged(path) => {
                write!(
                    f,
                    "the rows of {path:?} were not what its digest says; the disk may be failing"
                )
            }
            Self::Dropped(path, rows) => {
                write!(
                    f,
                    "dropped {rows} rows of {path:?} that were deleted while this peer was away"
                )
            }
            Self::Late(path, writes) => {
                write!(
                    f,
                    "{writes} writes to {path:?} came too late to tell whether they were deleted since; they are kept"
                )
            }
            Self::Lost(path, writes) => {
                write!(
                    f,
                    "{writes} writes to {path:?} are on no copy that is alive; they are lost unless one that is away has them"
                )
            }
            Self::Conflict(path) => {
                write!(
                    f,
                    "two writes to {path:?} carry one stamp: a peer is cloned or forges writes"
                )
            }
            Self::Misbehaved(peer, what) => write!(f, "peer {peer} sent {what}; it was ignored"),
            Self::StampAhead(path) => {
                write!(f, "a write to {path:?} is stamped further ahead than clocks may differ")
            }
            Self::EpochSeenElsewhere => f.write_str(
                "another process writes under this peer's epoch; this one took a new epoch",
            ),
            Self::Cloned => f.write_str(
                "another process runs under this peer's identity: the writes of both are refused until one of them is stopped; start the copy with an empty directory",
            ),
            Self::ClonesSeen(peer) => write!(
                f,
                "two processes run under the identity of peer {peer}: stop one of them and start it with an empty directory"
            ),
            Self::ClockOff(offset) => {
                write!(f, "this peer's clock is {offset} ms off its peers': its writes are refused")
            }
            Self::BadDefinition(why) => write!(f, "a definition of the cluster is ignored: {why}"),
        }
    }
}
