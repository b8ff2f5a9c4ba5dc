//! Entries that expire: which expiry a put gets, and where it is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::Bound;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::TryStreamExt as _;
use tidings::{Batch, Database, Definition, Entry, Error, ListOptions, Peer, WriteOptions};

/// The first of January 2100 and some milliseconds.
const LATE: Duration = Duration::from_millis(4_102_444_800_123);
const HOUR: Duration = Duration::from_hours(1);

/// A peer of its own. In `brief/…` entries live for an hour, elsewhere for ever.
async fn start() -> Peer {
    let brief = Definition { ttl: Some(3_600_000), ..Definition::new("brief", "brief/*", 1, 1) };
    let any = Definition::new("any", "data/*", 1, 1);
    Peer::in_memory().definitions(vec![brief, any]).start().await.unwrap()
}

async fn until(database: &Database, key: &str, expires: SystemTime) {
    let mut batch = Batch::new();
    batch.put_until(key, "v", expires);
    database.batch(batch).await.unwrap();
}

async fn expiry(database: &Database, key: &str) -> Option<SystemTime> {
    database.get_entry(key).await.unwrap().unwrap().expires
}

/// Every read that gives an entry tells its expiry, whole or without values, and so does a watch.
#[tokio::test]
async fn every_read_tells_the_expiry() {
    let peer = start().await;
    let database = peer.database("data/a").await.unwrap();
    let late = UNIX_EPOCH + LATE;
    let mut watch = database.watch("").await.unwrap();
    until(&database, "k", late + Duration::from_nanos(999_999)).await;
    database.put("stays", "v").await.unwrap();
    database.delete("stays").await.unwrap();
    for expected in [Some(late), None, None] {
        assert_eq!(watch.next().await.unwrap().unwrap().expires, expected);
    }
    database.put("stays", "v").await.unwrap();

    let told = |entries: Vec<Entry>| -> Vec<_> {
        entries.into_iter().map(|entry| (entry.key, entry.expires)).collect()
    };
    let expected = [(b"k".to_vec(), Some(late)), (b"stays".to_vec(), None)];
    let many = database.get_many(&["k", "stays"]).await.unwrap();
    assert_eq!(told(many.into_iter().flatten().collect()), expected);
    let scan = database.scan(Bound::Unbounded, Bound::Unbounded);
    assert_eq!(told(scan.try_collect().await.unwrap()), expected);
    for keys_only in [false, true] {
        let options = ListOptions { keys_only, ..ListOptions::default() };
        assert_eq!(told(database.list(&options).await.unwrap().entries), expected);
    }
}

/// An expiry of the put itself stands before that of the options, which stands before their `ttl`, which
/// stands before that of the definition; and a put replaces the expiry with the value.
#[tokio::test]
async fn the_nearest_expiry_counts() {
    let peer = start().await;
    let late = UNIX_EPOCH + LATE;
    let brief = peer.database("brief/a").await.unwrap();
    let started = SystemTime::now();
    let days = WriteOptions { ttl: Some(48 * HOUR), ..WriteOptions::default() };
    let both = WriteOptions { expires: Some(late + HOUR), ..days.clone() };

    brief.put("k", "v").await.unwrap();
    let expires = expiry(&brief, "k").await.unwrap();
    assert!(expires < started + 2 * HOUR, "of the definition: {expires:?}");
    brief.put_with("k", "v", &days).await.unwrap();
    let expires = expiry(&brief, "k").await.unwrap();
    assert!(expires > started + 47 * HOUR && expires < late, "of the options: {expires:?}");
    brief.put_with("k", "v", &both).await.unwrap();
    assert_eq!(expiry(&brief, "k").await, Some(late + HOUR));
    let mut batch = Batch::new();
    batch.put_until("own", "v", late).put("k", "v");
    brief.batch_with(batch, &both).await.unwrap();
    assert_eq!(expiry(&brief, "own").await, Some(late));
    assert_eq!(expiry(&brief, "k").await, Some(late + HOUR));

    let plain = peer.database("data/a").await.unwrap();
    until(&plain, "k", late).await;
    plain.put("k", "v").await.unwrap();
    assert_eq!(expiry(&plain, "k").await, None, "a plain put clears it");
}

/// A put whose expiry has passed is a write like any other, and no read sees it.
#[tokio::test]
async fn an_expiry_in_the_past_hides_at_once() {
    let peer = start().await;
    let database = peer.database("data/a").await.unwrap();
    let before = database.put("k", "old").await.unwrap();
    let mut batch = Batch::new();
    batch.put_until("k", "new", UNIX_EPOCH + HOUR);
    let version = database.batch(batch).await.unwrap()[0];
    assert!(version > before, "it was written");
    assert_eq!(database.get("k").await.unwrap(), None);
    assert_eq!(database.get_many(&["k"]).await.unwrap(), [None]);
    assert_eq!(database.list(&ListOptions::default()).await.unwrap().entries, []);
}

/// An expiry that no row can hold refuses the whole batch, and the same in the options.
#[tokio::test]
async fn an_expiry_out_of_bounds_writes_nothing() {
    let peer = start().await;
    let database = peer.database("data/a").await.unwrap();
    for expires in [UNIX_EPOCH - HOUR, UNIX_EPOCH + 100 * LATE] {
        let mut batch = Batch::new();
        batch.put("first", "v").put_until("k", "v", expires);
        let error = database.batch(batch).await.unwrap_err();
        assert!(matches!(error, Error::BadArgument(_)), "{error}");
        let options = WriteOptions { expires: Some(expires), ..WriteOptions::default() };
        assert_eq!(database.put_with("k", "v", &options).await.unwrap_err(), error);
    }
    assert_eq!(database.get_many(&["first", "k"]).await.unwrap(), [None, None]);
}
