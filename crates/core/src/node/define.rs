//! Definitions, as this peer's user changes them.

use alloc::string::String;
use alloc::vec::Vec;

use super::Node;
use crate::clock::Now;
use crate::definition::Definition;
use crate::error::Error;
use crate::ident::DatabaseId;
use crate::store::Store;

impl<S: Store> Node<S> {
    /// Looks up anew which definition a copy follows.
    pub(super) fn redefine(&mut self, id: DatabaseId) {
        let Some(path) = self.held.get(&id).map(|held| held.replica.path.clone()) else { return };
        let definition = self.definition_of(&path).cloned();
        if let Some(held) = self.held.get_mut(&id) {
            held.definition = definition;
        }
    }

    /// Creates or changes definitions in the cluster, all or none. Returns the names that were
    /// created, changed, and there already, and sentences about matchers that overlap.
    ///
    /// # Errors
    /// [`Error::BadDefinition`] for the first that is wrong, or [`Error::Cloned`]; nothing was changed.
    pub fn apply(
        &mut self,
        definitions: &[Definition],
        now: Now,
    ) -> Result<[Vec<String>; 4], Error> {
        self.alive()?;
        self.not_cloned()?;
        let [mut created, mut changed, mut unchanged, mut overlaps] = <[Vec<String>; 4]>::default();
        let mut writes = Vec::new();
        let mut after = self.registry.clone();
        for definition in definitions {
            after.remove(&definition.name);
        }
        for definition in definitions {
            let name = definition.name.clone();
            // Asked before it is one of them, so that each pair is told of once.
            overlaps.extend(after.overlaps(definition));
            after.insert(definition.clone())?;
            match self.registry.get(&name) {
                Some(known) if known == definition => {
                    unchanged.push(name);
                    continue;
                }
                Some(_) => changed.push(name),
                None => created.push(name),
            }
            writes.extend(self.directory.definition_write(&definition.name, Some(definition)));
        }
        let result = self.write_system(writes, now);
        self.finish(result, now);
        self.alive()?;
        Ok([created, changed, unchanged, overlaps])
    }

    /// Removes a definition. False: there was none.
    ///
    /// # Errors
    /// [`Error::Cloned`], or when the store fails.
    pub fn remove_definition(&mut self, name: &str, now: Now) -> Result<bool, Error> {
        self.alive()?;
        self.not_cloned()?;
        if self.registry.get(name).is_none() {
            return Ok(false);
        }
        let write = self.directory.definition_write(name, None);
        let result = self.write_system(write.into_iter().collect(), now);
        self.finish(result, now);
        self.alive().map(|()| true)
    }
}
