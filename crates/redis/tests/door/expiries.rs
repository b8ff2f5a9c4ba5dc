//! When keys expire. Times that pass are not waited for: they are named, in the past or far off.

use crate::support::Door;

/// Seconds since the Unix epoch in the year 2100.
const LATE: &str = "4102444800";

/// Setting, comparing and taking away.
#[tokio::test]
async fn an_expiry_is_set_and_told() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("TTL a", ":-2\r\n"),
            ("PTTL a", ":-2\r\n"),
            ("EXPIRETIME a", ":-2\r\n"),
            ("PEXPIRETIME a", ":-2\r\n"),
            ("EXPIRE a 100", ":0\r\n"),
            ("SET a v", "+OK\r\n"),
            ("TTL a", ":-1\r\n"),
            ("PTTL a", ":-1\r\n"),
            ("EXPIRETIME a", ":-1\r\n"),
            ("PEXPIRETIME a", ":-1\r\n"),
            ("EXPIRE a 100", ":1\r\n"),
            ("TTL a", ":~100\r\n"),
            ("PEXPIRE a 200000", ":1\r\n"),
            ("TTL a", ":~200\r\n"),
            (&format!("EXPIREAT a {LATE}"), ":1\r\n"),
            ("EXPIRETIME a", &format!(":{LATE}\r\n")),
            ("PEXPIRETIME a", &format!(":{LATE}000\r\n")),
            (&format!("PEXPIREAT a {LATE}499"), ":1\r\n"),
            ("PEXPIRETIME a", &format!(":{LATE}499\r\n")),
            ("EXPIRETIME a", &format!(":{LATE}\r\n")),
            ("GET a", "$1\r\nv\r\n"),
            ("PERSIST a", ":1\r\n"),
            ("PERSIST a", ":0\r\n"),
            ("PERSIST none", ":0\r\n"),
            ("TTL a", ":-1\r\n"),
        ])
        .await;
    door.stop().await;
}

/// `NX`, `XX`, `GT` and `LT`; no expiry is later than any.
#[tokio::test]
async fn an_expiry_may_have_a_condition() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let both = "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n";
    client
        .all(&[
            ("SET a v", "+OK\r\n"),
            ("EXPIRE a 100 XX", ":0\r\n"),
            ("EXPIRE a 100 GT", ":0\r\n"),
            ("EXPIRE a 100 NX", ":1\r\n"),
            ("EXPIRE a 200 NX", ":0\r\n"),
            ("EXPIRE a 200 LT", ":0\r\n"),
            ("EXPIRE a 200 gt", ":1\r\n"),
            ("EXPIRE a 100 GT", ":0\r\n"),
            ("EXPIRE a 100 XX LT", ":1\r\n"),
            ("TTL a", ":~100\r\n"),
            ("PERSIST a", ":1\r\n"),
            ("EXPIRE a 100 LT", ":1\r\n"),
            ("EXPIRE a 100 NX XX", both),
            ("EXPIRE a 100 NX LT", both),
            (
                "EXPIRE a 100 GT LT",
                "-ERR GT and LT options at the same time are not compatible\r\n",
            ),
            ("EXPIRE a 100 foo", "-ERR Unsupported option foo\r\n"),
            ("EXPIRE a x", "-ERR value is not an integer or out of range\r\n"),
            ("EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"),
            ("PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n"),
        ])
        .await;
    client.send(b"EXPIREAT a 253402300800\r\n").await;
    // Redis takes later ones.
    client.skip_past(b"the end of the year 9999; give none to an entry that stays\r\n").await;
    door.stop().await;
}

/// An expiry in the past deletes, or hides at once.
#[tokio::test]
async fn what_has_expired_is_gone() {
    let door = Door::start().await;
    let mut client = door.client().await;
    for (set, expire) in [
        ("SET a v", "EXPIRE a -1"),
        ("SET a v", "PEXPIRE a 0"),
        ("SET a v", "EXPIREAT a 1"),
        ("SET a v", "PEXPIREAT a -5"),
    ] {
        client.all(&[(set, "+OK\r\n"), (expire, ":1\r\n"), ("EXISTS a", ":0\r\n")]).await;
    }
    client
        .all(&[
            ("SET a v EXAT 5", "+OK\r\n"),
            ("GET a", "$-1\r\n"),
            ("EXISTS a", ":0\r\n"),
            ("KEYS *", "*0\r\n"),
            ("SET a w XX", "$-1\r\n"),
            ("SETNX a w", ":1\r\n"),
            ("TTL a", ":-1\r\n"),
        ])
        .await;
    door.stop().await;
}

/// Which writes keep an expiry, and which take it away.
#[tokio::test]
async fn a_plain_set_takes_an_expiry_away() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("SET a v EX 100", "+OK\r\n"),
            ("SET a w KEEPTTL", "+OK\r\n"),
            ("TTL a", ":~100\r\n"),
            ("SET a x KEEPTTL GET", "$1\r\nw\r\n"),
            ("TTL a", ":~100\r\n"),
            ("SET a y", "+OK\r\n"),
            ("TTL a", ":-1\r\n"),
            ("SET a z KEEPTTL", "+OK\r\n"),
            ("TTL a", ":-1\r\n"),
            ("GETEX a EX 100", "$1\r\nz\r\n"),
            ("TTL a", ":~100\r\n"),
            ("GETEX a", "$1\r\nz\r\n"),
            ("TTL a", ":~100\r\n"),
            ("GETEX a PERSIST", "$1\r\nz\r\n"),
            ("TTL a", ":-1\r\n"),
            ("GETEX none EX 100", "$-1\r\n"),
            ("GETEX none EX x", "$-1\r\n"),
            ("GETEX none EX", "-ERR syntax error\r\n"),
            ("GETEX a EX 0", "-ERR invalid expire time in 'getex' command\r\n"),
            ("GETEX a EX 100 PERSIST", "-ERR syntax error\r\n"),
            ("GETEX a foo", "-ERR syntax error\r\n"),
            ("GETEX a PXAT 1", "$1\r\nz\r\n"),
            ("GET a", "$-1\r\n"),
        ])
        .await;
    door.stop().await;
}

/// Where the definition has a time to live, every entry has an expiry, until that is changed.
#[tokio::test]
async fn a_definition_may_have_a_time_to_live() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("SELECT brief/a", "+OK\r\n"),
            ("SET a v", "+OK\r\n"),
            ("TTL a", ":~3600\r\n"),
            ("EXPIRE a 7200", ":1\r\n"),
            ("TTL a", ":~7200\r\n"),
            ("PERSIST a", ":1\r\n"),
            ("TTL a", ":-1\r\n"),
            ("SET a w", "+OK\r\n"),
            ("TTL a", ":~3600\r\n"),
            ("GETEX a PERSIST", "$1\r\nw\r\n"),
            ("TTL a", ":-1\r\n"),
            ("INCR n", ":1\r\n"),
            ("TTL n", ":~3600\r\n"),
        ])
        .await;
    door.stop().await;
}
