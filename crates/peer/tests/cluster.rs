//! Embedded peers that find each other over loopback: what the library promises, end to end.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod support;

use std::ops::Bound;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use support::wait_within;
use tidings::{
    Batch, Database, Definition, Error, Filter, ListOptions, Peer, ScanOptions, WriteOptions,
};

const SECRET: &[u8] = b"a secret that is long enough";

async fn peer(name: &str, others: &[&Peer]) -> Peer {
    let mut builder = Peer::in_memory().name(name).secret(SECRET).listen("/ip4/127.0.0.1/tcp/0");
    for other in others {
        builder = builder.bootstrap(other.listen_addresses().remove(0));
    }
    builder.start().await.unwrap_or_else(|error| panic!("the peer does not start: {error}"))
}

async fn wait_for(what: &str, check: impl AsyncFnMut() -> bool) {
    wait_within(Duration::from_secs(20), what, check).await;
}

async fn live(peer: &Peer, count: u32) {
    wait_for("all peers are alive", async || peer.status().live_peers == count).await;
}

/// Three peers: a definition applied at one, a database opened at all, writes at each, read
/// everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn three_peers_converge() {
    let a = peer("a", &[]).await;
    let b = peer("b", &[&a]).await;
    let c = peer("c", &[&a]).await;
    for peer in [&a, &b, &c] {
        live(peer, 3).await;
    }
    a.apply(vec![Definition::new("users", "profile/*/*", 3, 3)]).await.expect("applies");
    for peer in [&b, &c] {
        wait_for("the definition is there", async || !peer.definitions().unwrap().is_empty()).await;
    }
    let path = "profile/history/alice";
    let at_a = a.database(path).await.unwrap();
    let at_b = b.database(path).await.unwrap();
    let at_c = c.database(path).await.unwrap();
    at_a.put("one", "1").await.unwrap();
    wait_for("b has it", async || at_b.get("one").await.unwrap() == Some(b"1".to_vec())).await;
    wait_for("c has it", async || at_c.get("one").await.unwrap() == Some(b"1".to_vec())).await;
    at_b.put("two", "2").await.unwrap();
    at_c.delete("one").await.unwrap();
    wait_for("a agrees", async || {
        at_a.get("one").await.unwrap().is_none() && at_a.get("two").await.unwrap().is_some()
    })
    .await;
    wait_for("all digests are equal", async || {
        let (a, b, c) = (
            at_a.status().await.unwrap(),
            at_b.status().await.unwrap(),
            at_c.status().await.unwrap(),
        );
        (&a.digest, &a.vector) == (&b.digest, &b.vector)
            && (&a.digest, &a.vector) == (&c.digest, &c.vector)
            && a.holders.iter().all(|h| h.state == tidings::status::HolderState::Active)
    })
    .await;
    for peer in [&a, &b, &c] {
        peer.shutdown().await.unwrap();
    }
}

/// A peer without a copy reads, writes, lists and watches through a holder.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_a_copy_works_through_a_holder() {
    let a = peer("a", &[]).await;
    a.apply(vec![Definition::new("one", "one/*", 1, 1)]).await.unwrap();
    let at_a = a.database("one/x").await.unwrap();
    at_a.put("k", "v").await.unwrap();
    let b = peer("b", &[&a]).await;
    live(&b, 2).await;
    wait_for("the definition is there", async || !b.definitions().unwrap().is_empty()).await;
    let at_b = b.database("one/x").await.unwrap();
    assert_eq!(at_b.get("k").await.unwrap(), Some(b"v".to_vec()));
    let mut watch = at_b.watch("k").await.unwrap();
    let version = at_b.put("k2", "from b").await.unwrap();
    let change = watch.next().await.unwrap().unwrap();
    assert_eq!((change.key, change.version), (b"k2".to_vec(), version));
    assert_eq!(at_a.get("k2").await.unwrap(), Some(b"from b".to_vec()));
    let page = at_b.list(&ListOptions { limit: 1, ..ListOptions::default() }).await.unwrap();
    assert_eq!(page.entries[0].key, b"k");
    let options = ListOptions { cursor: page.cursor, ..ListOptions::default() };
    assert_eq!(at_b.list(&options).await.unwrap().entries.len(), 1);
    filters_and_keyspaces_elsewhere(&at_a, &at_b).await;
    let expires = SystemTime::UNIX_EPOCH + Duration::from_millis(4_102_444_800_123);
    let mut batch = Batch::new();
    batch.put_until("k3", "until 2100", expires);
    at_b.batch(batch).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().expires, Some(expires));
    for database in [&at_a, &at_b] {
        let entry = database.get_entry("k3").await.unwrap().unwrap();
        assert_eq!(entry.expires, Some(expires));
    }
    let status = at_b.status().await.unwrap();
    assert_eq!(status.peer, a.id(), "it is the holder's answer, and says so");
    let options = WriteOptions {
        acks: Some(2),
        timeout: Some(Duration::from_millis(200)),
        ..WriteOptions::default()
    };
    let error = at_b.put_with("k", "w", &options).await.unwrap_err();
    assert!(matches!(error, Error::BadArgument(_)), "{error}");
    a.shutdown().await.unwrap();
    wait_for("b notices", async || at_b.get("k").await.is_err()).await;
    let error = at_b.get("k").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(matches!(at_a.get("k").await.unwrap_err(), Error::Closed(_)));
}

