//! The contract: what every [`Store`] promises, as one suite of checks.
//!
//! [`check`] runs every law against stores that a factory makes, each law on a fresh one.
//! [`check_reopening`] is for stores that persist: its factory opens the *same* store again.
//! A broken law panics with a sentence that names it. The suite is generic and knows nothing of
//! disks; faults are tested where they are made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test suite: a panic is how it reports, and it is compiled for tests only"
)]

extern crate std;

mod model;

use alloc::{format, sync::Arc, vec, vec::Vec};
use core::{
    ops::Bound,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Batch, Read, Row, Space, Store, is_empty_range, prefix_rows};
use crate::ident::Epoch;
use crate::rows::{data_key, stored_key, sum_key, sums_since};
use crate::stamp::{Stamp, Time};
use model::{Model, SplitMix, all, as_slice, collect, is_inside, keys, put};

/// The longest key that the product admits, with its prefix to spare.
const LONG_KEY_BYTES: usize = 1024 + 64;
/// The longest value that the product admits.
const LONG_VALUE_BYTES: usize = 8 * 1024 * 1024;

/// One end of a range.
type Edge<'a> = Bound<&'a [u8]>;

/// Runs every law that needs no reopening, each on a store of its own.
pub fn check<S: Store>(fresh: impl Fn() -> S) {
    rows_are_put_got_and_removed(&fresh());
    a_later_write_of_a_batch_wins(&fresh());
    spaces_are_separate(&fresh());
    ranges_honour_every_kind_of_bound(&fresh());
    empty_and_inverted_ranges_are_empty(&fresh());
    the_two_ends_of_a_scan_meet(&fresh());
    prefixes_end_where_they_should(&fresh());
    snapshots_do_not_change(&fresh());
    scans_do_not_change(&fresh());
    scans_outlive_their_handle(fresh());
    batches_become_visible_whole(&fresh());
    long_and_empty_rows_come_back(&fresh());
    handles_share_one_store(&fresh());
    sums_are_the_rows_of_their_range(&fresh());
    for seed in 0..8 {
        behaves_like_an_ordered_map(&fresh(), seed, 120);
    }
}

/// Sums of a counter are what a scan finds, whatever commits change between reads of them.
fn sums_are_the_rows_of_their_range(store: &impl Store) {
    let mut random = SplitMix(5);
    let counter = |number: u64| stored_key(&[b'a' + number as u8]);
    for round in 0..600 {
        let mut batch = Batch::default();
        for _ in 0..=random.below(3) {
            let first =
                Stamp { time: Time(random.below(6)), epoch: Epoch(random.below(80).into()) };
            let row = data_key(random.below(2) as u32, &sum_key(&counter(random.below(2)), first));
            match random.below(3) {
                0 => batch.remove(Space::Data, row),
                _ => batch.put(Space::Data, row, vec![random.below(256) as u8]),
            }
        }
        store.commit(batch).unwrap();
        for number in 0..4 {
            let since = Time(if round % 50 < 40 { 0 } else { random.below(6) });
            let (start, end) = sums_since(number as u32 % 2, &counter(number / 2), since);
            let (lower, upper) = (Bound::Included(&*start), Bound::Excluded(&*end));
            let scanned: Vec<Row> = collect(store.range(Space::Data, lower, upper));
            assert_eq!(store.sums(&start, &end), Ok(scanned), "round {round}");
        }
    }
}

