//! Watches that go on with their token: what came meanwhile is told, at whichever peer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers too may panic")]

mod support;

use std::time::Duration;

use support::wait_within;
use tidings::{Batch, Change, Database, Definition, Error, Peer, Watch, WatchToken};

const SECRET: &[u8] = b"a secret that is long enough";

async fn peer(name: &str, others: &[&Peer]) -> Peer {
    let mut builder =
        Peer::in_memory().name(name).secret(SECRET).listen("/ip4/127.0.0.1/tcp/0").definitions(
            vec![Definition::new("notes", "notes/*", 2, 2), Definition::new("one", "one/*", 1, 1)],
        );
    for other in others {
        builder = builder.bootstrap(other.listen_addresses().remove(0));
    }
    builder.start().await.unwrap()
}

async fn alone(path: &str) -> (Peer, Database) {
    let peer = peer("a", &[]).await;
    let database = peer.database(path).await.unwrap();
    (peer, database)
}

/// The next changes, as text: `key=value`, or `key` where it was deleted.
async fn told(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let next = tokio::time::timeout(Duration::from_secs(20), watch.next());
        let change = next.await.expect("in time").expect("not over").expect("no error");
        told.push(shown(change));
    }
    told
}

fn shown(change: Change) -> String {
    let key = String::from_utf8(change.key).unwrap();
    let value = change.value.map(|value| format!("={}", String::from_utf8(value).unwrap()));
    key + &value.unwrap_or_default()
}

