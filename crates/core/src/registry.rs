//! The registry: every definition that this peer knows, with its matcher parsed, and the question
//! that each open asks of it: which definition governs this path?
//!
//! Of all definitions whose matcher accepts the path, the first wins by: greatest priority; exact
//! before glob before regex; longest literal prefix; smallest name, byte by byte. The names are
//! unique, so every peer that knows the same definitions answers the same.
//!
//! Definitions are found by the literal prefix of their matcher, so that an open looks only at
//! those that share the beginning of its path, however many there are.

mod advice;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Reverse;

use crate::definition::Definition;
use crate::error::Error;
use crate::limits::DEFINITIONS_MAX;
use crate::matcher::{Kind, Matcher};
use crate::name::Path;

/// A set of definitions with unique names.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// By name.
    entries: BTreeMap<String, Entry>,
    /// Literal prefix → names.
    by_prefix: BTreeMap<String, BTreeSet<String>>,
    /// Length of a literal prefix in bytes → how many different ones of that length there are.
    lengths: BTreeMap<usize, usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    definition: Arc<Definition>,
    matcher: Matcher,
}

/// What decides between definitions that accept the same path; the least wins.
type Rank<'a> = (Reverse<i32>, Kind, Reverse<usize>, &'a str);

impl Entry {
    fn new(definition: Definition) -> Result<Self, Error> {
        Ok(Self { matcher: definition.compile()?, definition: Arc::new(definition) })
    }

    fn rank(&self) -> Rank<'_> {
        (
            Reverse(self.definition.priority),
            self.matcher.kind(),
            Reverse(self.matcher.literal_prefix().len()),
            &self.definition.name,
        )
    }
}

impl Registry {
    /// A registry without definitions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a definition, or puts it in the place of the one with its name, which is returned.
    ///
    /// # Errors
    /// [`Error::BadDefinition`] when it breaks a rule or when there are [`DEFINITIONS_MAX`]
    /// already; the one that had its name stays.
    pub fn insert(&mut self, definition: Definition) -> Result<Option<Definition>, Error> {
        let entry = Entry::new(definition)?;
        let name = entry.definition.name.clone();
        if self.entries.len() >= DEFINITIONS_MAX && !self.entries.contains_key(&name) {
            let why = format!(
                "there are {} definitions, at most {DEFINITIONS_MAX} are allowed; remove one, \
                 or let one matcher accept what several accept now",
                self.entries.len()
            );
            return Err(Error::BadDefinition { name, why });
        }
        let former = self.remove(&name);
        let prefix = entry.matcher.literal_prefix();
        if !self.by_prefix.contains_key(prefix) {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        self.by_prefix.entry(prefix.into()).or_default().insert(name.clone());
        self.entries.insert(name, entry);
        Ok(former)
    }

    /// Removes a definition and returns it; `None` when there is none of that name.
    pub fn remove(&mut self, name: &str) -> Option<Definition> {
        let entry = self.entries.remove(name)?;
        let prefix = entry.matcher.literal_prefix();
        if let Some(names) = self.by_prefix.get_mut(prefix) {
            names.remove(name);
            if names.is_empty() {
                self.by_prefix.remove(prefix);
                if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&prefix.len());
                    }
                }
            }
        }
        Some(Arc::unwrap_or_clone(entry.definition))
    }

    /// The definition of this name.
    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.entries.get(name).map(|entry| &*entry.definition)
    }

    /// The parsed matcher of the definition of this name.
    pub fn matcher(&self, name: &str) -> Option<&Matcher> {
        self.entries.get(name).map(|entry| &entry.matcher)
    }

    /// Every definition, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.entries.values().map(|entry| &*entry.definition)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The definition that governs a path; `None` when no matcher accepts it. The reserved paths
    /// of tidings itself are governed by no definition.
    pub fn resolve(&self, path: &Path) -> Option<&Arc<Definition>> {
        if path.is_system() {
            return None;
        }
        let text = path.as_str();
        let mut best: Option<&Entry> = None;
        for (&length, _) in self.lengths.range(..=text.len()) {
            let names = text.get(..length).and_then(|prefix| self.by_prefix.get(prefix));
            for entry in names.into_iter().flatten().filter_map(|name| self.entries.get(name)) {
                let ahead = best.is_none_or(|best| entry.rank() < best.rank());
                if ahead && entry.matcher.matches(path) {
                    best = Some(entry);
                }
            }
        }
        best.map(|entry| &entry.definition)
    }
}

#[cfg(test)]
mod tests;
