//! Backups of running peers, and peers that are restored from them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::wait_within;
use tidings::backup::{BackupError, RestoreOptions, restore, verify};
use tidings::store::{Directory, DirectoryError};
use tidings::{Batch, Database, Definition, ListOptions, Peer, PeerBuilder};

const SECRET: &[u8] = b"a secret that is long enough";
const PATH: &str = "profile/alice";
const DEFAULT: RestoreOptions = RestoreOptions { alone: false };

fn definitions(max: u32) -> Vec<Definition> {
    vec![Definition::new("profiles", "profile/*", 1, max)]
}

/// A peer with a directory, connected to others.
fn builder(directory: &Path, others: &[&Peer]) -> PeerBuilder {
    let mut builder =
        Peer::builder(directory).mdns(false).secret(SECRET).listen("/ip4/127.0.0.1/tcp/0");
    for other in others {
        builder = builder.bootstrap(other.listen_addresses().remove(0));
    }
    builder
}

async fn started(builder: PeerBuilder) -> Peer {
    builder.start().await.unwrap_or_else(|error| panic!("the peer does not start: {error}"))
}

async fn wait_for(what: &str, check: impl AsyncFnMut() -> bool) {
    wait_within(Duration::from_secs(30), what, check).await;
}

/// Every entry of a database.
async fn entries(database: &Database) -> Vec<(Vec<u8>, Vec<u8>)> {
    let page = database.list(&ListOptions::default()).await.unwrap();
    page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// Two peers that both have a copy of each database, in the directories `a` and `b`.
async fn pair(home: &Path, with: impl Fn(PeerBuilder) -> PeerBuilder) -> (Peer, Peer) {
    let both = vec![Definition::new("profiles", "profile/*", 2, 3)];
    let a = started(with(builder(&home.join("a"), &[])).definitions(both)).await;
    let b = started(with(builder(&home.join("b"), &[&a]))).await;
    wait_for("both are alive", async || a.status().live_peers == 2 && b.status().live_peers == 2)
        .await;
    wait_for("b has the definition", async || !b.definitions().unwrap().is_empty()).await;
    (a, b)
}

/// Waits until these copies are equal, active, and nothing is on its way between them.
async fn equal(databases: &[&Database]) {
    wait_for("the copies are equal", async || {
        let mut seen = Vec::new();
        for database in databases {
            let Ok(status) = database.status().await else { return false };
            seen.push((status.peer, status.digest, status.vector));
        }
        let mut holders: Vec<&String> = seen.iter().map(|(peer, ..)| peer).collect();
        holders.sort();
        holders.dedup();
        // Each answers for itself, so each has an active copy.
        holders.len() == databases.len()
            && seen.iter().all(|one| (&one.1, &one.2) == (&seen[0].1, &seen[0].2))
    })
    .await;
}

/// A peer alone: what was there when it was backed up is there again, under another identity, and nothing
/// of what came later.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_peer_is_as_it_was_backed_up() {
    let home = tempfile::tempdir().unwrap();
    let (data, file) = (home.path().join("data"), home.path().join("backup"));
    let alone = |data: &Path| Peer::builder(data).mdns(false).listen("/ip4/127.0.0.1/tcp/0");
    let peer = started(alone(&data).definitions(definitions(3))).await;
    let database = peer.database(PATH).await.unwrap();
    let other = database.keyspace("other").unwrap();
    for n in 0..500 {
        database.put(format!("key {n:03}"), format!("value {n}")).await.unwrap();
    }
    other.put("k", "in a keyspace").await.unwrap();
    database.delete("key 007").await.unwrap();
    let mut count = Batch::new();
    count.incr("counter", 41);
    database.batch(count).await.unwrap();
    let then = entries(&database).await;
    assert_eq!(then.len(), 500);
    let status = database.status().await.unwrap();

    let report = peer.backup_to(&file, false).await.unwrap();
    assert_eq!((&report.peer, report.databases), (&peer.id(), 1));
    assert_eq!(verify(&file, |_, _| {}).unwrap(), report);
    let again = peer.backup_to(&file, false).await.expect_err("it is there").to_string();
    assert!(again.contains("it is there already"), "{again}");

    database.put("key 001", "later").await.unwrap();
    database.put("later", "later").await.unwrap();
    database.delete("key 002").await.unwrap();
    let old = peer.id();
    peer.shutdown().await.unwrap();
    drop((peer, database, other));
    std::fs::remove_dir_all(&data).unwrap();

    let restored = restore(&file, &data, &DEFAULT, |read, of| assert!(read <= of)).unwrap();
    assert_eq!(restored, report);
    let peer = started(alone(&data)).await;
    assert_ne!(peer.id(), old);
    let database = peer.database(PATH).await.unwrap();
    assert_eq!(entries(&database).await, then);
    assert_eq!(
        database.keyspace("other").unwrap().get("k").await.unwrap().unwrap(),
        b"in a keyspace"
    );
    let now = database.status().await.unwrap();
    assert_eq!((now.digest, now.entries), (status.digest, status.entries));
    // No dot is given twice: what is written is above what was there, under another epoch.
    let version = database.put("key 001", "after").await.unwrap();
    assert!(!status.vector.contains_key(&version.dot.epoch.to_string()), "{version:?}");
    database.delete("key 003").await.unwrap();
    let mut count = Batch::new();
    count.incr("counter", 1);
    database.batch(count).await.unwrap();
    assert_eq!(database.get("counter").await.unwrap().unwrap(), b"42");
    let before = entries(&database).await;
    peer.shutdown().await.unwrap();
    drop((peer, database));

    // The second start is like any.
    let peer = started(alone(&data)).await;
    let database = peer.database(PATH).await.unwrap();
    assert_eq!(entries(&database).await, before);
    peer.shutdown().await.unwrap();
}

