//! Matchers: which paths a definition accepts.
//!
//! The text of a matcher alone decides its kind, the same on every peer:
//!
//! | the text | kind |
//! |---|---|
//! | begins with `exact:`, `glob:` or `regex:` | as it says, for the text after the prefix |
//! | has one of `[ ] ( ) { } + ? \| ^ $ \` or `.*` | a regular expression |
//! | has a `*` | a glob |
//! | anything else | exact |
//!
//! - **exact** accepts the one path that is equal to it, byte by byte: `/x` is not `x`.
//! - **glob**: `*` stands for one or more characters other than `/`, `**` for one or more
//!   characters of any kind, and `**/` at the start of a segment for any number of whole segments,
//!   none included. Every other character stands for itself.
//! - **regex** is a [regular expression](https://docs.rs/regex/latest/regex/#syntax) that has to
//!   match the whole path, as if it stood between `^(?:` and `)$`.
//!
//! | matcher | accepts | does not accept |
//! |---|---|---|
//! | `profile/*` | `profile/a` | `profile/`, `profile/a/b` |
//! | `log-*` | `log-7` | `log-`, `log-7/x` |
//! | `profile/**` | `profile/a`, `profile/a/b` | `profile`, `profile/` |
//! | `a/**/z` | `a/z`, `a/b/z`, `a/b/c/z` | `az`, `a/bz` |
//! | `**/z` | `z`, `a/z`, `a/b/z` | `az` |
//! | `a/[0-9]+` | `a/12` | `a/`, `a/12/b`, `xa/12` |
//! | `glob:a[*]` | `a[b]` | `ab` |
//!
//! A parsed matcher is bounded in memory and in time per path, whatever its text.
//!
//! ```
//! use tidings_core::{matcher::{Kind, Matcher}, name::Path};
//! let matcher = Matcher::parse("profile/*/inbox")?;
//! assert_eq!(matcher.kind(), Kind::Glob);
//! assert_eq!(matcher.literal_prefix(), "profile/");
//! assert!(matcher.matches(&Path::new("profile/alice/inbox")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod glob;
mod overlap;
pub(crate) mod pattern;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{MATCHER_MAX, PATH_MAX};
use crate::name::{Path, SYSTEM_PREFIX};
use glob::Glob;
use pattern::Pattern;

pub(crate) use overlap::{Automaton, Overlap};

/// Characters of a refused matcher that an error shows.
const SHOWN_MAX: usize = 80;

/// How a matcher compares, in order of precedence: the first wins where all else is equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Equal, byte by byte.
    Exact,
    /// With `*` and `**`.
    Glob,
    /// A regular expression over the whole path.
    Regex,
}

