//! Filters: which keys of a listing are wanted.
//!
//! A filter is a glob or a regular expression that has to match the whole key, whatever the prefix or the
//! range of the listing. Globs are those of [matchers](crate::matcher), over bytes:
//!
//! - **glob**: `*` stands for one or more bytes other than `/`, `**` for one or more bytes of any kind, and
//!   `**/` at the start of a segment for any number of whole segments, none included. Every other
//!   character stands for itself. A star takes bytes that are not UTF-8 like any other.
//! - **regex** is a [regular expression](https://docs.rs/regex/latest/regex/bytes/index.html#syntax) over
//!   bytes, as if it stood between `^(?:` and `)$`. Its `.` and its classes stand for characters in UTF-8,
//!   and take nothing that is not UTF-8; with `(?-u)` they stand for bytes, such as in `(?-u:\xff)` and
//!   `(?s-u:.)*`.
//!
//! | filter | matches | does not match |
//! |---|---|---|
//! | glob `user:*` | `user:7` | `user:`, `user:7/name` |
//! | glob `**/name` | `name`, `user/7/name` | `surname` |
//! | regex `user:[0-9]+` | `user:7` | `user:7a`, `a user:7` |
//!
//! A filter is bounded in memory and in time per key, whatever its text.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use regex_automata::{Anchored, Input, meta};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::limits::FILTER_MAX;
use crate::matcher::glob::Glob;
use crate::matcher::{Refusal, pattern, place, shown};

/// Most bytes of a compiled filter: it runs over every key of a page, which others wait for. Room for a
/// dozen Unicode classes or a few hundred repetitions.
const FILTER_BYTES_MAX: usize = 256 << 10;
/// Bytes of a compiled filter that make it take, at the worst, as long for a key as reading the key does.
const BYTES_OF_A_READ: usize = 256;

/// The text of a filter, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// A glob.
    Glob(String),
    /// A regular expression.
    Regex(String),
}

impl Pattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Glob(text) | Self::Regex(text) => text,
        }
    }

    /// The word for its kind: `glob` or `regex`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Glob(_) => "glob",
            Self::Regex(_) => "regex",
        }
    }
}

/// What a key has to match as a whole to be listed; see the [module](self).
#[derive(Clone)]
pub struct Filter {
    pattern: Pattern,
    regex: Box<meta::Regex>,
    prefix: Vec<u8>,
}

impl Filter {
    /// A glob of at most [`FILTER_MAX`] bytes.
    ///
    /// # Errors
    /// [`Error::BadArgument`], which names the glob, what is wrong with it, and where.
    pub fn glob(text: impl Into<String>) -> Result<Self, Error> {
        Self::new(Pattern::Glob(text.into()))
    }

    /// A regular expression of at most [`FILTER_MAX`] bytes.
    ///
    /// # Errors
    /// [`Error::BadArgument`], which names the expression, what is wrong with it, and where.
    pub fn regex(text: impl Into<String>) -> Result<Self, Error> {
        Self::new(Pattern::Regex(text.into()))
    }

    /// The filter of a pattern.
    ///
    /// # Errors
    /// As for [`glob`](Self::glob) and [`regex`](Self::regex).
    pub fn new(pattern: Pattern) -> Result<Self, Error> {
        match compile(&pattern) {
            Ok((regex, prefix)) => Ok(Self { pattern, regex: Box::new(regex), prefix }),
            Err((at, why)) => Err(Error::BadArgument(format!(
                "the {} \"{}\" is refused{}: {why}",
                pattern.kind(),
                shown(pattern.as_str()),
                place(at.map(|at| at + 1))
            ))),
        }
    }

    /// Its text and kind.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The bytes that every key begins with that it matches.
    pub fn literal_prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Whether it matches a key, as a whole.
    pub fn matches(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix)
            && self.regex.is_match(Input::new(key).anchored(Anchored::Yes))
    }

    /// How long it may take for a byte of a key, as multiples of the time that reading the byte takes.
    pub(crate) fn weight(&self) -> usize {
        self.regex.memory_usage() / BYTES_OF_A_READ
    }
}

