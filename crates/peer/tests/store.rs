//! The store on disk and its directory, against the contract and against real failures.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]
#![cfg(unix)]

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    ops::Bound,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use tidings::store::{
    AnyStore, Directory, DirectoryError, FjallStore, StoreConfig, read_private_file,
};
use tidings_core::store::{Batch, MemoryStore, Read, Space, Store, StoreError, contract};

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

/// A directory has one user at a time; the second hears which directory and which process, and can
/// have it once the first is done, scans of the first included.
#[test]
fn a_directory_has_one_user() {
    let parent = tempfile::tempdir().unwrap();
    let store = open(parent.path());
    put(&store, 1);
    let text = Directory::open(parent.path()).unwrap_err().to_string();
    assert!(text.contains(&parent.path().display().to_string()), "{text}");
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    let rows = store.range(Space::Data, Bound::Unbounded, Bound::Unbounded);
    drop(store);
    assert!(matches!(Directory::open(parent.path()), Err(DirectoryError::Locked { .. })));
    assert_eq!(rows.count(), 1);
    open(parent.path());
}

/// A directory of a newer build is refused with both numbers, garbage is refused, and neither is
/// changed.
#[test]
fn other_formats_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    drop(open(parent.path()));
    let version = parent.path().join("VERSION");
    assert_eq!(fs::read(&version).unwrap(), b"1\n");
    fs::write(&version, "7\n").unwrap();
    let error = Directory::open(parent.path()).unwrap_err();
    assert!(matches!(error, DirectoryError::Newer { found: 7, .. }));
    assert!(error.to_string().contains("has format 7, and this build reads format 1"), "{error}");
    for garbage in [&b""[..], b"0", b"-1", b"one", b"\xff\xfe", b"1 2", &[b'9'; 5_000]] {
        fs::write(&version, garbage).unwrap();
        let error = Directory::open(parent.path()).unwrap_err();
        assert!(matches!(error, DirectoryError::Garbage { .. }), "{garbage:?}: {error}");
        assert_eq!(fs::read(&version).unwrap(), garbage);
    }
    fs::write(&version, "1\n").unwrap();
    open(parent.path());
}

/// A directory that holds something else is refused, and its mode and content stay what they were.
#[test]
fn a_foreign_directory_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(parent.path().join("thesis.tex"), "years of work").unwrap();
    let error = Directory::open(parent.path()).unwrap_err();
    assert!(matches!(error, DirectoryError::Foreign { .. }));
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(mode(parent.path()), 0o755);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

/// A new directory is private, and one of ours that was opened to others is made private again.
#[test]
fn the_directory_is_private() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/er");
    drop(open(&path));
    assert_eq!(mode(&path), 0o700);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    drop(open(&path));
    assert_eq!(mode(&path), 0o700);
}

/// A first start that was cut short is started over; nothing was committed to it.
#[test]
fn a_first_start_cut_short_is_started_over() {
    let parent = tempfile::tempdir().unwrap();
    let directory = Directory::open(parent.path()).unwrap();
    assert!(directory.is_new());
    // As fjall leaves it when it is killed between its journal and its version marker.
    fs::create_dir(directory.store_path()).unwrap();
    fs::write(directory.store_path().join("0.jnl"), [0; 100]).unwrap();
    drop(directory);
    let store = open(parent.path());
    put(&store, 1);
    drop(store);
    let directory = Directory::open(parent.path()).unwrap();
    assert!(!directory.is_new());
    drop(directory);
    assert_eq!(open(parent.path()).get(Space::Data, &number(1)), Ok(Some(number(1))));
}

/// The identity comes back byte for byte, is replaced whole, survives a torn attempt at replacing
/// it, and is refused once others can read it.
#[test]
fn the_identity_is_kept_and_kept_secret() {
    let parent = tempfile::tempdir().unwrap();
    let directory = Directory::open(parent.path()).unwrap();
    assert_eq!(directory.identity().unwrap(), None);
    directory.set_identity(b"first").unwrap();
    directory.set_identity(&[0, 255, 10, 13]).unwrap();
    fs::write(parent.path().join("identity.key.new"), "torn").unwrap();
    drop(directory);
    let directory = Directory::open(parent.path()).unwrap();
    assert_eq!(directory.identity().unwrap(), Some(vec![0, 255, 10, 13]));
    let path = parent.path().join("identity.key");
    assert_eq!(mode(&path), 0o600);
    directory.set_identity(b"third").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let error = directory.identity().unwrap_err().to_string();
    assert!(error.contains("mode 0640") && error.contains("chmod 600 "), "{error}");
}

