//! What varies in how something is asked for.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderName, header};
use tidings::filter::Pattern;
use tidings::{Durability, Version};

use crate::acknowledge::Acks;

/// How a write is acknowledged, as query parameters; what is `None` follows the definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// What must have it.
    pub durability: Option<Durability>,
    /// How many holders must have it.
    pub acks: Option<Acks>,
    /// How long the entry stays, in whole milliseconds.
    pub ttl: Option<Duration>,
    /// From when on it is hidden, in whole milliseconds; stands before `ttl`.
    pub expires: Option<SystemTime>,
    /// How long to wait for the acknowledgements, in whole milliseconds.
    pub timeout: Option<Duration>,
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
    /// How long, in whole milliseconds.
    pub timeout: Option<Duration>,
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
