//! Values: setting, reading, changing parts.

use crate::support::{Door, request};

/// `SET` with each of its options, and what they refuse.
#[tokio::test]
async fn set_with_its_options() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("GET a", "$-1\r\n"),
            ("SET a 1", "+OK\r\n"),
            ("GET a", "$1\r\n1\r\n"),
            ("SET a 2 NX", "$-1\r\n"),
            ("SET b 2 NX", "+OK\r\n"),
            ("SET a 3 XX", "+OK\r\n"),
            ("SET c 3 XX", "$-1\r\n"),
            ("SET a 4 GET", "$1\r\n3\r\n"),
            ("SET c 4 GET", "$-1\r\n"),
            ("GET c", "$1\r\n4\r\n"),
            ("SET c 5 GET NX", "$1\r\n4\r\n"),
            ("SET d 5 XX GET", "$-1\r\n"),
            ("SET d 5 NX GET", "$-1\r\n"),
            ("GET d", "$1\r\n5\r\n"),
            ("SET a \"\"", "+OK\r\n"),
            ("GET a", "$0\r\n\r\n"),
            ("set A x", "+OK\r\n"),
            ("SET a b c", "-ERR syntax error\r\n"),
            ("SET a b NX XX", "-ERR syntax error\r\n"),
            ("SET a b XX NX", "-ERR syntax error\r\n"),
            ("SET a b EX", "-ERR syntax error\r\n"),
            ("SET a b EX 5 PX 5", "-ERR syntax error\r\n"),
            ("SET twice b EX 5 EX 100", "+OK\r\n"),
            ("TTL twice", ":~100\r\n"),
            ("SET a b EX 5 KEEPTTL", "-ERR syntax error\r\n"),
            ("SET a b KEEPTTL EX 5", "-ERR syntax error\r\n"),
            ("SET a b EX x", "-ERR value is not an integer or out of range\r\n"),
            ("SET a b EX 0", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET a b PX -1", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET a b EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET a", "-ERR wrong number of arguments for 'set' command\r\n"),
            ("GET a", "$0\r\n\r\n"),
        ])
        .await;
    let mut client = door.client3().await;
    client
        .all(&[
            ("GET none", "_\r\n"),
            ("SET a 2 NX", "_\r\n"),
            ("SET e 2 GET", "_\r\n"),
            ("GET e", "$1\r\n2\r\n"),
        ])
        .await;
    door.stop().await;
}

/// The relatives of `SET`.
#[tokio::test]
async fn the_older_ways_to_set() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("SETNX a 1", ":1\r\n"),
            ("SETNX a 2", ":0\r\n"),
            ("GETSET a 3", "$1\r\n1\r\n"),
            ("GETSET b 3", "$-1\r\n"),
            ("SETEX c 100 v", "+OK\r\n"),
            ("TTL c", ":~100\r\n"),
            ("GETSET c w", "$1\r\nv\r\n"),
            ("TTL c", ":-1\r\n"),
            ("PSETEX c 100000 v", "+OK\r\n"),
            ("TTL c", ":~100\r\n"),
            ("SETEX c 0 v", "-ERR invalid expire time in 'setex' command\r\n"),
            ("PSETEX c -5 v", "-ERR invalid expire time in 'psetex' command\r\n"),
            ("SETEX c x v", "-ERR value is not an integer or out of range\r\n"),
            ("MSET d 1 e 2 d 3", "+OK\r\n"),
            ("MGET d e none d", "*4\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n"),
            ("MSET d", "-ERR wrong number of arguments for 'mset' command\r\n"),
            ("MSET d 1 e", "-ERR wrong number of arguments for 'mset' command\r\n"),
            ("MSETNX f 1 g 2", ":1\r\n"),
            ("MSETNX g 1 h 2", ":0\r\n"),
            ("MGET g h", "*2\r\n$1\r\n2\r\n$-1\r\n"),
            ("MSETNX g 1 h", "-ERR wrong number of arguments for 'msetnx' command\r\n"),
            ("GETDEL g", "$1\r\n2\r\n"),
            ("GETDEL g", "$-1\r\n"),
            ("GET g", "$-1\r\n"),
        ])
        .await;
    door.client3().await.all(&[("MGET none d", "*2\r\n_\r\n$1\r\n3\r\n")]).await;
    door.stop().await;
}

