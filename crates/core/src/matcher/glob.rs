//! Globs: a short list of steps, run over a path as a nondeterministic automaton, so that no glob
//! takes more than path length × glob length.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::Refusal;

/// A compiled glob.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    steps: Vec<Step>,
    prefix: String,
    suffix: String,
}

/// One state of the automaton; the state behind the last step accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// This character.
    Literal(char),
    /// One character of the class.
    One(Class),
    /// Any number of characters of the class.
    Many(Class),
    /// The next so many steps, or none of them.
    Optional(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Anything but `/`.
    InSegment,
    /// Anything.
    Any,
}

impl Class {
    fn has(self, c: char) -> bool {
        self == Self::Any || c != '/'
    }
}

impl Glob {
    /// Reads a glob; refuses three stars in a row, which could mean several things.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(at) = text.find("***") {
            let why = "`***` means nothing: `*` stays in its segment, `**` crosses segments";
            return Err((Some(text[..at].chars().count()), why.to_string()));
        }
        let mut steps = Vec::new();
        let mut rest = text;
        let mut segment_starts = true;
        while let Some(c) = rest.chars().next() {
            if let Some(behind) = rest.strip_prefix("**/").filter(|_| segment_starts) {
                let whole_segments =
                    [Step::One(Class::Any), Step::Many(Class::Any), Step::Literal('/')];
                steps.push(Step::Optional(whole_segments.len()));
                steps.extend(whole_segments);
                rest = behind;
                continue;
            }
            if let Some(behind) = rest.strip_prefix("**") {
                steps.extend([Step::One(Class::Any), Step::Many(Class::Any)]);
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix('*') {
                steps.extend([Step::One(Class::InSegment), Step::Many(Class::InSegment)]);
                rest = behind;
            } else {
                steps.push(Step::Literal(c));
                rest = &rest[c.len_utf8()..];
            }
            segment_starts = c == '/';
        }
        let prefix = text.split('*').next().unwrap_or_default().to_string();
        let literal = |step: &Step| match step {
            Step::Literal(c) => Some(*c),
            _ => None,
        };
        // A literal behind an optional part may be skipped with it: stop before such parts.
        let trailing: Vec<char> = match steps.iter().rposition(|step| literal(step).is_none()) {
            Some(last) if matches!(steps[last], Step::Many(_)) && !ends_optional(&steps, last) => {
                steps[last + 1..].iter().filter_map(literal).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self { steps, prefix, suffix: trailing.into_iter().collect() })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Bytes of the shortest text it accepts.
    pub(super) fn shortest(&self) -> usize {
        let mut bytes = 0;
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            match step {
                Step::Literal(c) => bytes += c.len_utf8(),
                Step::One(_) => bytes += 1,
                Step::Many(_) => {}
                Step::Optional(skipped) => at += skipped,
            }
            at += 1;
        }
        bytes
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        text.starts_with(&self.prefix) && text.ends_with(&self.suffix) && self.run(text)
    }

    fn run(&self, text: &str) -> bool {
        let mut seen = vec![0; self.steps.len() + 1];
        let (mut active, mut next) = (Vec::new(), Vec::new());
        let mut round = 1;
        self.enter(0, round, &mut seen, &mut active);
        for c in text.chars() {
            round += 1;
            next.clear();
            for &at in &active {
                match self.steps.get(at) {
                    Some(Step::Literal(own)) if *own == c => {
                        self.enter(at + 1, round, &mut seen, &mut next);
                    }
                    Some(Step::One(class)) if class.has(c) => {
                        self.enter(at + 1, round, &mut seen, &mut next);
                    }
                    Some(Step::Many(class)) if class.has(c) => {
                        self.enter(at, round, &mut seen, &mut next);
                    }
                    _ => {}
                }
            }
            core::mem::swap(&mut active, &mut next);
            if active.is_empty() {
                return false;
            }
        }
        seen[self.steps.len()] == round
    }

    /// Makes a state active in this round, with those that need no further character.
    fn enter(&self, at: usize, round: u32, seen: &mut [u32], active: &mut Vec<usize>) {
        if seen[at] == round {
            return;
        }
        seen[at] = round;
        active.push(at);
        match self.steps.get(at) {
            Some(Step::Many(_)) => self.enter(at + 1, round, seen, active),
            Some(Step::Optional(skipped)) => {
                self.enter(at + 1, round, seen, active);
                self.enter(at + 1 + skipped, round, seen, active);
            }
            _ => {}
        }
    }

    /// The same language as a regular expression over the whole path.
    pub(super) fn to_regex(&self) -> String {
        self.write_regex("[^/]", "(?s:.)")
    }

    /// The same language over bytes, where a star stands for any of them, UTF-8 or not.
    pub(crate) fn to_bytes_regex(&self) -> String {
        self.write_regex("(?-u:[^/])", "(?s-u:.)")
    }

    /// The regular expression, with what stands for one of either class.
    fn write_regex(&self, in_segment: &str, any: &str) -> String {
        let one = |class| match class {
            Class::InSegment => in_segment,
            Class::Any => any,
        };
        let mut regex = String::new();
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            match step {
                Step::Literal(c) => regex += &regex_syntax::escape(c.encode_utf8(&mut [0; 4])),
                Step::One(class) => regex += one(*class),
                Step::Many(class) => {
                    regex += one(*class);
                    regex.push('*');
                }
                Step::Optional(skipped) => {
                    let inner = Self {
                        steps: self.steps[at + 1..=at + skipped].to_vec(),
                        prefix: String::new(),
                        suffix: String::new(),
                    };
                    regex += "(?:";
                    regex += &inner.write_regex(in_segment, any);
                    regex += ")?";
                    at += skipped;
                }
            }
            at += 1;
        }
        regex
    }
}

/// Whether the `Many` at this place belongs to an optional part.
fn ends_optional(steps: &[Step], many: usize) -> bool {
    many >= 2 && matches!(steps[many - 2], Step::Optional(_))
}
