//! What is written with one commit leaves the same rows as what is written with one commit for each.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod common;

use std::ops::Bound;

use proptest::prelude::*;
use tidings_core::clock::Now;
use tidings_core::definition::Definition;
use tidings_core::ident::PeerId;
use tidings_core::message::{Change, Condition, Write, Written};
use tidings_core::name::Path;
use tidings_core::node::{Node, Outcome, Submission};
use tidings_core::record::Payload;
use tidings_core::rows::stored_key;
use tidings_core::store::{MemoryStore, Read, Row, Space};

const NOW: Now = Now { monotonic: 0, wall: 1_750_000_000_000 };

fn change() -> impl Strategy<Value = Change> {
    let expires = proptest::option::of(Just(NOW.wall + 60_000));
    prop_oneof![
        // Numbers, so that all of them can be counted on.
        4 => (0..20_u8, expires.clone()).prop_map(|(number, expires)| {
            Change::Set(Payload::Value(number.to_string().into_bytes(), expires))
        }),
        2 => Just(Change::Set(Payload::Tombstone)),
        3 => (-5..5_i64).prop_map(Change::Add),
    ]
}

fn submission() -> impl Strategy<Value = Submission> {
    let write = (0..3_u8, change())
        .prop_map(|(key, change)| Write { key: stored_key(&[b'a' + key]), change });
    let condition = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Condition::Absent)),
        1 => Just(Some(Condition::Present)),
    ];
    let path = prop_oneof![3 => Just("notes/ann"), 1 => Just("notes/bob")];
    (path, proptest::collection::vec(write, 1..4), condition).prop_map(
        |(path, writes, condition)| {
            let path = Path::new(path).unwrap();
            let (durability, acks, timeout) = (None, 1, 0);
            Submission { path, writes, durability, acks, timeout, condition }
        },
    )
}

fn start(store: &MemoryStore) -> Node<MemoryStore> {
    let config = common::config(PeerId([0xaa; 32]));
    let mut node = Node::new(config, store.clone(), [7; 32], NOW).unwrap();
    node.apply(&[Definition::new("notes", "notes/*", 1, 2)], NOW).unwrap();
    // A new copy is a write to the directory, which would have its stamp in between.
    for path in ["notes/ann", "notes/bob"] {
        let (path, durability, acks, timeout, condition) =
            (Path::new(path).unwrap(), None, 1, 0, None);
        let change = Change::Set(Payload::Tombstone);
        let writes = vec![Write { key: stored_key(b"first"), change }];
        let first = Submission { path, writes, durability, acks, timeout, condition };
        assert!(write(&mut node, &[first])[0].is_some());
    }
    node
}

fn write(node: &mut Node<MemoryStore>, submissions: &[Submission]) -> Vec<Option<Vec<Written>>> {
    let outcomes = node.write(submissions.to_vec(), NOW).into_iter();
    outcomes
        .map(|outcome| match outcome {
            Outcome::Done(written) => written.ok(),
            Outcome::Later(_) => panic!("nobody else is to be waited for"),
        })
        .collect()
}

fn rows(store: &MemoryStore) -> Vec<Vec<Row>> {
    let rows = |space| store.range(space, Bound::Unbounded, Bound::Unbounded);
    Space::ALL.map(|space| rows(space).map(Result::unwrap).collect()).into()
}

proptest! {
    /// Keys that are written again in the same commit, in any order of puts, deletes and increments, with
    /// conditions on what is not committed yet, beside rows of earlier commits.
    #[test]
    fn one_commit_comes_to_the_same_as_many(
        before in proptest::collection::vec(submission(), 0..3),
        together in proptest::collection::vec(submission(), 1..12),
    ) {
        let stores = [MemoryStore::new(), MemoryStore::new()];
        let [mut one, mut many] = stores.each_ref().map(start);
        for submission in &before {
            write(&mut one, std::slice::from_ref(submission));
            write(&mut many, std::slice::from_ref(submission));
        }
        let at_once = write(&mut one, &together);
        let in_turn: Vec<_> = together
            .iter()
            .flat_map(|submission| write(&mut many, std::slice::from_ref(submission)))
            .collect();
        prop_assert_eq!(at_once, in_turn);
        prop_assert_eq!(rows(&stores[0]), rows(&stores[1]));
    }
}
