//! Names of things: peers, epochs, databases.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A peer: its Ed25519 public key. Displayed as the libp2p `PeerId` (`12D3KooW…`).
#[derive(Clone, Copy, Eq, Serialize, Deserialize)]
pub struct PeerId(pub [u8; 32]);

/// In the order of their bytes. Most of the time of a large cluster went into comparing keys of maps
/// and members; nearly all of them differ in their first eight bytes, which fit one word.
impl Ord for PeerId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        first_word(&self.0).cmp(&first_word(&other.0)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialEq for PeerId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        first_word(&self.0) == first_word(&other.0) && self.0 == other.0
    }
}

impl Hash for PeerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[inline]
fn first_word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// What stands in front of an Ed25519 public key in a libp2p `PeerId`: an identity multihash of 36
/// bytes, then the protobuf header of a key of type Ed25519 with 32 bytes.
const PEER_ID_HEADER: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl PeerId {
    /// The bytes of the libp2p `PeerId` (a multihash).
    pub fn to_multihash_bytes(self) -> Vec<u8> {
        let mut bytes = PEER_ID_HEADER.to_vec();
        bytes.extend_from_slice(&self.0);
        bytes
    }

    /// Reads the bytes of a libp2p `PeerId`; `None` unless it is an Ed25519 one.
    pub fn from_multihash_bytes(bytes: &[u8]) -> Option<Self> {
        let key = bytes.strip_prefix(&PEER_ID_HEADER)?;
        Some(Self(key.try_into().ok()?))
    }

    /// Eight bytes of it, which no other peer shares but by forging a key.
    fn tag(self) -> u64 {
        self.0[24..].iter().fold(0, |tag, byte| (tag << 8) | u64::from(*byte))
    }

    /// Reads the text form, `12D3KooW…`; `None` unless it is an Ed25519 libp2p `PeerId`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_multihash_bytes(&bs58::decode(text).into_vec().ok()?)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_multihash_bytes()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "…{}", &text[text.len() - 6..])
    }
}

/// One start of one peer as a writer: the *actor* of every CRDT here. The upper 64 bits are random and
/// make it unique; the lower 64 name the peer, so that others know whom to ask whether it has ended.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u128);

impl Epoch {
    /// The epoch of a start of this peer, made from fresh randomness.
    pub fn new(random: u64, peer: PeerId) -> Self {
        Self((u128::from(random) << 64) | u128::from(peer.tag()))
    }

    /// Whether it can be one of this peer.
    pub fn is_of(self, peer: PeerId) -> bool {
        self.0 as u64 == peer.tag()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0 >> 104)
    }
}

/// A database: a keyed hash of its path (and so of the cluster), never of its definition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DatabaseId(pub [u8; 16]);

/// In the order of their bytes, as one number: quicker than byte by byte.
impl Ord for DatabaseId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for DatabaseId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..4]))
    }
}

/// Lower-case hexadecimal digits of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