/// Two peers hold a database; one is backed up; both go on. The backup is restored beside them: nothing
/// newer is lost, nothing deleted rises, and the third one has all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_beside_the_peer_that_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let (a, b) = pair(home.path(), |builder| builder).await;
    let (at_a, at_b) = (a.database(PATH).await.unwrap(), b.database(PATH).await.unwrap());
    for n in 0..200 {
        at_a.put(format!("key {n:03}"), "first").await.unwrap();
    }
    at_b.put("of b", "b").await.unwrap();
    equal(&[&at_a, &at_b]).await;

    let file = path("backup");
    a.backup_to(&file, false).await.unwrap();
    for n in 0..50 {
        at_a.put(format!("key {n:03}"), "second").await.unwrap();
        at_b.delete(format!("key {:03}", 50 + n)).await.unwrap();
        at_b.put(format!("new {n:03}"), "new").await.unwrap();
    }
    at_a.delete("of b").await.unwrap();
    equal(&[&at_a, &at_b]).await;
    let then = entries(&at_a).await;
    assert_eq!(then.len(), 200);

    restore(&file, &path("c"), &DEFAULT, |_, _| {}).unwrap();
    let c = started(builder(&path("c"), &[&b])).await;
    assert!(c.id() != a.id() && c.id() != b.id());
    let at_c = c.database(PATH).await.unwrap();
    wait_for("all three are alive", async || {
        [&a, &b, &c].iter().all(|peer| peer.status().live_peers == 3)
    })
    .await;
    equal(&[&at_a, &at_b, &at_c]).await;
    for database in [&at_a, &at_b, &at_c] {
        assert_eq!(entries(database).await, then);
    }
    // It writes as everybody does, and nobody takes it for the one that was backed up.
    at_c.put("of c", "c").await.unwrap();
    at_a.put("of a", "a").await.unwrap();
    equal(&[&at_a, &at_b, &at_c]).await;
    assert_eq!(entries(&at_c).await.len(), 202);
    for peer in [&a, &b, &c] {
        let counters = peer.status().counters;
        assert_eq!(counters.get("divergences").copied().unwrap_or(0), 0);
        assert_eq!(counters.get("writes_lost").copied().unwrap_or(0), 0);
        peer.shutdown().await.unwrap();
    }
}