/// Runs the laws of a store that persists; every call of `open` opens the same store, which must
/// be empty before the first one. A store is dropped before it is opened again.
pub fn check_reopening<S: Store>(open: impl Fn() -> S) {
    let mut model = Model::default();
    let mut random = SplitMix(1);
    for round in 0..6 {
        let store = open();
        model.compare(&store);
        for _ in 0..40 {
            let batch = random.batch();
            model.apply(&batch);
            store.commit(batch).unwrap();
        }
        if round % 2 == 0 {
            store.sync().unwrap();
        }
        model.compare(&store);
    }
    let store = open();
    model.compare(&store);
    let mut twice = Batch::default();
    twice.put(Space::Data, b"twice".to_vec(), b"first".to_vec());
    twice.remove(Space::Data, b"twice".to_vec());
    twice.put(Space::Data, b"twice".to_vec(), b"last".to_vec());
    twice.put(Space::Data, b"gone".to_vec(), b"first".to_vec());
    twice.remove(Space::Data, b"gone".to_vec());
    store.commit(twice).unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.get(Space::Data, b"twice"), Ok(Some(b"last".to_vec())));
    assert_eq!(store.get(Space::Data, b"gone"), Ok(None));
}

/// A row is absent, then what was put, then what was put over it, then absent again; removing an
/// absent row and committing nothing are fine.
pub fn rows_are_put_got_and_removed<S: Store>(store: &S) {
    assert_eq!(store.get(Space::Data, b"key"), Ok(None));
    put(store, Space::Data, b"key", b"one");
    assert_eq!(store.get(Space::Data, b"key"), Ok(Some(b"one".to_vec())));
    put(store, Space::Data, b"key", b"two");
    assert_eq!(store.get(Space::Data, b"key"), Ok(Some(b"two".to_vec())));
    assert_eq!(store.get(Space::Data, b"ke"), Ok(None));
    assert_eq!(store.get(Space::Data, b"key\0"), Ok(None));
    for _ in 0..2 {
        let mut batch = Batch::default();
        batch.remove(Space::Data, b"key".to_vec());
        store.commit(batch).unwrap();
        assert_eq!(store.get(Space::Data, b"key"), Ok(None));
    }
    store.commit(Batch::default()).unwrap();
    store.sync().unwrap();
    assert_eq!(keys(all(store, Space::Data)), Vec::<Vec<u8>>::new());
}

/// Where a batch names one row more than once, the last write decides: in every order of puts and
/// removes, over an absent and over a present row.
pub fn a_later_write_of_a_batch_wins<S: Store>(store: &S) {
    for present in [false, true] {
        for pattern in 0_u8..8 {
            let key = format!("row {present} {pattern}").into_bytes();
            if present {
                put(store, Space::Data, &key, b"before");
            }
            let mut batch = Batch::default();
            let mut expected = None;
            for step in 0..3 {
                expected = (pattern >> step & 1 == 1).then(|| vec![step]);
                batch.writes.push((Space::Data, key.clone(), expected.clone()));
                batch.put(Space::Log, vec![step], vec![step]);
            }
            store.commit(batch).unwrap();
            assert_eq!(store.get(Space::Data, &key), Ok(expected.clone()), "writes {pattern:03b}");
            let scanned = collect(prefix_rows(store, Space::Data, &key));
            assert_eq!(scanned.into_iter().next().map(|(_, value)| value), expected);
        }
    }
}

/// The same key names a different row in each space, for gets, scans and removes.
pub fn spaces_are_separate<S: Store>(store: &S) {
    for space in Space::ALL {
        put(store, space, b"key", space.name().as_bytes());
    }
    for space in Space::ALL {
        assert_eq!(store.get(space, b"key"), Ok(Some(space.name().into())));
        assert_eq!(all(store, space), vec![(b"key".to_vec(), space.name().into())]);
    }
    let mut batch = Batch::default();
    batch.remove(Space::Log, b"key".to_vec());
    store.commit(batch).unwrap();
    assert!(store.get(Space::Data, b"key").unwrap().is_some());
    assert_eq!(store.get(Space::Log, b"key"), Ok(None));
    assert!(store.get(Space::Meta, b"key").unwrap().is_some());
}

