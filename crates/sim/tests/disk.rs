//! The simulated disk: it keeps the contract while nothing is wrong, and every fault does what it
//! says and nothing else.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

use std::ops::Bound;

use tidings_core::store::{Batch, Read, Space, Store, StoreError, contract};
use tidings_sim::disk::{Counts, Crash, Disk, Failure, FaultyStore, Operation, Survival};

fn put(store: &FaultyStore, key: u8, value: u8) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(Space::Data, vec![key], vec![value]);
    batch.put(Space::Log, vec![key], vec![value]);
    store.commit(batch)
}

fn keys(store: &FaultyStore, space: Space) -> Vec<u8> {
    store.range(space, Bound::Unbounded, Bound::Unbounded).map(|row| row.unwrap().0[0]).collect()
}

/// A store with five synced and five unsynced commits.
fn half_synced(disk: &Disk) -> FaultyStore {
    let store = disk.open();
    for key in 0..10 {
        put(&store, key, 1).unwrap();
        if key == 4 {
            store.sync().unwrap();
        }
    }
    store
}

/// A disk without faults keeps every law of the contract, across restarts too.
#[test]
fn the_contract_holds() {
    contract::check(|| Disk::new(1).open());
    let disk = Disk::new(2);
    contract::check_reopening(|| disk.open());
}

/// A killed process loses nothing; its old handles, snapshots included, fail, and a later power cut
/// can still take what was not synced.
#[test]
fn a_killed_process_loses_nothing() {
    let disk = Disk::new(1);
    let store = half_synced(&disk);
    let snapshot = store.snapshot();
    let survival = disk.crash(Crash::Process);
    assert_eq!(survival, Survival { kept: 5, lost: 0, torn: false });
    assert!(!store.is_alive());
    let died = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Stopped(_)));
    assert!(died(put(&store, 1, 1)));
    assert!(died(store.sync()));
    assert!(died(store.get(Space::Data, &[1]).map(drop)));
    assert!(died(snapshot.get(Space::Data, &[1]).map(drop)));
    let mut rows = snapshot.range(Space::Data, Bound::Unbounded, Bound::Unbounded);
    assert!(died(rows.next().unwrap().map(drop)));
    assert_eq!(rows.next(), None);

    let store = disk.open();
    assert_eq!(keys(&store, Space::Data), (0..10).collect::<Vec<_>>());
    assert!(!disk.is_synced());
    disk.crash(Crash::PowerKeeping(0));
    assert_eq!(keys(&disk.open(), Space::Data), (0..5).collect::<Vec<_>>());
}

/// A power cut keeps every synced commit and a prefix of the others: over many seeds every length
/// of the prefix occurs, and overwritten rows return to what they were.
#[test]
fn a_power_cut_keeps_a_prefix() {
    let mut seen = [false; 6];
    for seed in 0..200 {
        let disk = Disk::new(seed);
        let store = half_synced(&disk);
        let mut batch = Batch::default();
        batch.put(Space::Data, vec![0], vec![9]);
        batch.remove(Space::Data, vec![1]);
        store.commit(batch).unwrap();
        let survival = disk.crash(if seed % 2 == 0 { Crash::Power } else { Crash::Torn });
        assert_eq!(survival.kept + survival.lost, 6);
        assert_eq!(survival.torn, seed % 2 == 1 && survival.lost > 0);
        let store = disk.open();
        if survival.kept < 6 {
            seen[survival.kept] = true;
            let expected: Vec<u8> = (0..5 + survival.kept as u8).collect();
            assert_eq!(keys(&store, Space::Data), expected);
            assert_eq!(keys(&store, Space::Log), expected);
            assert_eq!(store.get(Space::Data, &[0]), Ok(Some(vec![1])));
        } else {
            assert_eq!(store.get(Space::Data, &[0]), Ok(Some(vec![9])));
            assert_eq!(store.get(Space::Data, &[1]), Ok(None));
        }
        assert!(disk.is_synced(), "what a power cut left is on the disk to stay");
    }
    assert_eq!(seen, [true; 6]);
}