/// A backup is older than deletes that are forgotten by now: nothing of them rises with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_does_not_rise_with_a_backup() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let soon = |builder: PeerBuilder| builder.tombstone_grace(Duration::from_secs(1));
    let (a, b) = pair(home.path(), soon).await;
    let (at_a, at_b) = (a.database(PATH).await.unwrap(), b.database(PATH).await.unwrap());
    for n in 0..100 {
        at_a.put(format!("key {n:03}"), "first").await.unwrap();
    }
    at_a.incr("deleted", 7).await.unwrap();
    at_b.incr("deleted", 5).await.unwrap();
    at_b.incr("kept", 3).await.unwrap();
    equal(&[&at_a, &at_b]).await;

    let file = path("backup");
    a.backup_to(&file, false).await.unwrap();
    for n in 0..50 {
        at_b.delete(format!("key {n:03}")).await.unwrap();
    }
    at_a.delete("deleted").await.unwrap();
    at_a.incr("kept", 4).await.unwrap();
    equal(&[&at_a, &at_b]).await;
    let then = entries(&at_a).await;
    assert_eq!(then.len(), 51);
    for database in [&at_a, &at_b] {
        // But for the counter, whose sums go first, each in a pass of its own: a minute apart.
        wait_for("the deletes are forgotten", async || {
            database.status().await.is_ok_and(|status| status.tombstones <= 3)
        })
        .await;
    }

    restore(&file, &path("c"), &DEFAULT, |_, _| {}).unwrap();
    let c = started(soon(builder(&path("c"), &[&b]))).await;
    let at_c = c.database(PATH).await.unwrap();
    equal(&[&at_a, &at_b, &at_c]).await;
    for database in [&at_a, &at_b, &at_c] {
        assert_eq!(entries(database).await, then);
        assert_eq!(database.get("kept").await.unwrap().unwrap(), b"7");
    }
    // A counter begins anew, and nothing of the old one counts.
    assert_eq!(at_c.incr("deleted", 1).await.unwrap(), 1);
    equal(&[&at_a, &at_b, &at_c]).await;
    assert_eq!(at_b.get("deleted").await.unwrap().unwrap(), b"1");
    for peer in [&a, &b, &c] {
        peer.shutdown().await.unwrap();
    }
}

/// A restored peer gives the others what they have lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_peer_offers_what_the_others_lack() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let a = started(builder(&path("a"), &[]).definitions(definitions(3))).await;
    a.database(PATH).await.unwrap().put("k", "v").await.unwrap();
    a.backup_to(path("backup"), false).await.unwrap();
    a.shutdown().await.unwrap();
    drop(a);

    // Another peer begins the same database anew, knowing nothing of the first one.
    let b = started(builder(&path("b"), &[]).definitions(definitions(3))).await;
    let at_b = b.database(PATH).await.unwrap();
    at_b.put("of b", "b").await.unwrap();
    restore(&path("backup"), &path("c"), &DEFAULT, |_, _| {}).unwrap();
    let c = started(builder(&path("c"), &[&b])).await;
    let at_c = c.database(PATH).await.unwrap();
    equal(&[&at_b, &at_c]).await;
    for database in [&at_b, &at_c] {
        assert_eq!(database.get("k").await.unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(database.get("of b").await.unwrap().as_deref(), Some(&b"b"[..]));
    }
    b.shutdown().await.unwrap();
    c.shutdown().await.unwrap();
}

/// What is written while a backup is made is in it wholly or not at all, in the order of the commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_of_one_moment_while_writers_write() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("backup");
    let peer = started(
        Peer::builder(home.path().join("data"))
            .mdns(false)
            .memtable_bytes(1 << 20)
            .definitions(definitions(1)),
    )
    .await;
    let database = peer.database(PATH).await.unwrap();
    let mut ballast = Batch::new();
    for n in 0..800 {
        ballast.put(format!("ballast {n}"), vec![b'x'; 1_000]);
    }
    database.batch(ballast).await.unwrap();
    // Each batch writes one number everywhere, at both ends of the keys.
    let write = async |number: u64| {
        let mut batch = Batch::new();
        for key in ["a", "m", "z", "zz"] {
            batch.put(key, number.to_string());
        }
        database.batch(batch).await.unwrap();
    };
    write(0).await;
    let done = Arc::new(AtomicBool::new(false));
    let writer = async {
        let mut number = 0;
        while !done.load(Ordering::Acquire) {
            number += 1;
            write(number).await;
            // A write here waits for nothing, and the backup is made by the same task.
            tokio::task::yield_now().await;
        }
        number
    };
    let backups = async {
        let mut reports = Vec::new();
        for _ in 0..2 {
            reports.push(peer.backup_to(&file, true).await.unwrap());
            let data = home.path().join(format!("restored {}", reports.len()));
            let file = file.clone();
            tokio::task::spawn_blocking(move || {
                restore(&file, &data, &DEFAULT, |_, _| {}).unwrap()
            })
            .await
            .unwrap();
        }
        done.store(true, Ordering::Release);
        reports
    };
    let (written, reports) = tokio::join!(writer, backups);
    peer.shutdown().await.unwrap();
    let mut last = 0;
    for n in 1..=reports.len() {
        let data = home.path().join(format!("restored {n}"));
        let peer = started(Peer::builder(data).mdns(false)).await;
        let database = peer.database(PATH).await.unwrap();
        let status = database.status().await.unwrap();
        let numbers = database.get_many(&["a", "m", "z", "zz"]).await.unwrap();
        let numbers: Vec<u64> = numbers
            .into_iter()
            .map(|entry| String::from_utf8(entry.unwrap().value).unwrap().parse().unwrap())
            .collect();
        assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
        assert!(numbers[0] >= last && numbers[0] <= written, "{numbers:?} of {written}");
        last = numbers[0];
        // Vector, counts and digest are those of the rows: the check after the start finds nothing.
        assert_eq!(status.entries, 804);
        wait_for("the copies are checked", async || {
            peer.status().counters.get("copies_scrubbed").is_some_and(|count| *count > 0)
        })
        .await;
        assert_eq!(peer.status().counters.get("copies_damaged"), None);
        peer.shutdown().await.unwrap();
    }
}