/// Every pair of bounds, between, on and beside the rows, gives exactly the rows between them,
/// ascending from the front and descending from the back.
pub fn ranges_honour_every_kind_of_bound<S: Store>(store: &S) {
    let names: [&[u8]; 5] = [b"b", b"b\0", b"bb", b"d", b"\xff\xff"];
    for name in names {
        put(store, Space::Data, name, name);
    }
    let edges: [&[u8]; 9] =
        [b"\0", b"a", b"b", b"b\0", b"bb", b"c", b"d", b"\xff\xff", b"\xff\xff\0"];
    let mut bounds = vec![Bound::Unbounded];
    bounds.extend(edges.map(Bound::Included));
    bounds.extend(edges.map(Bound::Excluded));
    for &start in &bounds {
        for &end in &bounds {
            let expected: Vec<Vec<u8>> = names
                .iter()
                .filter(|name| is_inside(name, start, end))
                .map(|name| name.to_vec())
                .collect();
            let forwards = keys(collect(store.range(Space::Data, start, end)));
            assert_eq!(forwards, expected, "{start:?} to {end:?}");
            let mut backwards: Vec<Row> =
                store.range(Space::Data, start, end).rev().map(Result::unwrap).collect();
            backwards.reverse();
            assert_eq!(keys(backwards), expected, "{start:?} to {end:?}, backwards");
        }
    }
}

/// A range that cannot hold a key is empty from both ends, and asking again stays empty.
pub fn empty_and_inverted_ranges_are_empty<S: Store>(store: &S) {
    for key in [b"a", b"b", b"c"] {
        put(store, Space::Data, key, b"value");
    }
    let ranges: [(Edge<'_>, Edge<'_>); 6] = [
        (Bound::Included(b"c"), Bound::Included(b"a")),
        (Bound::Excluded(b"c"), Bound::Excluded(b"a")),
        (Bound::Excluded(b"b"), Bound::Excluded(b"b")),
        (Bound::Included(b"b"), Bound::Excluded(b"b")),
        (Bound::Excluded(b"b"), Bound::Included(b"b")),
        (Bound::Unbounded, Bound::Excluded(b"")),
    ];
    for (start, end) in ranges {
        assert!(is_empty_range(start, end));
        for read in [store as &dyn Read, &store.snapshot()] {
            let mut rows = read.range(Space::Data, start, end);
            for _ in 0..2 {
                assert_eq!(rows.next(), None, "{start:?} to {end:?}");
                assert_eq!(rows.next_back(), None, "{start:?} to {end:?}");
            }
        }
    }
}

/// Rows drawn from both ends in any order are each handed out once, and the ends do not cross.
pub fn the_two_ends_of_a_scan_meet<S: Store>(store: &S) {
    let mut batch = Batch::default();
    for key in 0_u8..20 {
        batch.put(Space::Data, vec![key], vec![key]);
    }
    store.commit(batch).unwrap();
    let mut random = SplitMix(7);
    for _ in 0..20 {
        let mut rows = store.range(Space::Data, Bound::Included(&[3]), Bound::Excluded(&[15]));
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let from_the_end = random.below(2) == 0;
            let row = if from_the_end { rows.next_back() } else { rows.next() };
            let Some(row) = row else { break };
            if from_the_end { &mut back } else { &mut front }.push(row.unwrap().0[0]);
        }
        assert_eq!(rows.next(), None);
        assert_eq!(rows.next_back(), None);
        back.reverse();
        front.extend(back);
        assert_eq!(front, (3..15).collect::<Vec<u8>>());
    }
}

/// A prefix holds the keys that start with it and no others, at the very end of the space too.
pub fn prefixes_end_where_they_should<S: Store>(store: &S) {
    let names: [&[u8]; 8] =
        [b"a", b"a\xff", b"a\xff\xff", b"b", b"\xfe", b"\xff", b"\xff\xff", b"\xff\xff\0"];
    for name in names {
        put(store, Space::Meta, name, b"value");
    }
    let prefixes: [&[u8]; 7] = [b"", b"a", b"a\xff", b"b", b"\xfe", b"\xff", b"\xff\xff"];
    for prefix in prefixes {
        let expected: Vec<Vec<u8>> = names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .map(|name| name.to_vec())
            .collect();
        assert_eq!(keys(collect(prefix_rows(store, Space::Meta, prefix))), expected);
        assert_eq!(keys(collect(prefix_rows(&store.snapshot(), Space::Meta, prefix))), expected);
    }
}