/// A secret file is read when it is private, and refused when it is not, too long, or absent.
#[test]
fn a_secret_file_must_be_private() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("secret");
    assert!(matches!(read_private_file(&path), Err(DirectoryError::Io { .. })));
    fs::write(&path, "word").unwrap();
    for mode in [0o604, 0o640, 0o660, 0o644, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert!(matches!(read_private_file(&path), Err(DirectoryError::Exposed { .. })));
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(read_private_file(&path).unwrap(), b"word");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, vec![b'x'; 64 * 1024 + 1]).unwrap();
    assert!(matches!(read_private_file(&path), Err(DirectoryError::TooLong { .. })));
}

/// Every commit that a process reported is there after it was killed in the middle of the next one:
/// this test runs itself as a child that commits and reports, and kills it.
#[test]
fn buffered_commits_survive_a_kill() {
    const CHILD: &str = "TIDINGS_TEST_COMMIT_INTO";
    if let Some(path) = std::env::var_os(CHILD) {
        let store = open(Path::new(&path));
        for count in 0_u64.. {
            put(&store, count);
            println!("\ncommitted {count}");
        }
    }
    let parent = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let path = parent.path().join(round.to_string());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["buffered_commits_survive_a_kill", "--exact", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reported = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(count) = line.strip_prefix("committed ") else { continue };
            reported = count.parse().unwrap();
            if reported == 2_000 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(reported >= 2_000);
        let store = open(&path);
        for count in 0..=reported {
            for space in Space::ALL {
                let key = number(count);
                assert_eq!(store.get(space, &key), Ok(Some(key)), "{count} of {reported}");
            }
        }
    }
}

/// A full disk: the commit that does not fit says so, everything after it is refused, and after
/// making room every acknowledged commit is there. On a file system of its own, in memory.
#[test]
fn a_full_disk_stops_the_store() {
    let parent = tempfile::tempdir().unwrap();
    let Some(_mounted) = SmallDisk::mount(parent.path()) else {
        println!("SKIPPED a_full_disk_stops_the_store: mounting a tmpfs takes root");
        return;
    };
    let path = parent.path().join("data");
    let ballast = parent.path().join("ballast");
    fs::write(&ballast, vec![1; 8 * 1024 * 1024]).unwrap();
    let config = StoreConfig { memtable_bytes: 2 * 1024 * 1024, ..StoreConfig::default() };
    let store = FjallStore::open(&Directory::open(&path).unwrap(), &config).unwrap();
    let mut random = 1_u64;
    let mut commit = |count: u64| {
        let mut value = Vec::with_capacity(64 * 1024);
        while value.len() < 64 * 1024 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            value.extend((random >> 16).to_le_bytes());
        }
        let mut batch = Batch::default();
        batch.put(Space::Data, number(count), value);
        batch.put(Space::Meta, b"count".to_vec(), number(count));
        store.commit(batch)
    };
    let mut acknowledged = 0;
    let error = loop {
        match commit(acknowledged + 1) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the disk does not fill");
    };
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(acknowledged > 50, "{acknowledged}");
    assert!(matches!(commit(acknowledged + 1), Err(StoreError::Stopped(_))));
    assert!(matches!(store.sync(), Err(StoreError::Stopped(_))));
    assert!(store.get(Space::Data, &number(1)).unwrap().is_some(), "reads go on");
    drop(store);
    fs::remove_file(&ballast).unwrap();
    let store = open(&path);
    for count in 1..=acknowledged {
        let value = store.get(Space::Data, &number(count)).unwrap().unwrap();
        assert_eq!(value.len(), 64 * 1024);
    }
    let count = store.get(Space::Meta, b"count").unwrap().unwrap();
    assert!(count == number(acknowledged) || count == number(acknowledged + 1));
}

