//! What a registry tells people: the matchers nearest to a path that none accepts, and the
//! definitions that share paths with a new one.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::{Entry, Registry};
use crate::definition::Definition;
use crate::matcher::Overlap;
use crate::name::Path;

/// Most overlaps that are described one by one: nobody reads more.
const OVERLAPS_SHOWN: usize = 32;
/// Most definitions that are compared in depth, at up to a few milliseconds each.
const COMPARED_MAX: usize = 256;

impl Registry {
    /// At most `most` definitions whose matchers look most like the path, as `name: matcher`.
    pub fn nearest(&self, path: &Path, most: usize) -> Vec<String> {
        let pairs = Pairs::of(path.as_str());
        let mut ranked: Vec<_> = self
            .entries
            .values()
            .map(|entry| (Reverse(pairs.likeness(entry.matcher.as_str())), entry))
            .collect();
        ranked.sort_by_key(|(likeness, entry)| (*likeness, &entry.definition.name));
        ranked.truncate(most);
        ranked
            .into_iter()
            .map(|(_, entry)| format!("{}: {}", entry.definition.name, entry.matcher))
            .collect()
    }

    /// One sentence for each other definition that can accept a path which this one accepts too:
    /// such a path, and which of the two wins it. The definition need not be in the registry; one
    /// of its name is left out.
    ///
    /// "can both accept" is proven by the path it shows; "may both accept" means that neither a
    /// shared path was found nor its absence proven, within bounded work. The list is bounded; a
    /// last sentence counts what it leaves out.
    pub fn overlaps(&self, definition: &Definition) -> Vec<String> {
        let own = match Entry::new(definition.clone()) {
            Ok(own) => own,
            Err(error) => return vec![format!("{error}")],
        };
        let mut automaton = None;
        let mut sentences = Vec::new();
        let (mut compared, mut left) = (0, 0);
        for other in self.entries.values() {
            if other.definition.name == definition.name
                || !Overlap::is_conceivable(&own.matcher, &other.matcher)
            {
                continue;
            }
            if compared == COMPARED_MAX || sentences.len() == OVERLAPS_SHOWN {
                left += 1;
                continue;
            }
            compared += 1;
            match Overlap::between(&own.matcher, &other.matcher, &mut automaton) {
                Overlap::Never => {}
                overlap => sentences.push(describe(&own, other, &overlap)),
            }
        }
        if left > 0 {
            sentences.push(format!(
                "{left} more definitions may share paths with it: their matchers begin alike and \
                 were not compared further."
            ));
        }
        sentences
    }
}

fn describe(own: &Entry, other: &Entry, overlap: &Overlap) -> String {
    let named = |entry: &Entry| {
        format!("{:?} ({} {})", entry.definition.name, entry.matcher.kind(), entry.matcher)
    };
    let accept = match overlap {
        Overlap::Both(path) => format!("can both accept the path {path}"),
        Overlap::Never | Overlap::Unknown => {
            "may both accept some path (it would take too long to find out)".into()
        }
    };
    let (winner, loser) = if own.rank() < other.rank() { (own, other) } else { (other, own) };
    format!(
        "{} and {} {accept}; where they do, {:?} wins: {}.",
        named(own),
        named(other),
        winner.definition.name,
        reason(winner, loser)
    )
}

/// The first rule by which one goes before the other.
fn reason(winner: &Entry, loser: &Entry) -> String {
    let (a, b) = (winner.rank(), loser.rank());
    if a.0 != b.0 {
        format!("priority {} is above {}", a.0.0, b.0.0)
    } else if a.1 != b.1 {
        format!("{} goes before {}", a.1, b.1)
    } else if a.2 != b.2 {
        format!("its literal prefix has {} bytes, the other's {}", a.2.0, b.2.0)
    } else {
        "its name comes first".into()
    }
}

/// The pairs of neighbouring bytes in a text, as a bit per possible pair.
struct Pairs {
    bits: Vec<u64>,
    count: usize,
}

impl Pairs {
    fn of(text: &str) -> Self {
        let mut bits = vec![0; (1 << 16) / 64];
        for pair in text.as_bytes().windows(2) {
            let index = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
            bits[index / 64] |= 1 << (index % 64);
        }
        Self { bits, count: text.len().saturating_sub(1) }
    }

    /// Share of common pairs, in thousandths (Dice's coefficient).
    fn likeness(&self, text: &str) -> usize {
        let common = text
            .as_bytes()
            .windows(2)
            .filter(|pair| {
                let index = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
                self.bits[index / 64] & (1 << (index % 64)) != 0
            })
            .count();
        2000 * common / (self.count + text.len()).max(1)
    }
}
