//! Which database a command is for.

use std::time::Duration;

use crate::support::Door;

/// Numbers and paths; what is selected is kept where a selection is refused.
#[tokio::test]
async fn databases_have_numbers_and_paths() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("SET k zero", "+OK\r\n"),
            ("SELECT 1", "+OK\r\n"),
            ("GET k", "$-1\r\n"),
            ("SET k one", "+OK\r\n"),
            ("SELECT data/some/where", "+OK\r\n"),
            ("SET k path", "+OK\r\n"),
            ("SELECT 16", "-ERR DB index is out of range\r\n"),
            ("SELECT -1", "-ERR DB index is out of range\r\n"),
            ("SELECT 01", "-ERR value is not an integer or out of range\r\n"),
            ("SELECT 99999999999999999999", "-ERR value is not an integer or out of range\r\n"),
            ("GET k", "$4\r\npath\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("GET k", "$4\r\nzero\r\n"),
            ("SELECT redis/1", "+OK\r\n"),
            ("GET k", "$3\r\none\r\n"),
            ("RESET", "+RESET\r\n"),
            ("GET k", "$4\r\nzero\r\n"),
        ])
        .await;
    client.send(b"SELECT nowhere\r\n").await;
    client.answers("-ERR no definition matches the path \"nowhere\" (nearest: ").await;
    client.skip_past(b"\r\n").await;
    client.send(b"SELECT _tidings/directory\r\n").await;
    client.answers("-ERR the path \"_tidings/directory\" names no database: ").await;
    client.skip_past(b"\r\n").await;
    client.send(b"SELECT \"\\xff\"\r\n").await;
    client.skip_past(b"it is not UTF-8\r\n").await;
    client.all(&[("GET k", "$4\r\nzero\r\n")]).await;
    let library = door.peer.database("data/some/where").await.unwrap();
    assert_eq!(library.get("k").await.unwrap(), Some(b"path".to_vec()));
    door.stop().await;
}

