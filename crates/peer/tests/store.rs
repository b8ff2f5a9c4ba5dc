//! The store on disk and its directory, against the contract and against real failures.

use std::path::Path;

use tidings::store::{AnyStore, Directory, FjallStore, StoreConfig};
use tidings_core::store::{MemoryStore, contract};

fn open(path: &Path) -> FjallStore {
    FjallStore::open(&Directory::open(path).unwrap(), &StoreConfig::default()).unwrap()
}

/// The store on disk keeps every law of the contract, in a fresh directory each time.
#[test]
fn the_contract_holds_on_disk() {
    let parent = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    contract::check(|| {
        count.set(count.get() + 1);
        open(&parent.path().join(count.get().to_string()))
    });
}

/// What was committed is there after closing and opening, in order.
#[test]
fn the_contract_holds_across_reopening() {
    let parent = tempfile::tempdir().unwrap();
    contract::check_reopening(|| open(parent.path()));
}

/// The store that a peer holds keeps the contract as either kind.
#[test]
fn the_contract_holds_behind_the_choice() {
    let parent = tempfile::tempdir().unwrap();
    contract::check(|| AnyStore::Memory(MemoryStore::new()));
    contract::check_reopening(|| AnyStore::Fjall(open(parent.path())));
}