/// A snapshot reads what was there when it was taken, whatever is put, changed and removed later,
/// and scans started on it late see the same.
pub fn snapshots_do_not_change<S: Store>(store: &S) {
    put(store, Space::Data, b"changed", b"old");
    put(store, Space::Data, b"removed", b"old");
    let snapshot = store.snapshot();
    let before = all(store, Space::Data);
    let mut batch = Batch::default();
    batch.put(Space::Data, b"changed".to_vec(), b"new".to_vec());
    batch.remove(Space::Data, b"removed".to_vec());
    batch.put(Space::Data, b"added".to_vec(), b"new".to_vec());
    store.commit(batch).unwrap();
    assert_eq!(snapshot.get(Space::Data, b"changed"), Ok(Some(b"old".to_vec())));
    assert_eq!(snapshot.get(Space::Data, b"removed"), Ok(Some(b"old".to_vec())));
    assert_eq!(snapshot.get(Space::Data, b"added"), Ok(None));
    assert_eq!(all(&snapshot, Space::Data), before);
    assert_eq!(store.get(Space::Data, b"changed"), Ok(Some(b"new".to_vec())));
    drop(snapshot);
    assert_eq!(keys(all(store, Space::Data)), [b"added".to_vec(), b"changed".to_vec()]);
}

/// A scan of the live store shows the moment of the call, though commits happen before its first
/// row and between its rows.
pub fn scans_do_not_change<S: Store>(store: &S) {
    let mut batch = Batch::default();
    for key in 0_u8..100 {
        batch.put(Space::Data, vec![key], b"old".to_vec());
    }
    store.commit(batch).unwrap();
    let before = all(store, Space::Data);
    let mut rows = store.range(Space::Data, Bound::Unbounded, Bound::Unbounded);
    let mut seen = Vec::new();
    for step in 0_u8..100 {
        let mut batch = Batch::default();
        batch.put(Space::Data, vec![99 - step], b"new".to_vec());
        batch.put(Space::Data, vec![step, 1], b"added".to_vec());
        batch.remove(Space::Data, vec![step.wrapping_mul(37) % 100]);
        store.commit(batch).unwrap();
        seen.push(rows.next().expect("a scan lost a row to a later commit").unwrap());
    }
    assert_eq!(rows.next(), None);
    assert_eq!(seen, before);
}

/// A scan and a snapshot stay readable after the handle they came from is gone.
pub fn scans_outlive_their_handle<S: Store>(store: S) {
    put(&store, Space::Data, b"key", b"value");
    let rows = store.range(Space::Data, Bound::Unbounded, Bound::Unbounded);
    let snapshot = store.snapshot();
    drop(store);
    assert_eq!(collect(rows), [(b"key".to_vec(), b"value".to_vec())]);
    assert_eq!(snapshot.get(Space::Data, b"key"), Ok(Some(b"value".to_vec())));
}

