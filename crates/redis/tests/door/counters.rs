//! `INCR`, `DECR`, `INCRBY` and `DECRBY`.

use std::time::Duration;

use tidings::{Definition, Peer};

use crate::support::Door;

const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
const OVERFLOW: &str = "-ERR increment or decrement would overflow\r\n";

/// From nothing, from a number, and back; an expiry stays.
#[tokio::test]
async fn counters_count() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("INCR n", ":1\r\n"),
            ("INCRBY n 41", ":42\r\n"),
            ("GET n", "$2\r\n42\r\n"),
            ("TYPE n", "+string\r\n"),
            ("STRLEN n", ":2\r\n"),
            ("DECRBY n 50", ":-8\r\n"),
            ("DECR n", ":-9\r\n"),
            ("INCRBY n -1", ":-10\r\n"),
            ("MGET n none", "*2\r\n$3\r\n-10\r\n$-1\r\n"),
            ("EXPIRE n 100", ":1\r\n"),
            ("INCR n", ":-9\r\n"),
            ("TTL n", ":~100\r\n"),
            ("EXPIRE n 50 GT", ":0\r\n"),
            ("EXPIRE n 200 XX GT", ":1\r\n"),
            ("GETEX n EX 300", "$2\r\n-9\r\n"),
            ("INCR n", ":-8\r\n"),
            ("TTL n", ":~300\r\n"),
            ("PERSIST n", ":1\r\n"),
            ("TTL n", ":-1\r\n"),
            ("INCR n", ":-7\r\n"),
            ("EXPIRE n -1", ":1\r\n"),
            ("INCR n", ":1\r\n"),
            ("DEL n", ":1\r\n"),
            ("GET n", "$-1\r\n"),
            ("DECR n", ":-1\r\n"),
            ("SET n 10 EX 100", "+OK\r\n"),
            ("INCR n", ":11\r\n"),
            ("TTL n", ":~100\r\n"),
        ])
        .await;
    door.stop().await;
}

/// What is no number is not counted, and stays.
#[tokio::test]
async fn what_cannot_be_counted_is_refused() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("INCRBY n x", NOT_AN_INTEGER),
            ("INCRBY n 1.5", NOT_AN_INTEGER),
            ("DECRBY n 9223372036854775808", NOT_AN_INTEGER),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"),
            ("EXISTS n", ":0\r\n"),
            ("SET n 9223372036854775807", "+OK\r\n"),
            ("INCR n", OVERFLOW),
            ("DECR n", ":9223372036854775806\r\n"),
            ("INCRBY n 2", OVERFLOW),
            ("SET n -9223372036854775808", "+OK\r\n"),
            ("DECR n", OVERFLOW),
            ("GET n", "$20\r\n-9223372036854775808\r\n"),
        ])
        .await;
    for text in ["text", "1.5", "", " 1", "1 ", "01", "+1", "-0", "9223372036854775808"] {
        client
            .all(&[
                (&format!("SET n \"{text}\""), "+OK\r\n"),
                ("INCR n", NOT_AN_INTEGER),
                ("GET n", &format!("${}\r\n{text}\r\n", text.len())),
            ])
            .await;
    }
    door.stop().await;
}

/// Commands that read a value and write another one make a plain value of a counter, which goes on
/// counting from there.
#[tokio::test]
async fn a_counter_may_become_a_value() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("INCR n", ":1\r\n"),
            ("APPEND n 0", ":2\r\n"),
            ("INCR n", ":11\r\n"),
            ("SETRANGE n 0 2", ":2\r\n"),
            ("INCR n", ":22\r\n"),
            ("GETSET n 5", "$2\r\n22\r\n"),
            ("INCR n", ":6\r\n"),
            ("GETDEL n", "$1\r\n6\r\n"),
            ("SET n 7 GET", "$-1\r\n"),
            ("INCR n", ":8\r\n"),
        ])
        .await;
    door.stop().await;
}

/// Everything that is counted at two peers at the same time counts, while the expiry changes: a changed
/// expiry leaves a counter one.
#[tokio::test(flavor = "multi_thread")]
async fn two_peers_count_together() {
    const TIMES: usize = 100;
    let secret = b"a secret that is long enough";
    let peer = || Peer::in_memory().secret(secret).listen("/ip4/127.0.0.1/tcp/0");
    let definition = Definition::new("redis", "redis/*", 2, 2);
    let a = peer().definitions(vec![definition]).start().await.unwrap();
    let here = Door::of(a.clone(), None, None).await;
    here.client().await.all(&[("INCR n", ":1\r\n")]).await;
    let b = peer().bootstrap(a.listen_addresses().remove(0)).start().await.unwrap();
    here.client().await.all(&[("WAIT 1 20000", ":1\r\n")]).await;
    let there = Door::of(b.clone(), None, None).await;

    let mut tasks = Vec::new();
    for door in [&here, &there] {
        for client in 0..4 {
            let mut connection = door.client().await;
            tasks.push(tokio::spawn(async move {
                for time in 0..TIMES {
                    let other = ["EXPIRE n 1000", "PERSIST n", "GETEX n EX 2000", "GET n"][client];
                    let line = if time % 5 == 4 { other } else { "INCR n" };
                    connection.send(format!("{line}\r\nECHO end\r\n").as_bytes()).await;
                    connection.skip_past(b"$3\r\nend\r\n").await;
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let total = 1 + 8 * TIMES * 4 / 5;
    for (door, peer) in [(&here, &a), (&there, &b), (&here, &a)] {
        peer.database("redis/0").await.unwrap().sync(Duration::from_secs(20)).await.unwrap();
        let (text, mut client) = (total.to_string(), door.client().await);
        client.all(&[("GET n", &format!("${}\r\n{text}\r\n", text.len()))]).await;
    }
    there.stop().await;
    here.stop().await;
}
