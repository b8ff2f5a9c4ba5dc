//! Requests in pieces and in heaps, and what is no request.

use std::fmt::Write as _;

use crate::support::{Door, request};

/// A pipeline is answered in order, however it is cut.
#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let mut sent = Vec::new();
    let mut expected = String::new();
    for number in 0..2000 {
        let text = number.to_string();
        sent.extend_from_slice(&request(&[b"SET", b"k", text.as_bytes()]));
        sent.extend_from_slice(b"GET k\r\n");
        write!(expected, "+OK\r\n${}\r\n{text}\r\n", text.len()).unwrap();
    }
    for piece in sent.chunks(777) {
        client.send(piece).await;
    }
    client.answers(&expected).await;
    for byte in request(&[b"ECHO", b"a\r\nb"]) {
        client.send(&[byte]).await;
    }
    client.answers("$4\r\na\r\nb\r\n").await;
    client.send(b"\r\n*0\r\n*-1\r\nPING\n").await;
    client.answers("+PONG\r\n").await;
    door.stop().await;
}

/// What breaks the protocol is answered once, after what came before it, and ends the connection.
#[tokio::test]
async fn a_broken_protocol_ends_the_connection() {
    let door = Door::start().await;
    for (sent, why) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"),
        ("*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("get 'a\r\n", "unbalanced quotes in request"),
        (&"a".repeat(70_000), "too big inline request"),
    ] {
        let mut client = door.client().await;
        client.send(format!("PING\r\n{sent}").as_bytes()).await;
        let expected = format!("+PONG\r\n-ERR Protocol error: {why}\r\n");
        client.answers(&expected).await;
        assert_eq!(client.closed().await, b"", "{}", &sent[..sent.len().min(40)]);
    }
    door.stop().await;
}

/// What is not offered is answered with its name; the connection goes on.
#[tokio::test]
async fn an_unknown_command_is_told() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .all(&[
            ("foo", "-ERR unknown command 'foo', with args beginning with: \r\n"),
            ("ZADD k 1", "-ERR unknown command 'ZADD', with args beginning with: 'k' '1' \r\n"),
            ("get", "-ERR wrong number of arguments for 'get' command\r\n"),
        ])
        .await;
    client.send(&request(&[b"a\r\n+OK"])).await;
    client.answers("-ERR unknown command 'a  +OK', with args beginning with: \r\n").await;
    client.send(&request(&vec![&b"k"[..]; 32_769])).await;
    client
        .answers("-ERR a command of 32769 arguments: at most 32768 are taken; split it\r\n")
        .await;
    client.all(&[("PING", "+PONG\r\n")]).await;
    door.stop().await;
}

/// A page that makes a browser send HTTP here gets nothing done.
#[tokio::test]
async fn http_is_not_answered() {
    let door = Door::start().await;
    for sent in ["POST / HTTP/1.1\r\n", "Host: localhost\r\n"] {
        let mut client = door.client().await;
        client.send(format!("{sent}\r\nSET k v\r\n").as_bytes()).await;
        assert_eq!(client.closed().await, b"", "{sent}");
    }
    door.client().await.all(&[("EXISTS k", ":0\r\n")]).await;
    door.stop().await;
}

/// A door that closes ends idle connections, subscribers too, and takes no new ones.
#[tokio::test]
async fn a_door_closes() {
    let door = Door::start().await;
    let (mut idle, mut subscriber) = (door.client().await, door.client().await);
    idle.all(&[("PING", "+PONG\r\n")]).await;
    subscriber.send(b"SUBSCRIBE __keyspace@0__:k\r\n").await;
    subscriber.skip_past(b":1\r\n").await;
    let address = door.address;
    door.stop().await;
    assert_eq!((idle.closed().await, subscriber.closed().await), (Vec::new(), Vec::new()));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
