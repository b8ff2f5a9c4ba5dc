//! What of a peer's rows is in a backup, and what a peer begins with that is restored from one.
//!
//! A backup holds data, not a peer: its rows are those of one moment, but for what the peer kept for
//! itself alone. A restored peer is another peer, with an identity and epochs of its own, that has what
//! the backed up one had. So the one may go on beside the other, and no dot is given twice.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ident::{Epoch, PeerId};
use crate::node::OwnRow;
use crate::rows::{self, Prefix};
use crate::stamp::Time;
use crate::store::{Batch, Read, Space, StoreError};
use crate::wire;

/// Whose rows a backup has, and what is kept of that peer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The peer that was backed up.
    pub peer: PeerId,
    /// Which secret the data was written under.
    pub cluster: u64,
    /// No stamp of the peer was above this one.
    pub reserved: Time,
}

/// The row of a peer that was restored from a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestoredRow {
    /// The peer that was backed up.
    pub(crate) source: PeerId,
    /// Whether the directory was told of the copies that came with the backup.
    pub(crate) claimed: bool,
}

impl Origin {
    /// What the rows of a store say of the peer that uses it.
    ///
    /// # Errors
    /// When they cannot be read, or no peer has used the store yet.
    pub fn read(read: &impl Read, peer: PeerId) -> Result<Self, StoreError> {
        let own: Option<OwnRow> = crate::node::read_row(read, &rows::peer_key("own"))?;
        let own =
            own.ok_or_else(|| StoreError::corrupt("the row of the peer itself is missing"))?;
        Ok(Self { peer, cluster: own.cluster, reserved: own.reserved })
    }

    /// The rows that a restored store has of its peer, beside those of the backup.
    pub fn rows(&self) -> Batch {
        let Self { peer, cluster, reserved } = *self;
        // Both are of another peer, and the first start gives this one its own.
        let (incarnation, epoch) = (0, Epoch::default());
        let own = OwnRow { cluster, incarnation, epoch, reserved };
        let restored = RestoredRow { source: peer, claimed: false };
        let mut batch = Batch::default();
        batch.put(Space::Meta, rows::peer_key("own"), wire::encode(&own));
        batch.put(Space::Meta, rows::peer_key("restored"), wire::encode(&restored));
        batch
    }
}

/// Whether a row belongs into a backup. Of the rows of the peer itself only two do: the local numbers
/// that must not be used again, and where other peers are. Its epoch, its incarnation, that it drains, who
/// is away, and of which backup it came itself are its own.
pub fn is_copied(space: Space, key: &[u8]) -> bool {
    let own = space == Space::Meta && key.starts_with(&rows::peer_key(""));
    !own || key == rows::peer_key("prefix") || key == rows::peer_key("peers")
}

/// Whether a row says where other peers are: a restored peer that shall find nobody is to begin without it.
pub fn is_whereabouts(space: Space, key: &[u8]) -> bool {
    space == Space::Meta && key == rows::peer_key("peers")
}

/// Whether a row stands for a database, system databases included: there is one for each copy.
pub fn is_database(space: Space, key: &[u8]) -> bool {
    space == Space::Meta && key.len() == 17 && key.starts_with(b"d")
}

/// The row of a copy that was complete when it was backed up, and was not active since.
pub(crate) fn complete_key(prefix: Prefix) -> Vec<u8> {
    [b"r".as_slice(), &prefix.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::DatabaseId;
    use crate::store::{MemoryStore, Store as _};

    /// What a peer must not share with another one stays out; the rest is copied.
    #[test]
    fn only_what_is_not_the_peers_own_is_copied() {
        for name in ["own", "clean", "absent", "drain", "restored", "peers2", ""] {
            assert!(!is_copied(Space::Meta, &rows::peer_key(name)), "{name}");
        }
        for key in [
            rows::peer_key("peers"),
            rows::peer_key("prefix"),
            rows::intern_key(DatabaseId([7; 16])),
            rows::state_key(1),
            rows::base_key(1),
            rows::unlinked_key(1),
            complete_key(1),
        ] {
            assert!(is_copied(Space::Meta, &key), "{key:?}");
        }
        assert!(is_copied(Space::Data, b"pown") && is_copied(Space::Log, b"pown"));
    }

    #[test]
    fn an_origin_comes_back_under_no_epoch() {
        let store = MemoryStore::default();
        assert!(Origin::read(&store, PeerId([1; 32])).is_err());
        let origin = Origin { peer: PeerId([1; 32]), cluster: 5, reserved: Time(9) };
        store.commit(origin.rows()).unwrap();
        assert_eq!(Origin::read(&store, PeerId([1; 32])).unwrap(), origin);
        let own: OwnRow = crate::node::read_row(&store, &rows::peer_key("own")).unwrap().unwrap();
        assert_eq!((own.epoch, own.incarnation), (Epoch::default(), 0));
    }
}