/// A directory with anything in it is left alone, one that was restored in part serves nobody and can be
/// begun again, and a damaged backup is said to be one.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_whole_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let file = path("backup");
    let peer = started(Peer::builder(path("a")).mdns(false).definitions(definitions(1))).await;
    let database = peer.database(PATH).await.unwrap();
    for n in 0..20 {
        database.put(format!("{n}"), vec![n; 100_000]).await.unwrap();
    }
    let used = restore(&file, &path("a"), &DEFAULT, |_, _| {}).expect_err("there is no backup");
    assert!(matches!(used, BackupError::Io { verb: "read", .. }), "{used}");
    peer.backup_to(&file, false).await.unwrap();
    let used = restore(&file, &path("a"), &DEFAULT, |_, _| {}).expect_err("it is not empty");
    assert!(matches!(used, BackupError::Directory(DirectoryError::NotEmpty { .. })), "{used}");
    assert!(used.to_string().contains("an empty or a new directory"), "{used}");
    assert_eq!(database.get("7").await.unwrap().unwrap(), vec![7; 100_000]);
    peer.shutdown().await.unwrap();

    let bytes = std::fs::read(&file).unwrap();
    let (damaged, cut) = (path("damaged"), path("cut"));
    let mut copy = bytes.clone();
    copy[bytes.len() - 600_000] ^= 1;
    std::fs::write(&damaged, copy).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let error = verify(&damaged, |_, _| {}).expect_err("it is damaged");
    assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
    for (from, said) in [(&damaged, "damaged between bytes"), (&cut, "is cut off: it ends after")] {
        let error = restore(from, &path("c"), &DEFAULT, |_, _| {})
            .expect_err("it is not whole")
            .to_string();
        assert!(error.contains(said), "{error}");
        let error = Directory::open(path("c")).expect_err("it is not whole");
        assert!(matches!(error, DirectoryError::Unfinished { .. }), "{error}");
        let error = Peer::builder(path("c")).mdns(false).start().await.expect_err("the same");
        assert!(error.to_string().contains("is unfinished"), "{error}");
    }
    std::fs::write(path("letter"), "dear").unwrap();
    let error =
        restore(&path("letter"), &path("d"), &DEFAULT, |_, _| {}).expect_err("it is a letter");
    assert!(matches!(error, BackupError::Foreign), "{error}");
    assert!(!path("d").exists(), "nothing is made of no backup");

    // Begun again, it is whole.
    restore(&file, &path("c"), &DEFAULT, |_, _| {}).unwrap();
    let peer = started(Peer::builder(path("c")).mdns(false)).await;
    let database = peer.database(PATH).await.unwrap();
    assert_eq!(database.get("7").await.unwrap().unwrap(), vec![7; 100_000]);
    peer.shutdown().await.unwrap();
}

/// With the private key put back too, it is the same peer with an older disk.
#[tokio::test(flavor = "multi_thread")]
async fn with_its_identity_it_is_the_same_peer() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let a = started(builder(&path("a"), &[]).definitions(definitions(1))).await;
    let id = a.id();
    a.database(PATH).await.unwrap().put("k", "v").await.unwrap();
    a.backup_to(path("backup"), false).await.unwrap();
    a.shutdown().await.unwrap();
    drop(a);
    restore(&path("backup"), &path("c"), &DEFAULT, |_, _| {}).unwrap();
    assert!(!path("c").join("identity.key").exists(), "the backup has no key");
    std::fs::copy(path("a").join("identity.key"), path("c").join("identity.key")).unwrap();
    for _ in 0..2 {
        let c = started(builder(&path("c"), &[])).await;
        assert_eq!(c.id(), id);
        let database = c.database(PATH).await.unwrap();
        wait_for("it is served", async || database.get("k").await.is_ok()).await;
        assert_eq!(database.get("k").await.unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(c.database_status(PATH).await.unwrap().holders.len(), 1);
        c.shutdown().await.unwrap();
    }
}
