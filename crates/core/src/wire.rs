//! Bytes: how everything stored or sent is encoded.
//!
//! One version byte, then bincode's variable-length encoding. This is the only module that names
//! bincode. Every decode has a limit, so that a length in hostile bytes never allocates more than
//! the bytes could hold.

use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version byte in front of every stored row and every sent frame.
pub const FORMAT_VERSION: u8 = 1;

/// Most bytes that one decoded item may claim: the longest value, and as much again for what
/// travels beside it. Whoever builds a message stays well below.
pub const ITEM_MAX: usize = 2 * crate::limits::VALUE_MAX;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<ITEM_MAX>,
> = bincode::config::standard().with_limit::<ITEM_MAX>();

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The version byte is not ours.
    #[error("format version {0}, this program reads version {FORMAT_VERSION}")]
    Version(u8),
    /// Truncated, overlong, or not of the expected shape.
    #[error("malformed bytes")]
    Malformed,
}

/// Encodes one item with its version byte.
pub fn encode<T: Serialize>(item: &T) -> Vec<u8> {
    encode_with_capacity(64, item)
}

/// Like [`encode`], for an item that is known to need about so many bytes.
pub fn encode_with_capacity<T: Serialize>(capacity: usize, item: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.push(FORMAT_VERSION);
    append(&mut bytes, item);
    bytes
}

/// Appends one item, without a version byte.
pub fn append<T: Serialize>(bytes: &mut Vec<u8>, item: &T) {
    struct Tail<'a>(&'a mut Vec<u8>);
    impl bincode::enc::write::Writer for Tail<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    let result = bincode::serde::encode_into_writer(item, Tail(bytes), CONFIG);
    assert!(result.is_ok(), "our own types always encode: {result:?}");
}

/// Appends one item behind its length, so that a reader that does not know it can skip it.
pub fn append_sized<T: Serialize>(bytes: &mut Vec<u8>, item: &T) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    append(bytes, item);
    let length = (bytes.len() - start - 4) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Takes the bytes of one sized item off the front of `rest`.
///
/// # Errors
/// [`WireError::Malformed`] when they are not all there.
pub fn take_sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let (length, after) = rest.split_first_chunk::<4>().ok_or(WireError::Malformed)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (item, after) = after.split_at_checked(length).ok_or(WireError::Malformed)?;
    *rest = after;
    Ok(item)
}

/// Decodes one item without a version byte; nothing may follow it.
///
/// # Errors
/// [`WireError::Malformed`] when the bytes are not exactly one such item.
pub fn decode_bare<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, WireError> {
    let item = take(&mut bytes)?;
    if bytes.is_empty() { Ok(item) } else { Err(WireError::Malformed) }
}

/// Decodes one item with its version byte; nothing may follow it.
///
/// # Errors
/// [`WireError`] when the bytes are not exactly one such item.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    decode_bare(body(bytes)?)
}

/// The bytes after the version byte.
///
/// # Errors
/// [`WireError`] when empty or of another version.
pub fn body(bytes: &[u8]) -> Result<&[u8], WireError> {
    match bytes.split_first() {
        Some((&FORMAT_VERSION, rest)) => Ok(rest),
        Some((&other, _)) => Err(WireError::Version(other)),
        None => Err(WireError::Malformed),
    }
}

/// Takes one item off the front of `rest`.
///
/// # Errors
/// [`WireError::Malformed`] when the front is not such an item.
pub fn take<T: DeserializeOwned>(rest: &mut &[u8]) -> Result<T, WireError> {
    let (item, used) =
        bincode::serde::decode_from_slice(rest, CONFIG).map_err(|_| WireError::Malformed)?;
    *rest = &rest[used..];
    Ok(item)
}
