//! Keys: which are there, listing them, deleting them.

use std::collections::BTreeSet;

use crate::support::{Client, Door};

/// What is there, and what goes.
#[tokio::test]
async fn keys_are_counted_and_deleted() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("RANDOMKEY", "$-1\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("DEL a", ":0\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("MSET a 1 b 2 c 3", "+OK\r\n"),
            ("DBSIZE", ":3\r\n"),
            ("EXISTS a", ":1\r\n"),
            ("EXISTS a a none b", ":3\r\n"),
            ("TYPE a", "+string\r\n"),
            ("TYPE none", "+none\r\n"),
            ("DEL a", ":1\r\n"),
            ("DEL a", ":0\r\n"),
            ("DEL a b b none", ":1\r\n"),
            ("UNLINK c c", ":1\r\n"),
            ("UNLINK c none", ":0\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("SET only v", "+OK\r\n"),
            ("RANDOMKEY", "$4\r\nonly\r\n"),
            ("FLUSHDB foo", "-ERR syntax error\r\n"),
            ("FLUSHDB", "+OK\r\n"),
            ("EXISTS only", ":0\r\n"),
            ("FLUSHDB ASYNC", "+OK\r\n"),
            ("FLUSHDB SYNC", "+OK\r\n"),
        ])
        .await;
    door.client3().await.all(&[("RANDOMKEY", "_\r\n")]).await;
    door.stop().await;
}

/// Each of two keys comes now and then: that one does not within 200 times is as good as impossible.
#[tokio::test]
async fn any_key_may_come() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.all(&[("MSET bar 1 foo 2", "+OK\r\n")]).await;
    client.send("RANDOMKEY\r\n".repeat(200).as_bytes()).await;
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        client.answers("$3\r\n").await;
        seen.insert(client.read_past(b"\r\n").await);
    }
    assert_eq!(seen.len(), 2);
    door.stop().await;
}

/// Patterns of keys.
#[tokio::test]
async fn keys_by_pattern() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("MSET user:1 a user:2 b user:10 c us d", "+OK\r\n"),
            ("KEYS user:?", "*2\r\n$6\r\nuser:1\r\n$6\r\nuser:2\r\n"),
            ("KEYS u[rs]", "*1\r\n$2\r\nus\r\n"),
            ("KEYS none*", "*0\r\n"),
            ("SCAN 0 MATCH user:1*", "*2\r\n$1\r\n0\r\n*2\r\n$6\r\nuser:1\r\n$7\r\nuser:10\r\n"),
            ("SCAN 0 COUNT 100 TYPE string MATCH us", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\nus\r\n"),
            ("SCAN 0 TYPE hash", "*2\r\n$1\r\n0\r\n*0\r\n"),
            ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
            ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n"),
            ("SCAN 0 MATCH", "-ERR syntax error\r\n"),
            ("SCAN 0 foo bar", "-ERR syntax error\r\n"),
            ("SCAN x", "-ERR invalid cursor\r\n"),
            ("SCAN -1", "-ERR invalid cursor\r\n"),
            // Redis takes any number, and begins somewhere.
            ("SCAN 7", "-ERR the cursor 7 is not known any more: begin again with cursor 0\r\n"),
        ])
        .await;
    door.stop().await;
}

/// One step of a scan: the next cursor and the keys.
async fn step(client: &mut Client, line: &str) -> (String, Vec<String>) {
    client.send(format!("{line}\r\nECHO end\r\n").as_bytes()).await;
    let got = String::from_utf8(client.read_past(b"$3\r\nend\r\n").await).unwrap();
    let words: Vec<&str> = got.split("\r\n").collect();
    assert_eq!(words[0], "*2", "{got}");
    // Each bulk string is two lines; behind the keys are the two of the echo and an empty one.
    let keys = words[4..words.len() - 3].chunks(2).map(|pair| pair[1].to_owned());
    (words[2].to_owned(), keys.collect())
}