/// The planted bug really tears: a batch's two rows disagree after some crash.
#[test]
fn the_planted_bug_tears_within_a_batch() {
    let mut torn = 0;
    for seed in 0..50 {
        let disk = Disk::new(seed);
        half_synced(&disk);
        let survival = disk.crash(Crash::TornWithin);
        let store = disk.open();
        let disagree = keys(&store, Space::Data) != keys(&store, Space::Log);
        assert_eq!(disagree, survival.torn);
        torn += u32::from(survival.torn);
    }
    assert!(torn > 20, "{torn} of 50");
}

/// The n-th commit fails once and stops its process; the next process writes on. Whether the failed
/// batch appears is drawn: over many seeds both happen, and never in the process that saw it fail.
#[test]
fn a_failed_commit_stops_the_process() {
    let (mut appeared, mut gone) = (0, 0);
    for seed in 0..40 {
        let disk = Disk::new(seed);
        let store = disk.open();
        disk.fail(Operation::Commit, 3, Failure::Once);
        put(&store, 0, 1).unwrap();
        put(&store, 1, 1).unwrap();
        assert!(matches!(put(&store, 2, 1), Err(StoreError::Io(_))));
        assert!(matches!(put(&store, 3, 1), Err(StoreError::Stopped(_))));
        assert!(matches!(store.sync(), Err(StoreError::Stopped(_))));
        assert_eq!(keys(&store, Space::Data), [0, 1], "reads go on");
        let store = disk.open();
        match keys(&store, Space::Data).as_slice() {
            [0, 1] => gone += 1,
            [0, 1, 2] => appeared += 1,
            other => panic!("{other:?}"),
        }
        put(&store, 4, 1).unwrap();
        store.sync().unwrap();
        assert_eq!(disk.counts().failed, 1);
    }
    assert!(appeared > 5 && gone > 5, "appeared {appeared}, gone {gone}");
}

/// A failure for ever outlives restarts until the disk is repaired, and a failed sync makes nothing
/// durable.
#[test]
fn a_failure_for_ever_lasts_until_repaired() {
    let disk = Disk::new(1);
    half_synced(&disk);
    disk.fail(Operation::Sync, 1, Failure::ForEver);
    for _ in 0..3 {
        let store = disk.open();
        put(&store, 20, 1).unwrap();
        assert!(matches!(store.sync(), Err(StoreError::Io(_))));
        assert!(matches!(put(&store, 21, 1), Err(StoreError::Stopped(_))));
    }
    disk.crash(Crash::PowerKeeping(0));
    disk.repair();
    let store = disk.open();
    assert_eq!(keys(&store, Space::Data), [0, 1, 2, 3, 4]);
    store.sync().unwrap();
}

/// Failed reads are errors, never absence, and do not stop the process.
#[test]
fn failed_reads_are_not_absence() {
    let disk = Disk::new(1);
    let store = half_synced(&disk);
    let snapshot = store.snapshot();
    disk.fail(Operation::Get, 2, Failure::Once);
    assert_eq!(store.get(Space::Data, &[1]), Ok(Some(vec![1])));
    assert!(matches!(snapshot.get(Space::Data, &[1]), Err(StoreError::Io(_))));
    assert_eq!(store.get(Space::Data, &[1]), Ok(Some(vec![1])));
    disk.fail(Operation::Scan, 1, Failure::Once);
    let mut rows = store.range(Space::Data, Bound::Unbounded, Bound::Unbounded);
    assert!(matches!(rows.next(), Some(Err(StoreError::Io(_)))));
    assert_eq!(rows.next(), None);
    put(&store, 30, 1).unwrap();
}