fn compile(pattern: &Pattern) -> Result<(meta::Regex, Vec<u8>), Refusal> {
    let text = pattern.as_str();
    if text.is_empty() {
        return Err((None, "filters have at least 1 character".to_string()));
    }
    if text.len() > FILTER_MAX {
        let length = text.len();
        return Err((None, format!("it has {length} bytes, at most {FILTER_MAX} are allowed")));
    }
    let hir = match pattern {
        Pattern::Glob(glob) => pattern::tree(&Glob::parse(glob)?.to_bytes_regex(), false)
            .map_err(|(_, why)| (None, why))?,
        Pattern::Regex(regex) => pattern::tree(regex, false)?,
    };
    let prefix = pattern::prefix(&hir);
    Ok((pattern::compile(hir, false, FILTER_BYTES_MAX)?, prefix))
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Filter {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matcher::Matcher;
    use crate::name::Path;

    fn why(filter: Result<Filter, Error>) -> String {
        filter.unwrap_err().to_string()
    }

    #[test]
    fn a_filter_matches_the_whole_key() {
        let glob = |text: &str, key: &[u8]| Filter::glob(text).unwrap().matches(key);
        let regex = |text: &str, key: &[u8]| Filter::regex(text).unwrap().matches(key);
        assert!(glob("user:*", b"user:7") && glob("user:*", b"user:\xff\0\n"));
        assert!(!glob("user:*", b"user:") && !glob("user:*", b"user:7/name"));
        assert!(glob("**/name", b"name") && glob("**/name", b"user/\xff/name"));
        assert!(!glob("**/name", b"surname") && !glob("a.c", b"abc"));
        assert!(glob("a?[b]", b"a?[b]"), "what is no star stands for itself");
        assert!(regex("user:[0-9]+", b"user:7"));
        assert!(!regex("user:[0-9]+", b"user:7a") && !regex("user:[0-9]+", b"a user:7"));
        assert!(regex("a|b", b"b") && !regex("a|b", b"ab"));
        assert!(regex("h.llo", "hállo".as_bytes()) && !regex("h.llo", b"h\xffllo"));
        assert!(regex(r"h(?-u:.)llo", b"h\xffllo") && regex(r"(?s-u).*\xfe.*", b"\n\xfe\xff"));
        assert!(regex(r"\bé\b", "é".as_bytes()) && !regex(r"\bé\b", b"\xff"));
    }

    #[test]
    fn what_every_match_begins_with_is_known() {
        let prefix = |filter: Result<Filter, Error>| filter.unwrap().literal_prefix().to_vec();
        assert_eq!(prefix(Filter::glob("user:*")), b"user:");
        assert_eq!(prefix(Filter::glob("plain")), b"plain");
        assert_eq!(prefix(Filter::glob("**/z")), b"");
        assert_eq!(prefix(Filter::regex("(?-u:\\xff)a[bc]")), b"\xffa");
        assert_eq!(prefix(Filter::regex("ab|ac")), b"a");
        assert_eq!(prefix(Filter::regex("(?i)a")), b"");
    }

    #[test]
    fn a_bad_pattern_is_named_with_what_is_wrong() {
        let error = why(Filter::glob("a/***"));
        assert!(
            error.starts_with("the glob \"a/***\" is refused at character 3: `***`"),
            "{error}"
        );
        let error = why(Filter::regex("é("));
        assert_eq!(error, "the regex \"é(\" is refused at character 2: unclosed group");
        let error = why(Filter::regex("a)|(b"));
        assert!(error.contains("unopened group"), "{error}");
        assert!(why(Filter::glob("")).contains("at least 1 character"));
        assert!(why(Filter::regex("")).contains("at least 1 character"));
        let long = why(Filter::glob("x".repeat(FILTER_MAX + 1)));
        assert!(long.contains("it has 4097 bytes, at most 4096") && long.len() < 500, "{long}");
        let large = why(Filter::regex(r"\w{1000}"));
        assert!(large.contains("more than 262144 bytes"), "{large}");
        assert!(Filter::glob("é".repeat(2000)).is_ok(), "long ones are not large");
    }

    #[test]
    fn a_filter_weighs_what_it_may_take() {
        let light = Filter::regex("user:[0-9]+").unwrap().weight();
        let heavy = Filter::regex(r"(?s-u)(?:.?a){200}").unwrap().weight();
        assert!(light < 50 && heavy > 2 * light, "{light} {heavy}");
    }

    proptest! {
        /// A glob means the same for keys that are text as it does for paths.
        #[test]
        fn globs_are_those_of_matchers(text in "[ab/é*]{1,8}", key in "[ab/é]{1,8}") {
            let (matcher, filter) = (Matcher::parse(&format!("glob:{text}")), Filter::glob(text));
            if let Ok(matcher) = matcher {
                let expected = matcher.matches(&Path::new(&key).unwrap());
                prop_assert_eq!(filter.unwrap().matches(key.as_bytes()), expected);
            }
        }
    }
}