/// A reader in another thread sees all of a batch or none of it: in snapshots across spaces, in
/// scans, and in a get that follows a get.
pub fn batches_become_visible_whole<S: Store>(store: &S) {
    const ROWS: u8 = 10;
    let done = Arc::new(AtomicBool::new(false));
    let commit = |round: u64| {
        let mut batch = Batch::default();
        for space in Space::ALL {
            for row in 0..ROWS {
                batch.put(space, vec![row], round.to_be_bytes().to_vec());
            }
        }
        store.commit(batch).unwrap();
    };
    commit(0);
    let reader = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut rounds = 0_u64;
            while !done.load(Ordering::Relaxed) || rounds < 10 {
                rounds += 1;
                let snapshot = store.snapshot();
                let first = snapshot.get(Space::Data, &[0]).unwrap().unwrap();
                for space in Space::ALL {
                    let rows = all(&snapshot, space);
                    assert_eq!(rows.len(), usize::from(ROWS));
                    assert!(rows.iter().all(|row| row.1 == first), "a snapshot saw half a batch");
                }
                let rows = all(&store, Space::Log);
                assert!(rows.iter().all(|row| row.1 == rows[0].1), "a scan saw half a batch");
                let early = store.get(Space::Data, &[0]).unwrap().unwrap();
                let late = store.get(Space::Meta, &[ROWS - 1]).unwrap().unwrap();
                assert!(early <= late, "a get saw a batch that a later get did not");
            }
        })
    };
    for round in 1..2_000 {
        commit(round);
    }
    done.store(true, Ordering::Relaxed);
    reader.join().expect("the reader found a broken law, see above");
}

/// Values of no bytes are present, not absent, and rows of the greatest lengths come back whole.
pub fn long_and_empty_rows_come_back<S: Store>(store: &S) {
    let mut random = SplitMix(3);
    let mut batch = Batch::default();
    let long_key = random.bytes(LONG_KEY_BYTES);
    let long_value = random.bytes(LONG_VALUE_BYTES);
    batch.put(Space::Data, b"empty".to_vec(), Vec::new());
    batch.put(Space::Data, b"flat".to_vec(), vec![0; LONG_VALUE_BYTES]);
    batch.put(Space::Data, long_key.clone(), long_value.clone());
    store.commit(batch).unwrap();
    store.sync().unwrap();
    for read in [store as &dyn Read, &store.snapshot()] {
        assert_eq!(read.get(Space::Data, b"empty"), Ok(Some(Vec::new())));
        assert!(read.get(Space::Data, b"flat") == Ok(Some(vec![0; LONG_VALUE_BYTES])));
        assert!(read.get(Space::Data, &long_key) == Ok(Some(long_value.clone())));
        let rows = collect(read.range(Space::Data, Bound::Unbounded, Bound::Unbounded));
        let mut expected = vec![b"empty".to_vec(), b"flat".to_vec(), long_key.clone()];
        expected.sort();
        assert!(keys(rows) == expected);
    }
}

/// What one handle commits, its clones read, in other threads too.
pub fn handles_share_one_store<S: Store>(store: &S) {
    let other = store.clone();
    std::thread::spawn(move || put(&other, Space::Meta, b"key", b"value")).join().unwrap();
    assert_eq!(store.get(Space::Meta, b"key"), Ok(Some(b"value".to_vec())));
}

/// Random batches, gets, scans and snapshots give what three ordered maps give.
pub fn behaves_like_an_ordered_map<S: Store>(store: &S, seed: u64, steps: usize) {
    let mut random = SplitMix(seed);
    let mut model = Model::default();
    let mut snapshots: Vec<(S::Snapshot, Model)> = Vec::new();
    for _ in 0..steps {
        match random.below(10) {
            0..5 => {
                let batch = random.batch();
                model.apply(&batch);
                store.commit(batch).unwrap();
            }
            5..8 => {
                let (space, start, end) = (random.space(), random.bound(), random.bound());
                let (start, end) = (as_slice(&start), as_slice(&end));
                model.compare_range(store, space, start, end);
                for (snapshot, then) in &snapshots {
                    then.compare_range(snapshot, space, start, end);
                }
            }
            8 => snapshots.push((store.snapshot(), model.clone())),
            _ if snapshots.len() > 2 => {
                snapshots.remove(0);
            }
            _ => store.sync().unwrap(),
        }
    }
    model.compare(store);
    for (snapshot, then) in &snapshots {
        then.compare(snapshot);
    }
}
