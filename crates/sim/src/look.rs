//! What lies on a disk, read by the checkers without the help of a node.

use std::collections::BTreeMap;

use tidings_core::ident::DatabaseId;
use tidings_core::record::Record;
use tidings_core::replica::{Replica, State, decode_record};
use tidings_core::rows::{self, Interned};
use tidings_core::store::{Read, Space, StoreError, prefix_rows};
use tidings_core::wire;

use crate::trace::Trace;

/// One copy of one database, as it is stored.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its path.
    pub path: String,
    /// Its local number.
    pub prefix: rows::Prefix,
    /// What is stored beside the rows.
    pub state: State,
    /// Its rows: stored keys and records.
    pub rows: BTreeMap<Vec<u8>, Record>,
    /// Whether the log names every row by its dot, and nothing else.
    pub log_fits: bool,
    /// Hash over all rows.
    pub canonical: u64,
}

impl Copy {
    /// The copy as the core has it, for recomputing what is derived.
    pub fn replica(&self, id: DatabaseId) -> Replica {
        Replica::new(id, self.prefix, self.path.as_str().into(), self.state.clone())
    }
}

/// Every copy on a disk.
pub type Copies = BTreeMap<DatabaseId, Copy>;

/// Reads every copy.
///
/// # Errors
/// When a row is damaged.
pub fn copies(read: &impl Read) -> Result<Copies, StoreError> {
    let mut copies = Copies::new();
    for row in prefix_rows(read, Space::Meta, b"d") {
        let (key, bytes) = row?;
        let damaged = |_| StoreError::corrupt("the row that interns a database");
        let id = <[u8; 16]>::try_from(&key[1..]).map(DatabaseId);
        let id = id.map_err(|_| StoreError::corrupt("the id of a database"))?;
        let Interned { prefix, path } = wire::decode(&bytes).map_err(damaged)?;
        let state = match read.get(Space::Meta, &rows::state_key(prefix))? {
            Some(bytes) => wire::decode(&bytes)
                .map_err(|_| StoreError::corrupt("the state row of a database"))?,
            None => State::default(),
        };
        let mut found = BTreeMap::new();
        let mut canonical = Trace::default();
        for row in prefix_rows(read, Space::Data, &prefix.to_be_bytes()) {
            let (key, bytes) = row?;
            canonical.bytes(&key[4..]);
            canonical.bytes(&bytes);
            found.insert(key[4..].to_vec(), decode_record(&bytes)?);
        }
        let canonical = canonical.value();
        let mut named = 0;
        let mut log_fits = true;
        for row in prefix_rows(read, Space::Log, &prefix.to_be_bytes()) {
            let (key, stored) = row?;
            let row = found.get(&stored);
            log_fits &=
                row.is_some_and(|record: &Record| rows::log_key(prefix, record.dot()) == key);
            named += 1;
        }
        log_fits &= named == found.len();
        copies.insert(id, Copy { path, prefix, state, rows: found, log_fits, canonical });
    }
    Ok(copies)
}

/// The prefixes of the system databases: rows of all spaces begin with them.
pub fn system_prefixes(read: &impl Read) -> Vec<Vec<u8>> {
    let interned = prefix_rows(read, Space::Meta, b"d").filter_map(Result::ok);
    interned
        .filter_map(|(_, bytes)| wire::decode::<Interned>(&bytes).ok())
        .filter(|interned| interned.path.starts_with("_tidings/"))
        .map(|interned| interned.prefix.to_be_bytes().to_vec())
        .collect()
}