impl Kind {
    /// The word for it: `exact`, `glob` or `regex`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Glob => "glob",
            Self::Regex => "regex",
        }
    }

    /// The kind that a text names or implies, and the text without its prefix.
    fn of(text: &str) -> (Self, &str) {
        for kind in [Self::Exact, Self::Glob, Self::Regex] {
            if let Some(body) =
                text.strip_prefix(kind.name()).and_then(|rest| rest.strip_prefix(':'))
            {
                return (kind, body);
            }
        }
        let kind = if text.contains(REGEX_SIGNS) || text.contains(".*") {
            Self::Regex
        } else if text.contains('*') {
            Self::Glob
        } else {
            Self::Exact
        };
        (kind, text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Each of these makes a matcher without a prefix a regular expression.
const REGEX_SIGNS: [char; 12] = ['[', ']', '(', ')', '{', '}', '+', '?', '|', '^', '$', '\\'];

/// A parsed matcher: accepts or rejects paths.
#[derive(Clone)]
pub struct Matcher {
    text: String,
    program: Program,
}

#[derive(Clone)]
enum Program {
    Exact(String),
    Glob(Glob),
    Regex(Pattern),
}

impl Matcher {
    /// Reads a matcher.
    ///
    /// # Errors
    /// When it is empty or too long, when no path can ever match it, or when it is no well-formed
    /// glob or regular expression. The sentence shows the matcher, what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, MatcherError> {
        if text.len() > MATCHER_MAX {
            let why = format!("it has {} bytes, at most {MATCHER_MAX} are allowed", text.len());
            return Err(MatcherError::new(text, None, why));
        }
        if let Some(at) = text.chars().position(char::is_control) {
            let why = "control characters, line ends among them, are not allowed";
            return Err(MatcherError::new(text, Some(at), why.to_string()));
        }
        let (kind, body) = Kind::of(text);
        let skipped = text.chars().count() - body.chars().count();
        let refuse = |(at, why): Refusal| MatcherError::new(text, at.map(|at| at + skipped), why);
        if body.is_empty() {
            return Err(refuse((None, format!("{kind} matchers have at least 1 character"))));
        }
        let program = match kind {
            Kind::Exact => Program::Exact(body.to_string()),
            Kind::Glob => Program::Glob(Glob::parse(body).map_err(refuse)?),
            Kind::Regex => Program::Regex(Pattern::parse(body).map_err(refuse)?),
        };
        let matcher = Self { text: text.to_string(), program };
        matcher.check_possible().map_err(|why| refuse((None, why)))?;
        Ok(matcher)
    }

    /// Refuses what no user's path can match.
    fn check_possible(&self) -> Result<(), String> {
        let prefix = self.literal_prefix();
        if prefix.starts_with(SYSTEM_PREFIX) {
            return Err(format!(
                "paths under {SYSTEM_PREFIX} are reserved, so it can match nothing"
            ));
        }
        let shortest = match &self.program {
            Program::Exact(path) => path.len(),
            Program::Glob(glob) => glob.shortest(),
            Program::Regex(pattern) => pattern.shortest(),
        };
        if shortest > PATH_MAX {
            return Err(format!(
                "it matches nothing shorter than {shortest} bytes, and paths have at most {PATH_MAX}"
            ));
        }
        let suspect = matches!(&self.program, Program::Regex(pattern) if pattern.may_be_void());
        if suspect && Automaton::of(self).is_some_and(|mut own| own.is_void()) {
            return Err("no path can match it; `^` and `$` stand for the ends of the path".into());
        }
        Ok(())
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.program {
            Program::Exact(_) => Kind::Exact,
            Program::Glob(_) => Kind::Glob,
            Program::Regex(_) => Kind::Regex,
        }
    }

    /// The text that every accepted path begins with; the whole path of an exact matcher.
    pub fn literal_prefix(&self) -> &str {
        match &self.program {
            Program::Exact(path) => path,
            Program::Glob(glob) => glob.prefix(),
            Program::Regex(pattern) => pattern.prefix(),
        }
    }

    /// Whether it accepts the path.
    pub fn matches(&self, path: &Path) -> bool {
        self.accepts(path.as_str())
    }

    fn accepts(&self, path: &str) -> bool {
        match &self.program {
            Program::Exact(own) => own == path,
            Program::Glob(glob) => glob.matches(path),
            Program::Regex(pattern) => pattern.matches(path),
        }
    }

    /// The text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.kind(), self.text)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Matcher {}

/// Where (in characters from the start) and why a part of a matcher is refused.
pub(crate) type Refusal = (Option<usize>, String);

/// Why a text is no matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the matcher \"{text}\" is refused{}: {why}", place(*at))]
pub struct MatcherError {
    /// The matcher, shortened, without control characters.
    pub text: String,
    /// The character where it goes wrong, counted from 1, when there is one such place.
    pub at: Option<usize>,
    /// What is wrong.
    pub why: String,
}

impl MatcherError {
    fn new(text: &str, at: Option<usize>, why: String) -> Self {
        Self { text: shown(text), at: at.map(|at| at + 1), why }
    }
}

/// A text for an error: shortened, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(SHOWN_MAX).map(visible).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

pub(crate) fn place(at: Option<usize>) -> String {
    at.map_or_else(String::new, |at| format!(" at character {at}"))
}

#[cfg(test)]
mod tests;
