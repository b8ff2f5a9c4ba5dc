//! A peer on rows that are damaged, though they decode: it starts or refuses to, and does not panic.
//! Each of these was found by the fuzz target `stored`, or by looking for more of its kind.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod common;

use std::collections::BTreeMap;

use tidings_core::clock::{HybridClock, Now};
use tidings_core::definition::Definition;
use tidings_core::error::Error;
use tidings_core::ident::{Epoch, PeerId};
use tidings_core::interval::{Interval, Intervals};
use tidings_core::message::{Change, Write};
use tidings_core::name::Path;
use tidings_core::node::{Input, Node, Outcome, Submission};
use tidings_core::record::Payload;
use tidings_core::replica::{Base, Counts, State, StateRow};
use tidings_core::rows::{self, Interned, Prefix, stored_key};
use tidings_core::stamp::{TIME_CEILING, Time};
use tidings_core::store::{Batch, MemoryStore, Read, Space, Store, prefix_rows};
use tidings_core::vector::Vector;
use tidings_core::wire;

const NOW: Now = Now { monotonic: 0, wall: 1_750_000_000_000 };
const PATH: &str = "notes/ann";

fn start(store: &MemoryStore) -> Result<Node<MemoryStore>, Error> {
    let config = common::config(PeerId([0xaa; 32]));
    Node::new(config, store.clone(), [7; 32], NOW)
}

fn write(node: &mut Node<MemoryStore>, payload: Payload) -> Result<(), Error> {
    let writes = vec![Write { key: stored_key(b"k"), change: Change::Set(payload) }];
    let path = Path::new(PATH).unwrap();
    let (durability, acks, timeout, condition) = (None, 1, 0, None);
    let submission = Submission { path, writes, durability, acks, timeout, condition };
    match node.write(vec![submission], NOW).remove(0) {
        Outcome::Done(result) => result.map(drop),
        Outcome::Later(_) => Ok(()),
    }
}

/// The disk of a peer that wrote something and stopped, with some rows changed.
fn damaged(rows: Vec<(Vec<u8>, Vec<u8>)>) -> MemoryStore {
    let store = MemoryStore::new();
    let mut node = start(&store).unwrap();
    node.apply(&[Definition::new("notes", "notes/*", 1, 2)], NOW).unwrap();
    write(&mut node, Payload::Value(b"v".to_vec(), None)).unwrap();
    node.stop(NOW).unwrap();
    let mut batch = Batch::default();
    for (key, value) in rows {
        batch.put(Space::Meta, key, value);
    }
    store.commit(batch).unwrap();
    store
}

/// Where the copy of the user's database lies on every such disk.
fn place() -> (Vec<u8>, Prefix) {
    let store = damaged(Vec::new());
    let interned = prefix_rows(&store, Space::Meta, b"d").map(Result::unwrap);
    let mut interned = interned.map(|(key, row)| (key, wire::decode::<Interned>(&row).unwrap()));
    let (key, found) = interned.find(|(_, interned)| interned.path == PATH).unwrap();
    (key, found.prefix)
}

#[test]
fn a_clock_at_the_end_of_time_refuses_writes() {
    let store = damaged(vec![(rows::peer_key("clean"), wire::encode(&Time(u64::MAX)))]);
    let mut node = start(&store).unwrap();
    assert!(write(&mut node, Payload::Tombstone).is_err());
    node.handle(Input::Timer, Now { monotonic: 10_000_000, wall: NOW.wall + 10_000 });
    let mut clock = HybridClock::new(Time(u64::MAX));
    assert_eq!(clock.next(NOW.wall, None), None);
    assert!(clock.due_reservation().is_none());
    assert!(Time::from_millis(u64::MAX) > TIME_CEILING);
}

#[test]
fn the_last_local_number_is_not_used() {
    let (key, _) = place();
    let last = Interned { prefix: Prefix::MAX, path: PATH.into() };
    assert!(start(&damaged(vec![(key, wire::encode(&last))])).is_err());
    // Where the next one is noted to be the last, a new copy finds none.
    let noted = (rows::peer_key("prefix"), wire::encode(&Prefix::MAX));
    let mut node = start(&damaged(vec![noted])).unwrap();
    let writes = vec![Write { key: stored_key(b"k"), change: Change::Set(Payload::Tombstone) }];
    let path = Path::new("notes/bob").unwrap();
    let (durability, acks, timeout, condition) = (None, 1, 0, None);
    let submission = Submission { path, writes, durability, acks, timeout, condition };
    node.write(vec![submission], NOW);
    assert!(node.failure().is_some());
}

#[test]
fn counts_at_their_end_stay_there() {
    let (_, prefix) = place();
    let most = u64::MAX;
    let counts = Counts { entries: most, bytes: most, tombstones: most, expiring: most };
    let mut state = State { counts, ..State::default() };
    let many: Vec<Epoch> = (1..200).map(Epoch).collect();
    for epoch in &many {
        state.progress.vector.raise(*epoch, u64::MAX);
    }
    let row = StateRow { base: u64::MAX, state };
    let base = Base { mark: u64::MAX, vector: Vector::default(), floor: Vector::default() };
    let store = damaged(vec![
        (rows::state_key(prefix), wire::encode(&row)),
        (rows::base_key(prefix), wire::encode(&base)),
    ]);
    let mut node = start(&store).unwrap();
    for number in 0..3 {
        let _ = write(&mut node, Payload::Value(vec![number], None));
        let _ = write(&mut node, Payload::Tombstone);
    }
    drop(node.database_status(&Path::new(PATH).unwrap(), NOW));
    let base = store.get(Space::Meta, &rows::base_key(prefix)).unwrap().unwrap();
    assert_ne!(wire::decode::<Base>(&base).unwrap().mark, 0, "0 means that there is none");
}

#[test]
fn what_is_stored_as_intervals_is_a_set() {
    let epoch = Epoch(1);
    // One that is empty, one that ends before it begins, and two that touch.
    let stored: BTreeMap<(Epoch, u64), u64> =
        BTreeMap::from([((epoch, 1), 1), ((epoch, 5), 2), ((epoch, 6), 8), ((epoch, 8), 9)]);
    let read: Intervals = wire::decode(&wire::encode(&stored)).unwrap();
    assert_eq!(read.iter().collect::<Vec<_>>(), [Interval { epoch, from: 6, upto: 9 }]);
    assert_eq!(read.count(epoch), 3);
}

#[test]
fn vectors_that_are_far_ahead_are_counted() {
    let mut far = Vector::default();
    far.raise(Epoch(1), u64::MAX);
    far.raise(Epoch(2), u64::MAX);
    assert_eq!(far.ahead_of(&Vector::default()), u64::MAX);
}
