//! How a state lies on disk: what changes with every write in one row, what seldom does in another.
//!
//! Each start of a peer adds an epoch to the vector of every database that it then writes to, and few of
//! them ever change again. So the row that is written with every commit names only the epochs that stand
//! otherwise than in the base, a row of its own, which is written anew once those are too many.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::{Replica, State};
use crate::ident::Epoch;
use crate::outline::Outline;
use crate::planted::{Planted, planted};
use crate::record::Fingerprint;
use crate::rows::{self, Prefix, Transaction};
use crate::store::{Space, StoreError};
use crate::vector::Vector;
use crate::wire;

/// Most epochs in a state row, of the vector and the floor together, that stand otherwise than in the base.
pub const HOT_MAX: usize = 16;

/// The vector and the floor as they once were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Which base it is of this copy, from 1 on.
    pub mark: u64,
    /// The vector.
    pub vector: Vector,
    /// The floor.
    pub floor: Vector,
}

/// The row that every commit writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRow {
    /// The mark of the base; 0: there is none.
    pub base: u64,
    /// The state. Its vector and its floor have only what stands otherwise than in the base.
    pub state: State,
}

/// A state, and the base that its row is written against.
#[derive(Debug, Default)]
pub struct Stored {
    /// The state, whole.
    pub state: State,
    pub(super) base: Option<Box<Base>>,
}

impl From<State> for Stored {
    fn from(state: State) -> Self {
        Self { state, base: None }
    }
}

impl Stored {
    /// Reads the state of a copy with this local number, by what `get` finds under the keys of the meta
    /// space. Where a row is gone, nothing is known.
    ///
    /// # Errors
    /// When a row cannot be read or is damaged.
    pub fn read<B: AsRef<[u8]>>(
        prefix: Prefix,
        get: impl Fn(&[u8]) -> Result<Option<B>, StoreError>,
    ) -> Result<Self, StoreError> {
        let damaged = |_| StoreError::corrupt("the state of a copy");
        let Some(row) = get(&rows::state_key(prefix))? else { return Ok(Self::default()) };
        let StateRow { base: mark, mut state } = wire::decode(row.as_ref()).map_err(damaged)?;
        if mark == 0 {
            return Ok(Self { state, base: None });
        }
        let Some(row) = get(&rows::base_key(prefix))? else { return Ok(Self::default()) };
        let base: Base = wire::decode(row.as_ref()).map_err(damaged)?;
        if base.mark != mark {
            return Ok(Self::default());
        }
        if !planted(Planted::BaseIgnored) {
            state.progress.vector.merge(&base.vector);
            state.floor.merge(&base.floor);
        }
        Ok(Self { state, base: Some(Box::new(base)) })
    }
}

impl Replica {
    /// The vector without what is of starts long ago, but for its sum; `None` where little would be left
    /// out. What stands otherwise than in the base is named, and these epochs, whose peers are alive.
    pub fn outline(
        &self,
        live: impl IntoIterator<Item = Epoch>,
        fingerprint: &Fingerprint,
    ) -> Option<Outline> {
        let vector = &self.state.progress.vector;
        let mut named = vector.unlike(&self.base.as_deref()?.vector)?;
        for epoch in live {
            named.raise(epoch, vector.get(epoch));
        }
        Outline::part(vector, named, fingerprint)
    }
}

impl State {
    /// Stages its rows.
    pub(super) fn stage(
        &mut self,
        transaction: &mut Transaction,
        prefix: Prefix,
        base: &mut Option<Box<Base>>,
    ) {
        let (vector, floor) = (&self.progress.vector, &self.floor);
        let nothing = Base::default();
        let own = base.as_deref().unwrap_or(&nothing);
        let hot = vector.unlike(&own.vector).zip(floor.unlike(&own.floor));
        let hot = hot.filter(|(vector, floor)| vector.len() + floor.len() <= HOT_MAX);
        let (vector, floor) = hot.unwrap_or_else(|| {
            let base = base.get_or_insert_default();
            // 0 means that there is none.
            let mark = base.mark.checked_add(1).unwrap_or(1);
            **base = Base { mark, vector: vector.clone(), floor: floor.clone() };
            transaction.put(Space::Meta, rows::base_key(prefix), wire::encode(&**base));
            Default::default()
        });
        let whole = (
            core::mem::replace(&mut self.progress.vector, vector),
            core::mem::replace(&mut self.floor, floor),
        );
        let row = (base.as_ref().map_or(0, |base| base.mark), &*self);
        transaction.put(Space::Meta, rows::state_key(prefix), wire::encode(&row));
        (self.progress.vector, self.floor) = whole;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::store::MemoryStore;
    use crate::store::Read as _;

    const PREFIX: Prefix = 3;

    fn commit(store: &MemoryStore, state: &mut State, base: &mut Option<Box<Base>>) -> usize {
        let mut transaction = Transaction::default();
        state.stage(&mut transaction, PREFIX, base);
        let batch = transaction.into_batch();
        let bytes = batch.writes.iter().map(|(.., value)| value.as_ref().map_or(0, Vec::len)).sum();
        crate::store::Store::commit(store, batch).unwrap();
        bytes
    }

    fn read(store: &MemoryStore) -> Stored {
        Stored::read(PREFIX, |key| store.get(Space::Meta, key)).unwrap()
    }

    /// What is read is what was staged, at any number of epochs, and most commits are small.
    #[test]
    fn a_state_comes_back_whole_and_costs_little() {
        let store = MemoryStore::default();
        let (mut state, mut base) = (State::default(), None);
        let mut large = 0;
        for n in 1..=1_000_u128 {
            // Sequences of an earlier epoch, of a new one, and a floor that follows.
            state.progress.vector.raise(Epoch(n / 2), n as u64);
            state.progress.vector.raise(Epoch(n), 1);
            state.floor.raise(Epoch(n / 3), 1);
            state.counts.bytes += 1;
            large += usize::from(commit(&store, &mut state, &mut base) > 64 + 20 * HOT_MAX);
            let found = read(&store);
            assert_eq!(found.state, state);
            assert_eq!(found.base, base);
        }
        assert!(large < 1_000 / 4, "{large} of 1000 commits wrote the base");
        let (mut again, mut base) = (read(&store).state, read(&store).base);
        again.progress.vector.raise(Epoch(7), 5_000);
        commit(&store, &mut again, &mut base);
        assert_eq!(read(&store).state, again);
    }

    /// Without its base a state says nothing, rather than too little.
    #[test]
    fn a_lost_base_is_noticed() {
        let store = MemoryStore::default();
        let (mut state, mut base) = (State::default(), None);
        for n in 1..=100 {
            state.progress.vector.raise(Epoch(n), 1);
            commit(&store, &mut state, &mut base);
        }
        let mut transaction = Transaction::default();
        transaction.remove(Space::Meta, rows::base_key(PREFIX));
        crate::store::Store::commit(&store, transaction.into_batch()).unwrap();
        assert_eq!(read(&store).state, State::default());
    }
}
