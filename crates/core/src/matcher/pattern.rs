//! Regular expressions over whole paths, compiled under limits.
//!
//! The expression is parsed on its own before anything is put around it: `a)|(b` must not become
//! well-formed between two parentheses, nor may a comment swallow the closing one.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str;

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

use super::Refusal;
use crate::limits::KEY_MAX;

/// Most bytes of a compiled expression: room for dozens of Unicode classes and a few hundred
/// repetitions, reached within milliseconds by one that blows up.
pub(super) const REGEX_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting: parsing and compiling recurse, and nobody reads deeper ones.
const NESTING_MAX: u32 = 50;
/// Bytes of the search cache that each compiled expression may fill.
const CACHE_BYTES_MAX: usize = 64 << 10;
/// Prefix literals looked at: enough for any hand-written alternation.
const LITERALS_MAX: usize = 64;

/// A compiled regular expression.
#[derive(Clone)]
pub(super) struct Pattern {
    regex: Box<meta::Regex>,
    text: String,
    prefix: String,
    shortest: usize,
    may_be_void: bool,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let hir = parse(text)?;
        let prefix = text_of(&prefix(&hir));
        let shortest = hir.properties().minimum_len().unwrap_or(0);
        // Only an empty class or an assertion in the wrong place keeps every path out.
        let may_be_void =
            hir.properties().minimum_len().is_none() || !hir.properties().look_set().is_empty();
        let regex = Box::new(compile(hir, true, REGEX_BYTES_MAX)?);
        Ok(Self { regex, text: text.to_string(), prefix, shortest, may_be_void })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Bytes of the shortest text it accepts, or less.
    pub(super) fn shortest(&self) -> usize {
        self.shortest
    }

    /// Whether it could be that it accepts nothing at all.
    pub(super) fn may_be_void(&self) -> bool {
        self.may_be_void
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        text.starts_with(&self.prefix)
            && self.regex.is_match(Input::new(text).anchored(Anchored::Yes))
    }
}

/// The expression of a matcher as a tree, or where and why it is none.
pub(super) fn parse(text: &str) -> Result<Hir, Refusal> {
    tree(text, true).map_err(|(at, why)| {
        (
            at,
            format!(
                "{why}, in this regular expression; `glob:` or `exact:` in front takes it as that"
            ),
        )
    })
}

/// An expression as a tree, over texts or over any bytes, or where and why it is none.
pub(crate) fn tree(text: &str, utf8: bool) -> Result<Hir, Refusal> {
    let mut parser = regex_syntax::ParserBuilder::new();
    let parsed = parser.nest_limit(NESTING_MAX).utf8(utf8).build().parse(text);
    parsed.map_err(|error| {
        let (offset, why) = match &error {
            regex_syntax::Error::Parse(error) => {
                (Some(error.span().start.offset), error.kind().to_string())
            }
            regex_syntax::Error::Translate(error) => {
                (Some(error.span().start.offset), error.kind().to_string())
            }
            other => (None, other.to_string()),
        };
        let at = offset.and_then(|offset| text.get(..offset)).map(|before| before.chars().count());
        (at, why)
    })
}

/// Compiles an expression that has to match the whole of a text, or of any bytes, into at most so many
/// bytes.
pub(crate) fn compile(hir: Hir, utf8: bool, bytes_max: usize) -> Result<meta::Regex, Refusal> {
    let config = meta::Config::new()
        .nfa_size_limit(Some(bytes_max))
        .which_captures(WhichCaptures::None)
        .onepass(false)
        .utf8_empty(utf8)
        .hybrid_cache_capacity(CACHE_BYTES_MAX);
    let built = meta::Builder::new().configure(config).build_from_hir(&whole(hir));
    built.map_err(|error| (None, explain(&error, bytes_max)))
}

/// The same expression, tied to both ends of the path.
pub(super) fn whole(hir: Hir) -> Hir {
    Hir::concat([Hir::look(Look::Start), hir, Hir::look(Look::End)].into())
}

/// What everything that the expression matches begins with.
pub(crate) fn prefix(hir: &Hir) -> Vec<u8> {
    let mut extractor = Extractor::new();
    extractor.limit_total(LITERALS_MAX).limit_literal_len(KEY_MAX);
    let literals = extractor.extract(hir);
    literals.longest_common_prefix().unwrap_or_default().to_vec()
}

/// As much of it as is text.
fn text_of(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(error) => String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned(),
    }
}

fn explain(error: &meta::BuildError, bytes_max: usize) -> String {
    match error.size_limit() {
        Some(_) => {
            format!("compiled, it would take more than {bytes_max} bytes; use smaller repetitions")
        }
        None => format!("it does not compile: {error}"),
    }
}
