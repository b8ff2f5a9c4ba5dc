//! Definitions that change under way, and what they must be in the end.

use std::collections::BTreeMap;

use tidings_core::definition::{Definition, Replication};
use tidings_core::record::Record;
use tidings_core::rows::stored_key;
use tidings_core::stamp::Stamp;

use crate::faults::{Act, Change};
use crate::world::World;

/// The path of the database that holds the definitions.
const PATH: &str = "_tidings/definitions";

/// What users said of a definition.
#[derive(Debug)]
pub(crate) struct Defined {
    /// What they said last, or before they removed it.
    definition: Definition,
    /// Whether they removed it.
    removed: bool,
    /// Whether a call failed that may have stored what it was to store.
    unsure: bool,
    /// Everything that they ever said; `None`: that it is removed.
    said: Vec<Option<Definition>>,
    /// The greatest stamp of what they said, where it was stored, and what it says.
    last: Option<(Stamp, Option<Definition>)>,
}

impl World {
    /// What users want before the run: the definitions of the scenario.
    pub(crate) fn define_all(&mut self) {
        let all = self.scenario.definitions.iter().map(|definition| {
            let (said, last) = (vec![Some(definition.clone())], None);
            let defined = Defined {
                definition: definition.clone(),
                removed: false,
                unsure: false,
                said,
                last,
            };
            (definition.name.clone(), defined)
        });
        self.defined = all.collect();
    }

    /// A peer that starts applies the definitions as they are wanted by now.
    pub(crate) fn apply_all(&mut self, index: usize) {
        let wanted: Vec<Definition> = self
            .defined
            .values()
            .filter(|defined| !defined.removed)
            .map(|defined| defined.definition.clone())
            .collect();
        match self.call(index, |node, now| node.apply(&wanted, now)) {
            Some(Err(error)) if !super::is_planned(&error) => {
                self.checker.broke("14 no defects", error.to_string());
            }
            Some(Ok(_)) => {
                for definition in wanted {
                    self.note_defined(index, &definition.name.clone(), Some(definition));
                }
            }
            _ => {}
        }
    }

    /// A user changes a definition, or applies it again.
    pub(super) fn redefine(&mut self, index: usize, change: &Change) {
        let Some(known) = self.defined.get(&change.definition) else { return };
        let (min, max) = change.copies;
        let replication = Replication { min, max };
        let size = change.size;
        self.apply_one(index, Definition { replication, size, ..known.definition.clone() });
    }

    /// A user removes a definition, and after a while another one applies it again.
    pub(super) fn undefine(&mut self, index: usize, name: &str, lasts: Option<u64>) {
        if !self.defined.contains_key(name) {
            return;
        }
        let Some(index) = self.someone_from(index) else { return };
        self.note_unseen(index, name);
        match self.call(index, |node, now| node.remove_definition(name, now)) {
            Some(Ok(true)) => {
                self.sometimes.saw("definition removed");
                self.note_defined(index, name, None);
                self.end_after(lasts, Act::Define(name.into(), index + 1));
            }
            // Where the peer was killed in the middle of it, nobody can say either.
            Some(Err(_)) | None => self.note_unsure(name, None),
            Some(Ok(false)) => {}
        }
    }

    pub(super) fn define_again(&mut self, name: &str, index: usize) {
        let Some(known) = self.defined.get(name).filter(|known| known.removed) else { return };
        if !self.faults.stopped {
            self.apply_one(index, known.definition.clone());
        }
    }

    fn apply_one(&mut self, index: usize, definition: Definition) {
        let Some(index) = self.someone_from(index) else { return };
        let name = definition.name.clone();
        self.note_unseen(index, &name);
        let one = std::slice::from_ref(&definition);
        match self.call(index, |node, now| node.apply(one, now)) {
            Some(Ok(_)) => self.note_defined(index, &name, Some(definition)),
            Some(Err(_)) | None => self.note_unsure(&name, Some(definition)),
        }
    }

    /// A call failed, perhaps after it had stored what it was to store.
    fn note_unsure(&mut self, name: &str, definition: Option<Definition>) {
        if let Some(known) = self.defined.get_mut(name) {
            known.unsure = true;
            known.said.push(definition);
        }
    }

    /// A peer that users can ask: this one, or the next.
    fn someone_from(&self, index: usize) -> Option<usize> {
        let count = self.processes.len();
        let mut peers = (0..count).map(|step| (index + step) % count);
        peers.find(|peer| {
            self.processes[*peer].is_awake(self.now) && !self.processes[*peer].stopping
        })
    }

    /// Counts changes by a peer that has not heard of the one before.
    fn note_unseen(&mut self, index: usize, name: &str) {
        let Some(node) = &self.processes[index].node else { return };
        let has = node.definitions().into_iter().find(|definition| definition.name == name);
        let known = self.defined.get(name);
        let last = known.and_then(|known| known.said.last()).cloned().flatten();
        if has != last {
            self.sometimes.saw("definition changed unseen");
        }
    }

    /// Notes what a user said, and under which stamp it is stored.
    fn note_defined(&mut self, index: usize, name: &str, definition: Option<Definition>) {
        self.refresh_looks();
        let copies = self.looks.disk(index);
        let copy = copies.and_then(|disk| disk.iter().find(|(_, copy)| copy.path == PATH));
        let key = stored_key(name.as_bytes());
        let record = copy.and_then(|(_, copy)| copy.record(&key));
        let stamp = record.filter(|record| record.is_live() == definition.is_some());
        let stamp = stamp.map(Record::stamp);
        let Some(known) = self.defined.get_mut(name) else { return };
        known.removed = definition.is_none();
        if let Some(definition) = &definition {
            known.definition = definition.clone();
        }
        if let Some(stamp) = stamp
            && known.last.as_ref().is_none_or(|(last, _)| *last < stamp)
        {
            known.last = Some((stamp, definition.clone()));
        }
        if known.said.last() != Some(&definition) {
            known.said.push(definition);
        }
    }

    /// 3: in the end all peers have the same definitions, each is one that users asked for, and, where
    /// no disk lost anything, it is the one that was stored last.
    pub(crate) fn check_definitions(&mut self) {
        let mut first: Option<(usize, BTreeMap<String, Definition>)> = None;
        let mut broke = None;
        let intact = self.losses == 0 && self.processes.iter().all(|process| !process.dead);
        for (index, process) in self.processes.iter().enumerate() {
            let Some(node) = &process.node else { continue };
            let named = node.definitions().into_iter().map(|found| (found.name.clone(), found));
            let own: BTreeMap<String, Definition> = named.collect();
            for name in own.keys().filter(|name| !self.defined.contains_key(*name)) {
                broke = Some(format!("peer {index} has a definition {name:?}, of nobody"));
            }
            for (name, known) in &self.defined {
                let found = own.get(name).cloned();
                // Where disks were lost, it may never have been applied.
                if !known.said.contains(&found) && (found.is_some() || intact) {
                    broke = Some(format!("peer {index} has {found:?}, which nobody said"));
                }
                if let Some((_, last)) = known.last.as_ref().filter(|_| intact && !known.unsure)
                    && *last != found
                {
                    broke = Some(format!("peer {index} has {found:?}, the last one is {last:?}"));
                }
            }
            match &first {
                None => first = Some((index, own)),
                Some((other, theirs)) if *theirs != own => {
                    broke = Some(format!("peers {other} and {index}: {theirs:?} and {own:?}"));
                }
                Some(_) => {}
            }
        }
        if let Some(what) = broke {
            self.checker.broke("3 definitions", what);
        }
    }
}
