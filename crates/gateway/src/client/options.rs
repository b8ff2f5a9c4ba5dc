//! What varies in how something is asked for.

use axum::http::{HeaderName, header};
use tidings::Version;
use tidings::filter::Pattern;

/// How a write is acknowledged, as query parameters; what is `None` follows the definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// `buffered` or `synced`.
    pub durability: Option<String>,
    /// A number of holders, or `min`.
    pub acks: Option<String>,
    /// A duration, such as `30s`.
    pub ttl: Option<String>,
    /// A moment, such as `2026-11-21T16:00:00.000Z`; stands before `ttl`.
    pub expires: Option<String>,
    /// A duration, such as `10s`.
    pub timeout: Option<String>,
    /// Only if the key is absent.
    pub if_absent: bool,
    /// Only if the value has this version.
    pub if_version: Option<Version>,
}

impl Write {
    /// The header that says the condition.
    pub(super) fn condition(&self) -> Option<(HeaderName, String)> {
        let tag = |version: Version| (header::IF_MATCH, format!("\"{version}\""));
        let absent = self.if_absent.then(|| (header::IF_NONE_MATCH, "*".to_owned()));
        absent.or_else(|| self.if_version.map(tag))
    }
}

/// Which writes a read has to reflect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The version of one that it waits for.
    pub min_version: Option<Version>,
    /// How long: a duration, such as `10s`.
    pub timeout: Option<String>,
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Only keys that start with these bytes.
    pub prefix: Vec<u8>,
    /// Most rows in the page; 0: as many as a page may have.
    pub limit: usize,
    /// Continue after the page that gave this cursor.
    pub cursor: Option<String>,
    /// Descending.
    pub reverse: bool,
    /// With values.
    pub values: bool,
    /// Only keys that match this as a whole.
    pub filter: Option<Pattern>,
    /// Most keys that the page looks at; 0: 10,000 with a filter, and without one as many as it takes.
    pub budget: usize,
}

/// What to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The first key, included; empty: from the beginning.
    pub start: Vec<u8>,
    /// The end, excluded; empty: to the end.
    pub end: Vec<u8>,
    /// Only keys that match this as a whole.
    pub filter: Option<Pattern>,
}