/// A full disk refuses what does not fit, stops the process, and works again with room.
#[test]
fn a_full_disk_refuses() {
    let disk = Disk::new(3);
    let store = disk.open();
    disk.set_room(Some(14));
    put(&store, 0, 1).unwrap();
    put(&store, 1, 1).unwrap();
    assert!(matches!(put(&store, 2, 1), Err(StoreError::Full(_))));
    assert!(matches!(put(&store, 2, 1), Err(StoreError::Stopped(_))));
    disk.repair();
    put(&disk.open(), 3, 1).unwrap();
    assert_eq!(disk.counts().full, 1);
}

/// An image rolls its own disk back and makes a clone of another; a wipe leaves nothing. All of
/// them end the process.
#[test]
fn images_roll_back_and_clone() {
    let (disk, other) = (Disk::new(1), Disk::new(2));
    let store = half_synced(&disk);
    let image = disk.image();
    put(&store, 50, 1).unwrap();
    store.sync().unwrap();
    let before = other.open();
    other.restore(&image);
    assert!(!before.is_alive());
    disk.restore(&image);
    assert!(!store.is_alive());
    for disk in [&disk, &other] {
        assert!(disk.is_synced());
        disk.crash(Crash::Power);
        assert_eq!(keys(&disk.open(), Space::Data), (0..10).collect::<Vec<_>>());
    }
    put(&other.open(), 51, 1).unwrap();
    assert_eq!(keys(&disk.open(), Space::Data).len(), 10, "a clone goes its own way");
    disk.wipe();
    assert!(keys(&disk.open(), Space::Data).is_empty());
}

/// Rows vanish under a running process, only those, and no crash brings them back.
#[test]
fn rows_vanish_for_good() {
    let disk = Disk::new(1);
    let store = half_synced(&disk);
    put(&store, 2, 9).unwrap();
    assert_eq!(disk.vanish(Space::Data, &[vec![2], vec![7], vec![200]]), 2);
    assert!(store.is_alive());
    assert_eq!(keys(&store, Space::Data), [0, 1, 3, 4, 5, 6, 8, 9]);
    assert_eq!(keys(&store, Space::Log).len(), 10);
    let random = disk.vanish_random(Space::Log, 3);
    assert!((1..=3).contains(&random.len()), "{random:?}");
    assert_eq!(keys(&store, Space::Log).len(), 10 - random.len());
    assert_eq!(disk.counts().vanished, 2 + random.len() as u64);
    disk.crash(Crash::PowerKeeping(0));
    assert_eq!(keys(&disk.open(), Space::Data), [0, 1, 3, 4]);
}

/// Operations are counted by kind, and neither counted nor failed while counting is paused.
#[test]
fn operations_are_counted() {
    let disk = Disk::new(1);
    let store = half_synced(&disk);
    store.get(Space::Data, &[1]).unwrap();
    store.snapshot().get(Space::Data, &[1]).unwrap();
    drop(store.range(Space::Data, Bound::Unbounded, Bound::Unbounded));
    disk.fail(Operation::Get, 1, Failure::ForEver);
    disk.pause_counting(true);
    store.get(Space::Data, &[1]).unwrap();
    disk.pause_counting(false);
    let expected = Counts { commits: 10, syncs: 1, gets: 2, scans: 1, ..Counts::default() };
    assert_eq!(disk.counts(), expected);
    assert_eq!(Operation::ALL.map(|operation| expected.of(operation)), [10, 1, 2, 1]);
    assert!(store.get(Space::Data, &[1]).is_err());
}

/// The same seed and calls meet the same fate.
#[test]
fn fate_repeats_itself() {
    let run = |seed| {
        let disk = Disk::new(seed);
        let mut trace = Vec::new();
        for round in 0..20 {
            let store = half_synced(&disk);
            if round % 3 == 0 {
                disk.fail(Operation::Commit, 1, Failure::Once);
                put(&store, 100 + round, 1).unwrap_err();
            }
            trace.push((disk.vanish_random(Space::Data, 2), disk.crash(Crash::Torn)));
        }
        (trace, disk.image(), disk.counts())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