/// The next change. Where the watch is over, since two peers that began together drop one of their
/// connections, or since the database came into being at another peer, it goes on with its token.
async fn followed(database: &Database, watch: &mut Watch) -> String {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), watch.next());
        match next.await.expect("in time").expect("not over") {
            Ok(change) => return shown(change),
            Err(Error::Lagged) => {
                *watch = database.watch_after("", &watch.token()).await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Writes, as soon as who is asked knows the directory: the peers have just begun.
async fn put(database: &Database, key: &str, value: &str) {
    let written = async || match database.put(key, value).await {
        Err(Error::Unavailable { .. }) => false,
        written => {
            written.unwrap();
            true
        }
    };
    wait_within(Duration::from_secs(20), "it can be written", written).await;
}

/// As text and back, as a program keeps it.
fn kept(token: &WatchToken) -> WatchToken {
    token.to_string().parse().unwrap()
}

#[tokio::test]
async fn what_came_meanwhile_is_told_once() {
    let (_peer, database) = alone("one/x").await;
    let mut watch = database.watch("k").await.unwrap();
    let begun = kept(&watch.token());
    database.put("k1", "a").await.unwrap();
    assert_eq!(told(&mut watch, 1).await, ["k1=a"]);
    let first = kept(&watch.token());
    assert_ne!(first, begun);
    drop(watch);
    database.put("k1", "b").await.unwrap();
    database.put("other", "x").await.unwrap();
    database.put("k2", "c").await.unwrap();
    database.delete("k2").await.unwrap();
    database.put("k1", "d").await.unwrap();
    database.incr("k3", 4).await.unwrap();
    database.incr("k3", 5).await.unwrap();
    let mut watch = database.watch_after("k", &first).await.unwrap();
    assert_eq!(kept(&watch.token()), first, "nothing was told yet");
    let mut changes = told(&mut watch, 3).await;
    changes.sort_unstable();
    assert_eq!(changes, ["k1=d", "k2", "k3=9"]);
    database.put("k4", "live").await.unwrap();
    assert_eq!(told(&mut watch, 1).await, ["k4=live"]);
    let last = kept(&watch.token());
    let mut watch = database.watch_after("k", &last).await.unwrap();
    database.put("k5", "e").await.unwrap();
    assert_eq!(told(&mut watch, 1).await, ["k5=e"]);
    let mut watch = database.watch_after("", &begun).await.unwrap();
    let mut changes = told(&mut watch, 6).await;
    changes.sort_unstable();
    assert_eq!(changes, ["k1=d", "k2", "k3=9", "k4=live", "k5=e", "other=x"]);
}

#[tokio::test]
async fn a_batch_that_was_told_in_part_is_told_again() {
    let (_peer, database) = alone("one/x").await;
    let mut watch = database.watch("").await.unwrap();
    let before = watch.token();
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "2");
    database.batch(batch).await.unwrap();
    assert_eq!(told(&mut watch, 1).await, ["a=1"]);
    assert_eq!(watch.token(), before);
    assert_eq!(told(&mut watch, 1).await, ["b=2"]);
    assert_ne!(watch.token(), before);
    let mut again = database.watch_after("", &before).await.unwrap();
    assert_eq!(told(&mut again, 2).await, ["a=1", "b=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_holds_at_every_peer() {
    let a = peer("a", &[]).await;
    let b = peer("b", &[&a]).await;
    let c = peer("c", &[&a, &b]).await;
    let databases = [&a, &b, &c].map(|peer| async { peer.database("notes/alice").await.unwrap() });
    let [at_a, at_b, at_c] = databases;
    let (at_a, at_b, at_c) = (at_a.await, at_b.await, at_c.await);
    let mut watch = at_a.watch("").await.unwrap();
    put(&at_a, "0", "x").await;
    assert_eq!(followed(&at_a, &mut watch).await, "0=x");
    let mut token = watch.token();
    // Two of them hold it, and one asks a holder.
    for (round, database) in [&at_b, &at_c, &at_a, &at_c, &at_b].into_iter().enumerate() {
        let (key, value) = (format!("{}", round + 1), format!("{round}"));
        put([&at_c, &at_a, &at_b][round % 3], &key, &value).await;
        let mut watch = database.watch_after("", &token).await.unwrap();
        assert_eq!(followed(database, &mut watch).await, format!("{key}={value}"));
        token = kept(&watch.token());
    }
}

#[tokio::test]
async fn a_token_holds_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let definitions = vec![Definition::new("one", "one/*", 1, 1)];
        Peer::builder(directory.path())
            .listen("/ip4/127.0.0.1/tcp/0")
            .mdns(false)
            .definitions(definitions)
            .start()
    };
    let peer = start().await.unwrap();
    let database = peer.database("one/x").await.unwrap();
    let mut watch = database.watch("").await.unwrap();
    database.put("a", "1").await.unwrap();
    assert_eq!(told(&mut watch, 1).await, ["a=1"]);
    let token = kept(&watch.token());
    database.put("b", "2").await.unwrap();
    drop((watch, database));
    peer.shutdown().await.unwrap();
    drop(peer);
    let peer = start().await.unwrap();
    let database = peer.database("one/x").await.unwrap();
    database.put("c", "3").await.unwrap();
    let mut watch = database.watch_after("", &token).await.unwrap();
    let mut changes = told(&mut watch, 2).await;
    changes.sort_unstable();
    assert_eq!(changes, ["b=2", "c=3"]);
}

#[tokio::test]
async fn a_token_that_cannot_hold_is_refused() {
    let (peer, database) = alone("one/x").await;
    let token = database.watch("").await.unwrap().token();
    let other = peer.database("one/y").await.unwrap();
    other.put("k", "v").await.unwrap();
    let error = other.watch_after("", &token).await.unwrap_err();
    assert!(matches!(error, Error::BadArgument(_)), "{error}");
    for text in ["", "x", "AAAA", "not a token", &token.to_string()[1..]] {
        let error = text.parse::<WatchToken>().unwrap_err();
        assert!(error.to_string().contains("token"), "{error}");
    }
    database.put("k", "v").await.unwrap();
    let token = database.watch("").await.unwrap().token();
    peer.drop_database("one/x").await.unwrap();
    database.put("k", "again").await.unwrap();
    let error = database.watch_after("", &token).await.unwrap_err();
    assert_eq!(error, Error::Lagged, "the database was dropped");
}

#[tokio::test]
async fn too_much_to_be_told_is_to_be_read() {
    let (_peer, database) = alone("one/x").await;
    let token = database.watch("").await.unwrap().token();
    for part in 0..11 {
        let mut batch = Batch::new();
        for key in 0..1000 {
            batch.put(format!("{part}/{key}"), "v");
        }
        database.batch(batch).await.unwrap();
    }
    assert_eq!(database.watch_after("", &token).await.unwrap_err(), Error::Lagged);
    let mut watch = database.watch_after("7/", &token).await.unwrap();
    assert_eq!(told(&mut watch, 1000).await.len(), 1000);
}