/// A keyspace stands behind the database, whatever is in the names of either.
#[tokio::test]
async fn keyspaces_are_apart() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let long = "x".repeat(129);
    client
        .all(&[
            ("SET k zero", "+OK\r\n"),
            ("SELECT 0 KEYSPACE one", "+OK\r\n"),
            ("GET k", "$-1\r\n"),
            ("SET k one", "+OK\r\n"),
            ("INCR n", ":1\r\n"),
            ("SELECT \"data/a KEYSPACE b\"", "+OK\r\n"),
            ("SET k path", "+OK\r\n"),
            ("SELECT data/a keyspace \"b c/d\"", "+OK\r\n"),
            ("GET k", "$-1\r\n"),
            ("SET k spaced", "+OK\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("KEYS *", "*1\r\n$1\r\nk\r\n"),
            ("GET k", "$4\r\nzero\r\n"),
            ("SELECT 0 KEYSPACE \"\"", "+OK\r\n"),
            ("GET k", "$4\r\nzero\r\n"),
            ("SELECT redis/0 KEYSPACE one", "+OK\r\n"),
            ("KEYS *", "*2\r\n$1\r\nk\r\n$1\r\nn\r\n"),
            ("DBSIZE", ":2\r\n"),
            ("KEYS [k]", "*1\r\n$1\r\nk\r\n"),
            ("SCAN 0 MATCH ?", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nk\r\n$1\r\nn\r\n"),
            ("SELECT 0 KEYSPACE none", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("RANDOMKEY", "$-1\r\n"),
            ("KEYS *", "*0\r\n"),
            ("FLUSHDB", "+OK\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("DBSIZE", ":1\r\n"),
            ("RANDOMKEY", "$1\r\nk\r\n"),
            ("KEYS ?", "*1\r\n$1\r\nk\r\n"),
            ("SELECT 0 KEYSPACE one", "+OK\r\n"),
            ("SELECT 0 KEYSPACE", "-ERR syntax error\r\n"),
            ("SELECT 0 KEYS one", "-ERR syntax error\r\n"),
            ("SELECT 0 KEYSPACE one two", "-ERR syntax error\r\n"),
            ("SELECT 0 KEYSPACE \"\\xff\"", "-ERR the name of a keyspace is UTF-8\r\n"),
            (
                &format!("SELECT 0 KEYSPACE {long}"),
                "-ERR the name of a keyspace of 129 bytes: at most 128\r\n",
            ),
            ("FLUSHDB", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("DBSIZE", ":1\r\n"),
            ("RESET", "+RESET\r\n"),
            ("GET k", "$4\r\nzero\r\n"),
        ])
        .await;
    let library = door.peer.database("data/a").await.unwrap().keyspace("b c/d").unwrap();
    assert_eq!(library.get("k").await.unwrap(), Some(b"spaced".to_vec()));
    door.stop().await;
}

/// Events are those of the keyspace that is selected, and of one only.
#[tokio::test]
async fn events_are_of_one_keyspace() {
    let door = Door::start().await;
    let mut client = door.client3().await;
    client
        .send(b"SELECT 0 KEYSPACE one\r\nPSUBSCRIBE __keyspace@*\r\nSUBSCRIBE __keyspace@1__:k\r\n")
        .await;
    client.skip_past(b"__keyspace@1__:k\r\n:2\r\n").await;
    client.send(b"SELECT 0\r\nSUBSCRIBE __keyspace@0__:k\r\n").await;
    client.answers("+OK\r\n-ERR a connection listens to one keyspace: ").await;
    client.skip_past(b"\r\n").await;
    let mut writer = door.client().await;
    writer
        .all(&[
            ("SET k v", "+OK\r\n"),
            ("SELECT 1 KEYSPACE one", "+OK\r\n"),
            ("SET k v", "+OK\r\n"),
        ])
        .await;
    client.answers(">3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@1__:k\r\n$3\r\nset\r\n").await;
    writer.all(&[("SELECT 0 KEYSPACE one", "+OK\r\n"), ("INCR k", ":1\r\n")]).await;
    client
        .answers(">4\r\n$8\r\npmessage\r\n$12\r\n__keyspace@*\r\n$16\r\n__keyspace@0__:k\r\n$3\r\nset\r\n")
        .await;
    door.stop().await;
}

/// The database of a new connection is the one that the door was given; it is needed by the first
/// command only, and may be defined later.
#[tokio::test]
async fn a_door_may_have_another_default() {
    let peer = tidings::Peer::in_memory().start().await.unwrap();
    let door = Door::of(peer, Some("cache/a"), None).await;
    let mut client = door.client().await;
    client.all(&[("PING", "+PONG\r\n")]).await;
    client.send(b"GET k\r\n").await;
    client.answers("-ERR no definition matches the path \"cache/a\"").await;
    client.skip_past(b"\r\n").await;
    let definition = tidings::Definition::new("cache", "cache/*", 1, 1);
    door.peer.apply(vec![definition]).await.unwrap();
    client.all(&[("SET k v", "+OK\r\n"), ("SELECT 0", "+OK\r\n"), ("GET k", "$1\r\nv\r\n")]).await;
    let library = door.peer.database("cache/a").await.unwrap();
    assert_eq!(library.get("k").await.unwrap(), Some(b"v".to_vec()));
    door.stop().await;
}

/// Two peers: what is written at one is read at the other, and `WAIT` tells how many have it.
#[tokio::test(flavor = "multi_thread")]
async fn wait_counts_the_other_holders() {
    let secret = b"a secret that is long enough";
    let a = tidings::Peer::in_memory().secret(secret).listen("/ip4/127.0.0.1/tcp/0");
    let definition = tidings::Definition::new("redis", "redis/*", 2, 2);
    let a = a.definitions(vec![definition]).start().await.unwrap();
    let door = Door::of(a.clone(), None, None).await;
    let mut client = door.client().await;
    client
        .all(&[
            ("WAIT 0 0", ":0\r\n"),
            ("SET k v", "+OK\r\n"),
            ("WAIT 1 1", ":0\r\n"),
            ("WAIT x 0", "-ERR value is not an integer or out of range\r\n"),
            ("WAIT 0 x", "-ERR timeout is not an integer or out of range\r\n"),
            ("WAIT 0 -1", "-ERR timeout is negative\r\n"),
        ])
        .await;
    let b = tidings::Peer::in_memory().secret(secret).listen("/ip4/127.0.0.1/tcp/0");
    let b = b.bootstrap(a.listen_addresses().remove(0)).start().await.unwrap();
    client.all(&[("WAIT 1 20000", ":1\r\n"), ("SET k w", "+OK\r\n"), ("WAIT 1 0", ":1\r\n")]).await;
    let at_b = b.database("redis/0").await.unwrap();
    at_b.sync(Duration::from_secs(20)).await.unwrap();
    assert_eq!(at_b.get("k").await.unwrap(), Some(b"w".to_vec()));
    b.shutdown().await.unwrap();
    door.stop().await;
}
