//! Can two matchers accept a same path? Both are run in step, over all paths at once: a
//! breadth-first walk through the product of their automata, which finds a shortest such path.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Anchored, Input};

use super::pattern::{self, REGEX_BYTES_MAX};
use super::{Matcher, Program};
use crate::limits::PATH_MAX;
use crate::name::Path;

/// Most pairs of states that are looked at before giving up: milliseconds of work.
const PAIRS_MAX: usize = 4096;
/// Bytes that one automaton may take while it is walked.
const CACHE_BYTES_MAX: usize = 8 << 20;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// No path is accepted by both.
    Never,
    /// This path is.
    Both(Path),
    /// The walk was given up: nothing is proven.
    Unknown,
}

impl Overlap {
    /// Whether the literal prefixes alone leave it open; cheap.
    pub(crate) fn is_conceivable(a: &Matcher, b: &Matcher) -> bool {
        let (x, y) = (a.literal_prefix(), b.literal_prefix());
        x.starts_with(y) || y.starts_with(x)
    }

    /// Compares two matchers, their literal prefixes first. The automaton is that of `a`, kept for
    /// the next comparison.
    pub(crate) fn between(a: &Matcher, b: &Matcher, automaton: &mut Option<Automaton>) -> Self {
        if !Self::is_conceivable(a, b) {
            return Self::Never;
        }
        for (one, other) in [(a, b), (b, a)] {
            if let Program::Exact(path) = &one.program {
                return match Path::new(path) {
                    Ok(path) if other.matches(&path) => Self::Both(path),
                    _ => Self::Never,
                };
            }
        }
        if automaton.is_none() {
            *automaton = Automaton::of(a);
        }
        let (Some(own), Some(mut other)) = (automaton, Automaton::of(b)) else {
            return Self::Unknown;
        };
        match walk(own, &mut other) {
            Self::Both(path) if !(a.matches(&path) && b.matches(&path)) => Self::Unknown,
            answer => answer,
        }
    }
}

/// A matcher as a deterministic automaton that is built while it is walked.
pub(crate) struct Automaton {
    dfa: Box<DFA>,
    cache: Cache,
}

impl Automaton {
    /// The automaton of a matcher; `None` when it needs more memory than it may take.
    pub(crate) fn of(matcher: &Matcher) -> Option<Self> {
        let text = match &matcher.program {
            Program::Exact(path) => regex_syntax::escape(path),
            Program::Glob(glob) => glob.to_regex(),
            Program::Regex(pattern) => pattern.text().into(),
        };
        let hir = pattern::whole(pattern::parse(&text).ok()?);
        let limits = thompson::Config::new()
            .nfa_size_limit(Some(REGEX_BYTES_MAX))
            .which_captures(WhichCaptures::None);
        let nfa: NFA = thompson::Compiler::new().configure(limits).build_from_hir(&hir).ok()?;
        let config = Config::new()
            .unicode_word_boundary(true)
            .cache_capacity(CACHE_BYTES_MAX)
            .minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let cache = dfa.create_cache();
        Some(Self { dfa: Box::new(dfa), cache })
    }

    /// Whether it is certain that it accepts no path at all.
    pub(crate) fn is_void(&mut self) -> bool {
        let mut same = Self { dfa: self.dfa.clone(), cache: self.dfa.create_cache() };
        walk(self, &mut same) == Overlap::Never
    }

    fn start(&mut self) -> Option<LazyStateID> {
        let input = Input::new("").anchored(Anchored::Yes);
        self.dfa.start_state_forward(&mut self.cache, &input).ok()
    }

    fn next(&mut self, state: LazyStateID, byte: u8) -> Option<LazyStateID> {
        let next = self.dfa.next_state(&mut self.cache, state, byte).ok()?;
        (!next.is_quit()).then_some(next)
    }

    fn accepts(&mut self, state: LazyStateID) -> Option<bool> {
        Some(self.dfa.next_eoi_state(&mut self.cache, state).ok()?.is_match())
    }
}

/// Where the walk stands: both states, and whether the last byte opens a control character.
type Pair = (LazyStateID, LazyStateID, bool);

/// Each pair that was reached, with the step that first led to it and its depth.
type Reached = BTreeMap<Pair, (Option<(Pair, u8)>, usize)>;

/// The lead byte of U+0080 to U+00BF, whose first half are control characters.
const LATIN_LEAD: u8 = 0xC2;

fn walk(a: &mut Automaton, b: &mut Automaton) -> Overlap {
    let bytes = representatives(a, b);
    let (Some(x), Some(y)) = (a.start(), b.start()) else {
        return Overlap::Unknown;
    };
    let mut certain = true;
    let first: Pair = (x, y, false);
    let mut from = Reached::from([(first, (None, 0))]);
    let mut queue = VecDeque::from([first]);
    while let Some(pair) = queue.pop_front() {
        let depth = from.get(&pair).map_or(0, |(_, depth)| *depth);
        match (a.accepts(pair.0), b.accepts(pair.1)) {
            (Some(true), Some(true)) if depth > 0 => match spell(&from, pair) {
                Some(path) => return Overlap::Both(path),
                None => certain = false,
            },
            (Some(_), Some(_)) => {}
            _ => certain = false,
        }
        if depth == PATH_MAX {
            continue;
        }
        for &byte in &bytes {
            if pair.2 && byte < 0xA0 {
                continue;
            }
            let (Some(x), Some(y)) = (a.next(pair.0, byte), b.next(pair.1, byte)) else {
                certain = false;
                continue;
            };
            if x.is_dead() || y.is_dead() {
                continue;
            }
            let next = (x, y, byte == LATIN_LEAD);
            if from.contains_key(&next) {
                continue;
            }
            if from.len() == PAIRS_MAX {
                return Overlap::Unknown;
            }
            from.insert(next, (Some((pair, byte)), depth + 1));
            queue.push_back(next);
        }
    }
    if certain { Overlap::Never } else { Overlap::Unknown }
}

/// The path that leads to a pair; `None` when users may not open it.
fn spell(from: &Reached, mut pair: Pair) -> Option<Path> {
    let mut bytes = Vec::new();
    while let Some((Some((before, byte)), _)) = from.get(&pair) {
        bytes.push(*byte);
        pair = *before;
    }
    bytes.reverse();
    Path::new(&String::from_utf8(bytes).ok()?).ok()
}

/// One byte of each class that both automata treat alike, the most readable first; no control
/// characters.
fn representatives(a: &Automaton, b: &Automaton) -> Vec<u8> {
    let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain([b'/', b'-', b'_', b'.']);
    let all = readable.chain(b' '..=b'~').chain(0x80..=0xFF);
    let mut classes = BTreeSet::new();
    let mut bytes = Vec::new();
    for byte in all {
        let class = (
            a.dfa.byte_classes().get(byte),
            b.dfa.byte_classes().get(byte),
            byte == LATIN_LEAD,
            (0x80..0xA0).contains(&byte),
        );
        if classes.insert(class) {
            bytes.push(byte);
        }
    }
    bytes
}