/// Filters are evaluated at the holder, whose answer says where it stopped; keyspaces are told by it.
async fn filters_and_keyspaces_elsewhere(at_a: &Database, at_b: &Database) {
    let other = at_a.keyspace("other").unwrap();
    let mut batch = Batch::new();
    for n in 0..5_000 {
        batch.put(format!("{n:04}"), "v");
    }
    other.batch(batch).await.unwrap();
    let other = at_b.keyspace("other").unwrap();
    let filter = Filter::regex(".*[05]00").ok();
    let mut options = ListOptions { filter, budget: 1_000, ..ListOptions::default() };
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let page = other.list(&options).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        pages += 1;
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), pages), (10, 5));
    assert_eq!(found[9], b"4500");
    let scan = ScanOptions { filter: Filter::glob("*99").ok(), keys_only: true };
    let scan = other.scan_with(Bound::Unbounded, Bound::Unbounded, &scan);
    let scanned: Vec<_> = scan.try_collect().await.unwrap();
    assert_eq!(scanned.len(), 50);
    assert!(scanned.iter().all(|entry| entry.value.is_empty() && entry.key.ends_with(b"99")));
    let page = at_b.keyspaces(None, 1).await.unwrap();
    assert_eq!(page.names, [""]);
    let page = at_b.keyspaces(page.cursor.as_deref(), 0).await.unwrap();
    assert_eq!((page.names, page.cursor), (vec!["other".to_owned()], None));
}

/// A large value travels in fragments; a batch is applied whole; bounds are errors that name them.
#[tokio::test(flavor = "multi_thread")]
async fn large_values_and_batches_travel() {
    let a = peer("a", &[]).await;
    let b = peer("b", &[&a]).await;
    live(&a, 2).await;
    live(&b, 2).await;
    a.apply(vec![Definition::new("all", "**", 2, 2)]).await.unwrap();
    let at_a = a.database("big").await.unwrap();
    let value = vec![7_u8; tidings::limits::VALUE_MAX];
    at_a.put("large", value.clone()).await.unwrap();
    let mut batch = Batch::new();
    for n in 0..5_000_u32 {
        batch.put(n.to_be_bytes(), vec![1; 150]);
    }
    at_a.batch(batch).await.unwrap();
    wait_for("the definition is there", async || !b.definitions().unwrap().is_empty()).await;
    let at_b = b.database("big").await.unwrap();
    wait_for("the large value is there", async || {
        at_b.get("large").await.unwrap().is_some_and(|found| found == value)
    })
    .await;
    wait_for("the batch is there", async || {
        at_b.get(4_999_u32.to_be_bytes()).await.unwrap().is_some()
    })
    .await;
    let error = at_a.put("k", vec![0; tidings::limits::VALUE_MAX + 1]).await.unwrap_err();
    assert_eq!(error.code(), "value-length");
    assert_eq!(at_a.put("", "v").await.unwrap_err(), Error::KeyLength { length: 0 });
    assert_eq!(a.database("").await.unwrap_err().code(), "bad-path");
    let c = Peer::in_memory().start().await.unwrap();
    let error = c.database("nothing/here").await.unwrap_err();
    assert!(matches!(error, Error::NoMatch { .. }), "{error}");
    for peer in [a, b, c] {
        peer.shutdown().await.unwrap();
    }
}

/// A version carried from one peer to another finds what it names there, with a copy and without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_waited_for() {
    let a = peer("a", &[]).await;
    let b = peer("b", &[&a]).await;
    live(&b, 2).await;
    let definitions =
        vec![Definition::new("both", "both/*", 2, 2), Definition::new("one", "one/*", 1, 1)];
    a.apply(definitions).await.unwrap();
    wait_for("the definitions are there", async || b.definitions().unwrap().len() == 2).await;
    for path in ["both/x", "one/x"] {
        let (at_a, at_b) = (a.database(path).await.unwrap(), b.database(path).await.unwrap());
        for number in 0..200_u32 {
            let value = number.to_string();
            let version = at_a.put("k", value.clone()).await.unwrap();
            let found = at_b.get_entry_since("k", version, Duration::from_secs(10)).await.unwrap();
            assert_eq!(found.unwrap().value, value.as_bytes(), "{path}");
        }
        let version = at_a.delete("k").await.unwrap();
        let found = at_b.get_entry_since("k", version, Duration::from_secs(10)).await.unwrap();
        assert_eq!(found, None, "{path}");
        let mut never = version;
        never.dot.sequence += 1;
        let error = at_b.get_entry_since("k", never, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(50)), "{error}");
    }
}