/// Parts of values.
#[tokio::test]
async fn parts_of_values() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("STRLEN a", ":0\r\n"),
            ("APPEND a Hello", ":5\r\n"),
            ("APPEND a \" World\"", ":11\r\n"),
            ("STRLEN a", ":11\r\n"),
            ("GETRANGE a 0 4", "$5\r\nHello\r\n"),
            ("GETRANGE a -5 -1", "$5\r\nWorld\r\n"),
            ("GETRANGE a 5 2", "$0\r\n\r\n"),
            ("GETRANGE none 0 -1", "$0\r\n\r\n"),
            ("GETRANGE a x 2", "-ERR value is not an integer or out of range\r\n"),
            ("SETRANGE a 6 Redis", ":11\r\n"),
            ("GET a", "$11\r\nHello Redis\r\n"),
            ("SETRANGE b 2 x", ":3\r\n"),
            ("GET b", "$3\r\n\0\0x\r\n"),
            ("SETRANGE c 5 \"\"", ":0\r\n"),
            ("EXISTS c", ":0\r\n"),
            ("SETRANGE a 0 \"\"", ":11\r\n"),
            ("SETRANGE a -1 x", "-ERR offset is out of range\r\n"),
            ("SET t v EX 100", "+OK\r\n"),
            ("APPEND t w", ":2\r\n"),
            ("SETRANGE t 0 x", ":2\r\n"),
            ("TTL t", ":~100\r\n"),
        ])
        .await;
    door.stop().await;
}

/// Any bytes come back, and what is too long is refused with the bound, at once and bit by bit.
#[tokio::test]
async fn any_bytes_up_to_the_bound() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let key = [0, b'\r', b'\n', 255];
    client.send(&request(&[b"SET", &key, b"\r\n\0\xff"])).await;
    client.send(&request(&[b"GET", &key])).await;
    client.answers(b"+OK\r\n$4\r\n\r\n\0\xff\r\n").await;

    let longest = vec![b'v'; 8 << 20];
    client.send(&request(&[b"SET", b"long", &longest])).await;
    client.answers("+OK\r\n").await;
    client.send(b"GETRANGE long 8388607 -1\r\nSTRLEN long\r\n").await;
    client.answers("$1\r\nv\r\n:8388608\r\n").await;
    client.send(&request(&[b"GET", b"long"])).await;
    client.answers([b"$8388608\r\n", &longest[..], b"\r\n"].concat()).await;
    // Redis takes values up to 512 MiB.
    let refused = "-ERR a value of 8388609 bytes: values have at most 8388608 bytes; split it over several keys\r\n";
    client.send(&request(&[b"SET", b"long", &[longest, vec![b'v']].concat()])).await;
    client.answers(refused).await;
    client.send(b"APPEND long v\r\nSETRANGE long 8388608 v\r\n").await;
    client.answers(refused.repeat(2)).await;
    client
        .all(&[
            ("SETRANGE none 9223372036854775807 v", "-ERR a value of 9223372036854775808 bytes: values have at most 8388608 bytes; split it over several keys\r\n"),
            ("EXISTS none", ":0\r\n"),
            // In Redis a key may be empty, and longer.
            ("GET \"\"", "-ERR a key of 0 bytes: keys have 1 to 1024 bytes\r\n"),
            ("SET \"\" v", "-ERR a key of 0 bytes: keys have 1 to 1024 bytes\r\n"),
        ])
        .await;
    client.send(&request(&[b"SET", &[b'k'; 1025], b"v"])).await;
    client.answers("-ERR a key of 1025 bytes: keys have 1 to 1024 bytes\r\n").await;
    client.send(&request(&[b"SET", &[b'k'; 1024], b"v"])).await;
    client.answers("+OK\r\n").await;
    door.stop().await;
}

/// One command that asks for more than an answer may have is refused, and does not fill the memory.
#[tokio::test]
async fn an_answer_has_a_bound() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.send(&request(&[b"SET", b"k", &vec![b'v'; 8 << 20]])).await;
    client.answers("+OK\r\n").await;
    client.send(format!("MGET{}\r\n", " k".repeat(9)).as_bytes()).await;
    client
        .answers("-ERR 9 keys with more than 67108864 bytes of values: ask for fewer at once\r\n")
        .await;
    client.send(format!("MGET{}\r\n", " k".repeat(10_001)).as_bytes()).await;
    client.answers("-ERR 10001 keys: at most 10000 at once\r\n").await;
    client.send(&request(&[b"MSET", b"a", &vec![b'v'; 1 << 20], b"b", b"v"])).await;
    client.skip_past(b"10000 writes and 1048576 bytes; split it\r\n").await;
    client.all(&[("EXISTS a b", ":0\r\n")]).await;
    door.stop().await;
}

/// A database that is full says so, in the words of the library.
#[tokio::test]
async fn a_full_database_refuses_writes() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.all(&[("SELECT small/a", "+OK\r\n")]).await;
    client.send(&request(&[b"SET", b"k", &[b'v'; 1001]])).await;
    client.skip_past(b"delete something or raise `size`\r\n").await;
    client.all(&[("GET k", "$-1\r\n")]).await;
    door.stop().await;
}