/// A scan over several connections, with a step that is repeated, sees each key once.
#[tokio::test]
async fn a_scan_sees_every_key() {
    let door = Door::start().await;
    let (mut one, mut other) = (door.client().await, door.client().await);
    let pairs: Vec<String> = (0..100).map(|key| format!("k{key} v")).collect();
    one.all(&[(&format!("MSET {} other v", pairs.join(" ")), "+OK\r\n")]).await;
    let (mut cursor, mut seen, mut steps) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let line = format!("SCAN {cursor} MATCH k* COUNT 7");
        let (next, keys) = step(if steps % 2 == 0 { &mut one } else { &mut other }, &line).await;
        if steps == 3 {
            let (again, same) = step(&mut other, &line).await;
            assert!(again != "0" && same == keys, "a step may be repeated");
        }
        seen.extend(keys);
        steps += 1;
        if next == "0" {
            break;
        }
        cursor = next;
    }
    assert_eq!((seen.len(), steps), (100, 15));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 100);
    one.send(format!("SCAN {cursor}\r\n").as_bytes()).await;
    one.answers(format!("-ERR the cursor {cursor} is not known")).await;
    door.stop().await;
}

/// Patterns that say more than a prefix: a step looks at as many keys as it counts, and may find none.
#[tokio::test]
async fn a_step_may_find_nothing() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let pairs: Vec<String> = (0..100).map(|key| format!("k{key:02} v")).collect();
    client.all(&[(&format!("MSET {}", pairs.join(" ")), "+OK\r\n")]).await;
    let (mut cursor, mut seen, mut empty) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let line = format!("SCAN {cursor} MATCH *[59]? COUNT 10");
        let (next, keys) = step(&mut client, &line).await;
        empty += usize::from(keys.is_empty());
        seen.extend(keys);
        if next == "0" {
            break;
        }
        cursor = next;
    }
    assert_eq!((seen.len(), empty), (20, 8));
    client
        .all(&[
            ("KEYS k[^0-8]9", "*1\r\n$3\r\nk99\r\n"),
            (r"KEYS k\99", "*1\r\n$3\r\nk99\r\n"),
            ("KEYS *[", "*0\r\n"),
            (r#"SET "\xff\x00" v"#, "+OK\r\n"),
        ])
        .await;
    client.send(b"KEYS \"[\\xfe-\\xff]?\"\r\n").await;
    client.answers(b"*1\r\n$2\r\n\xff\0\r\n").await;
    let long = "?".repeat(500) + &"[^a]".repeat(1000);
    client.all(&[(&format!("KEYS {long}"), "*0\r\n")]).await;
    door.stop().await;
}

/// A cursor belongs to its database; with another pattern it goes on where it is.
#[tokio::test]
async fn a_cursor_belongs_to_its_database() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.all(&[("MSET a 1 b 2 c 3 d 4", "+OK\r\n")]).await;
    let (cursor, keys) = step(&mut client, "SCAN 0 COUNT 2").await;
    assert_eq!(keys, ["a", "b"]);
    let (end, keys) = step(&mut client, &format!("SCAN {cursor} MATCH d*")).await;
    assert_eq!((end.as_str(), keys), ("0", vec!["d".to_owned()]));
    let (cursor, _) = step(&mut client, "SCAN 0 COUNT 2").await;
    let behind = step(&mut client, &format!("SCAN {cursor} MATCH a*")).await;
    assert_eq!(behind, ("0".to_owned(), Vec::new()), "it is behind these keys");
    let (cursor, _) = step(&mut client, "SCAN 0 COUNT 2").await;
    client
        .all(&[
            ("SELECT 1", "+OK\r\n"),
            (
                &format!("SCAN {cursor}"),
                &format!("-ERR the cursor {cursor} belongs to another database or keyspace: select that, or begin with cursor 0\r\n"),
            ),
        ])
        .await;
    door.stop().await;
}

/// Deleting everything takes more than one page and more than one batch.
#[tokio::test]
async fn many_keys_are_deleted() {
    let door = Door::start().await;
    let mut client = door.client().await;
    for part in 0..3 {
        let keys: Vec<String> = (0..5000).map(|key| format!("key-{part}-{key}")).collect();
        let mut words = vec![&b"MSET"[..]];
        words.extend(keys.iter().flat_map(|key| [key.as_bytes(), b"v"]));
        client.send(&crate::support::request(&words)).await;
        client.answers("+OK\r\n").await;
    }
    client.all(&[("DBSIZE", ":15000\r\n"), ("FLUSHDB", "+OK\r\n"), ("DBSIZE", ":0\r\n")]).await;
    client.all(&[("KEYS *", "*0\r\n")]).await;
    door.stop().await;
}
