//! Keys and paths: parsed once, trusted afterwards.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::limits::{KEY_MAX, PATH_MAX, VALUE_MAX};

/// The paths that start with this belong to tidings itself.
pub const SYSTEM_PREFIX: &str = "_tidings/";

/// A key: 1 byte to 1 KiB of any bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(#[serde(with = "serde_bytes")] Vec<u8>);

impl Key {
    /// Checks the length.
    ///
    /// # Errors
    /// [`Error::KeyLength`] when empty or longer than [`KEY_MAX`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > KEY_MAX {
            return Err(Error::KeyLength { length: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Checks the length of a value.
///
/// # Errors
/// [`Error::ValueLength`] when longer than [`VALUE_MAX`].
pub fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > VALUE_MAX { Err(Error::ValueLength { length: value.len() }) } else { Ok(()) }
}

/// A database path: 1 to 512 bytes of UTF-8 without control characters. Compared byte by byte, so
/// `/x` is not `x`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

impl Path {
    /// Checks a path that a user named.
    ///
    /// # Errors
    /// [`Error::BadPath`] when empty, too long, with control characters, or reserved.
    pub fn new(text: &str) -> Result<Self, Error> {
        let path = Self::any(text)?;
        if text.starts_with(SYSTEM_PREFIX) {
            return Err(Error::BadPath {
                path: text.into(),
                why: "paths under _tidings/ are reserved".into(),
            });
        }
        Ok(path)
    }

    /// Checks a path, allowing the reserved ones.
    pub(crate) fn any(text: &str) -> Result<Self, Error> {
        let why = if text.is_empty() {
            "a path has at least 1 byte".to_string()
        } else if text.len() > PATH_MAX {
            alloc::format!("it has {} bytes, at most {PATH_MAX} are allowed", text.len())
        } else if text.chars().any(char::is_control) {
            "control characters are not allowed".to_string()
        } else {
            return Ok(Self(text.into()));
        };
        let shown = text.chars().take(80).collect();
        Err(Error::BadPath { path: shown, why })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to tidings itself.
    pub fn is_system(&self) -> bool {
        self.0.starts_with(SYSTEM_PREFIX)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