/// A power cut can leave a page of zeros anywhere in what was not synced: the store opens all the
/// same, keeps what was synced and a prefix of the rest, says how much it cut, and writes on.
#[test]
fn a_hole_in_the_unsynced_journal_is_mended() {
    const PAGE: usize = 4096;
    let parent = tempfile::tempdir().unwrap();
    let mut mended = 0;
    for round in 0..8 {
        let path = parent.path().join(round.to_string());
        let journal = path.join("store/0.jnl");
        let store = open(&path);
        for count in 0..40 {
            let mut batch = Batch::default();
            batch.put(Space::Data, number(count), vec![1; 20_000]);
            batch.put(Space::Meta, b"count".to_vec(), number(count));
            store.commit(batch).unwrap();
            if count == 19 {
                store.sync().unwrap();
            }
        }
        drop(store);
        let mut bytes = fs::read(&journal).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let hole = (written / 2 / PAGE + 2 + round * 5) * PAGE;
        bytes[hole..hole + PAGE].fill(0);
        fs::write(&journal, &bytes).unwrap();

        let store = open(&path);
        if let Some(lost) = store.lost_bytes() {
            assert!((1..written as u64).contains(&lost));
            assert_eq!(fs::read(path.join("journal.damaged")).unwrap(), bytes);
            mended += 1;
        }
        let last = store.get(Space::Meta, b"count").unwrap().unwrap();
        assert!(last >= number(19), "{last:?}");
        for count in 0..40 {
            let value = store.get(Space::Data, &number(count)).unwrap();
            assert_eq!(value.is_some(), number(count) <= last, "{count} of {last:?}");
        }
        put(&store, 100);
        store.sync().unwrap();
        drop(store);
        let store = open(&path);
        assert_eq!(store.lost_bytes(), None);
        assert_eq!(store.get(Space::Log, &number(100)), Ok(Some(number(100))));
    }
    assert!(mended > 3, "{mended} of 8");
}

/// A tmpfs of 64 MiB, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(path)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// Nobody reads a row older than one that they have seen, whether they get it, which may find it in
/// memory, or see it in a snapshot; with more rows than there is room for, and while they change.
#[test]
fn reads_never_go_back() {
    const KEYS: u64 = 40;
    const COMMITS: u64 = 20_000;
    let parent = tempfile::tempdir().unwrap();
    let config = StoreConfig { cache_bytes: 4096, ..StoreConfig::default() };
    let store = FjallStore::open(&Directory::open(parent.path()).unwrap(), &config).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                let mut seen = vec![0; KEYS as usize];
                let mut turn: u64 = reader;
                while !done.load(Ordering::Relaxed) {
                    turn += 1;
                    let key = turn * 7 % KEYS;
                    let row = if turn.is_multiple_of(3) {
                        store.snapshot().get(Space::Data, &number(key)).unwrap()
                    } else {
                        store.get(Space::Data, &number(key)).unwrap()
                    };
                    let row = row.map_or(0, |row| u64::from_be_bytes(row.try_into().unwrap()));
                    let seen = &mut seen[key as usize];
                    assert!(row >= *seen, "{row} of key {key} after {seen}");
                    *seen = row;
                }
            });
        }
        for count in 1..=COMMITS {
            let mut batch = Batch::default();
            for key in [count * 13 % KEYS, count * 29 % KEYS] {
                batch.put(Space::Data, number(key), number(count));
            }
            store.commit(batch).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    for key in 0..KEYS {
        let latest = store.snapshot().get(Space::Data, &number(key)).unwrap();
        assert_eq!(store.get(Space::Data, &number(key)).unwrap(), latest);
    }
}

fn put(store: &FjallStore, count: u64) {
    let mut batch = Batch::default();
    for space in Space::ALL {
        batch.put(space, number(count), number(count));
    }
    store.commit(batch).unwrap();
}

fn number(count: u64) -> Vec<u8> {
    count.to_be_bytes().to_vec()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
