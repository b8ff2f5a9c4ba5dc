//! `SUBSCRIBE` and `PSUBSCRIBE`: changes of keys.

use crate::support::Door;

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn message(kind: char, words: &[&str]) -> String {
    let words: String = words.iter().map(|word| bulk(word)).collect();
    format!("{kind}{}\r\n{words}", words.matches('$').count())
}

/// Channels and patterns in both versions, told of changes through this door and through the library.
#[tokio::test]
async fn changes_are_told() {
    let door = Door::start().await;
    for kind in ['*', '>'] {
        let mut writer = door.client().await;
        let mut client = if kind == '>' { door.client3().await } else { door.client().await };
        let confirmed = |word: &str, name: &str, count: u32| {
            format!("{kind}3\r\n{}{}:{count}\r\n", bulk(word), bulk(name))
        };
        client.send(b"SUBSCRIBE __keyspace@0__:k __keyevent@0__:del\r\n").await;
        client.answers(confirmed("subscribe", "__keyspace@0__:k", 1)).await;
        client.answers(confirmed("subscribe", "__keyevent@0__:del", 2)).await;
        client.send(b"PSUBSCRIBE __key*__:*\r\nPSUBSCRIBE __keyspace@data/a__:k*\r\n").await;
        client.answers(confirmed("psubscribe", "__key*__:*", 3)).await;
        client.answers(confirmed("psubscribe", "__keyspace@data/a__:k*", 4)).await;

        writer.all(&[("SET k v", "+OK\r\n")]).await;
        client.answers(message(kind, &["message", "__keyspace@0__:k", "set"])).await;
        client.answers(message(kind, &["pmessage", "__key*__:*", "__keyspace@0__:k", "set"])).await;
        client.answers(message(kind, &["pmessage", "__key*__:*", "__keyevent@0__:set", "k"])).await;
        let library = door.peer.database("data/a").await.unwrap();
        library.put("kk", "v").await.unwrap();
        let words = ["pmessage", "__keyspace@data/a__:k*", "__keyspace@data/a__:kk", "set"];
        client.answers(message(kind, &words)).await;

        client.send(b"PUNSUBSCRIBE __key*__:*\r\n").await;
        client.answers(confirmed("punsubscribe", "__key*__:*", 3)).await;
        writer
            .all(&[("DEL k", ":1\r\n"), ("SET other v", "+OK\r\n"), ("DEL other", ":1\r\n")])
            .await;
        client.answers(message(kind, &["message", "__keyspace@0__:k", "del"])).await;
        client.answers(message(kind, &["message", "__keyevent@0__:del", "k"])).await;
        client.answers(message(kind, &["message", "__keyevent@0__:del", "other"])).await;

        client.send(b"UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nUNSUBSCRIBE\r\n").await;
        client.answers(confirmed("unsubscribe", "__keyevent@0__:del", 2)).await;
        client.answers(confirmed("unsubscribe", "__keyspace@0__:k", 1)).await;
        client.answers(confirmed("punsubscribe", "__keyspace@data/a__:k*", 0)).await;
        let null = if kind == '>' { "_\r\n" } else { "$-1\r\n" };
        client.answers(format!("{kind}3\r\n{}{null}:0\r\n", bulk("unsubscribe"))).await;
        writer.all(&[("SET k v", "+OK\r\n"), ("DEL k", ":1\r\n")]).await;
        client.all(&[("GET none", null)]).await;
    }
    door.stop().await;
}

/// In RESP2 a subscriber may do little else; in RESP3 it may do everything.
#[tokio::test]
async fn a_subscriber_waits_for_messages() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.send(b"SUBSCRIBE __keyspace@0__:k\r\n").await;
    client.skip_past(b":1\r\n").await;
    client.send(b"GET k\r\nPING\r\nPING x\r\nRESET\r\nGET k\r\n").await;
    client
        .answers("-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n")
        .await;
    client
        .answers("*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$1\r\nx\r\n+RESET\r\n$-1\r\n")
        .await;
    let mut client = door.client3().await;
    client.send(b"SUBSCRIBE __keyspace@0__:k\r\nGET k\r\nPING\r\n").await;
    client.skip_past(b":1\r\n").await;
    client.answers("_\r\n+PONG\r\n").await;
    door.stop().await;
}

/// Channels that nobody would ever be told of are refused; all of a command or none of it.
#[tokio::test]
async fn other_channels_are_refused() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let there_are = "' is not offered: there are __keyspace@0__:KEY, __keyevent@0__:set and __keyevent@0__:del, with the number or the path of a database\r\n";
    for line in [
        "SUBSCRIBE news",
        "SUBSCRIBE __keyspace@0__:k __keyevent@0__:expired",
        "SUBSCRIBE __keyspace@0",
        "PSUBSCRIBE news.*",
    ] {
        client.send(format!("{line}\r\n").as_bytes()).await;
        let name = line.split(' ').next_back().unwrap();
        client.answers(format!("-ERR the channel '{name}{there_are}")).await;
    }
    client.all(&[("SUBSCRIBE __keyspace@77__:k", "-ERR DB index is out of range\r\n")]).await;
    client.send(b"SUBSCRIBE __keyspace@nowhere__:k\r\n").await;
    client.answers("-ERR no definition matches the path \"nowhere\"").await;
    client.skip_past(b"\r\n").await;
    client.all(&[("GET k", "$-1\r\n")]).await;
    let many: Vec<String> = (0..1025).map(|key| format!("__keyspace@0__:{key}")).collect();
    client.send(format!("SUBSCRIBE {}\r\n", many.join(" ")).as_bytes()).await;
    client.answers("-ERR 1025 channels and patterns: a connection has at most 1024").await;
    door.stop().await;
}
