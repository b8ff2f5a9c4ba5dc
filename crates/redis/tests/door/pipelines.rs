//! Many commands that are sent without waiting for answers.

use tidings::{Definition, Peer};

use crate::support::{Door, request};

/// Answers come in order, also where something in between is wrong, reads, or selects.
#[tokio::test]
async fn answers_come_in_order() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client
        .send(
            b"SET a 1\r\nSET b 2 NX\r\nSET b 3 NX\r\nINCR a\r\nSET b x XX\r\nINCR b\r\nGET a\r\nSET a\r\nDEL a\r\nDEL a\r\n\
            SET a 5 EX x\r\nNONE a\r\nMSET a 6 c 7\r\nSETNX a 8\r\nMSETNX d 1 e 2\r\nSELECT 1\r\nINCRBY a 9\r\nSELECT 0\r\nDEL a c d e b\r\n\
            SET \"\" 1\r\nSET a 1\r\nDECR a\r\nMULTI\r\nSET a 5\r\nINCR a\r\nEXEC\r\nSET a 7\r\nQUIT\r\nSET a 8\r\n",
        )
        .await;
    client
        .answers(
            "+OK\r\n+OK\r\n$-1\r\n:2\r\n+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\n2\r\n\
            -ERR wrong number of arguments for 'set' command\r\n:1\r\n:0\r\n\
            -ERR value is not an integer or out of range\r\n-ERR unknown command 'NONE', with args beginning with: 'a' \r\n\
            +OK\r\n:0\r\n:1\r\n+OK\r\n:9\r\n+OK\r\n:5\r\n\
            -ERR a key of 0 bytes: keys have 1 to 1024 bytes\r\n+OK\r\n:0\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:6\r\n+OK\r\n+OK\r\n",
        )
        .await;
    assert_eq!(client.closed().await, b"");
    door.client().await.all(&[("GET a", "$1\r\n7\r\n")]).await;
    door.stop().await;
}

/// What came before the end of a connection is written, and answered.
#[tokio::test]
async fn what_came_before_an_end_is_written() {
    let door = Door::start().await;
    for (end, answer) in [
        ("*1\r\n!\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"),
        ("POST / HTTP/1.1\r\n", ""),
    ] {
        let mut client = door.client().await;
        client.send(format!("SET a 1\r\nINCR a\r\n{end}").as_bytes()).await;
        client.answers(format!("+OK\r\n:2\r\n{answer}")).await;
        assert_eq!(client.closed().await, b"");
    }
    let mut client = door.client().await;
    let large = vec![b'v'; tidings::limits::VALUE_MAX + 1];
    let sent = [b"SET a 1\r\nINCR a\r\n".as_slice(), &request(&[b"SET", b"a", &large])].concat();
    client.send(&sent).await;
    client.answers("+OK\r\n:2\r\n-ERR a value of 8388609 bytes").await;
    door.stop().await;
}

/// More than is gathered at once, small and large.
#[tokio::test]
async fn a_pipeline_may_be_long() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let large = vec![b'v'; 100_000];
    let mut sent = Vec::new();
    for number in 0..2_000_u32 {
        sent.extend_from_slice(&request(&[b"INCR", b"n"]));
        if number % 100 == 0 {
            sent.extend_from_slice(&request(&[b"SET", &number.to_be_bytes(), &large]));
        }
    }
    sent.extend_from_slice(&request(&[b"DBSIZE"]));
    client.send(&sent).await;
    for number in 0..2_000_u32 {
        let ok = if number % 100 == 0 { "+OK\r\n" } else { "" };
        client.answers(format!(":{}\r\n{ok}", number + 1)).await;
    }
    client.answers(":21\r\n").await;
    door.stop().await;
}

/// Any commands in one pipeline are answered as they are one by one.
#[tokio::test]
async fn a_pipeline_answers_as_single_commands_do() {
    const COMMANDS: [&str; 26] = [
        "SET k 1",
        "SET k 9223372036854775807",
        "SET k text",
        "SET k 1 NX",
        "SET k 2 XX",
        "SET k 3 KEEPTTL",
        "SET k 4 EX 100",
        "SET k 5 EX 0",
        "SETEX k 100 6",
        "SETNX k 7",
        "GETSET k 8",
        "MSET k 9 l 10",
        "MSETNX k 11 m 12",
        "INCR k",
        "DECRBY k 5",
        "INCRBY k 9223372036854775807",
        "APPEND k 3",
        "DEL k",
        "DEL k l m",
        "GET k",
        "EXISTS k l m",
        "STRLEN k",
        "EXPIRE k 100",
        "PERSIST k",
        "FLUSHDB",
        "NONE",
    ];
    let door = Door::start().await;
    let (mut single, mut pipeline) = (door.client().await, door.client().await);
    pipeline.all(&[("SELECT 1", "+OK\r\n")]).await;
    // Any sequence will do; this one is the same in every run.
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below
    };
    for _ in 0..100 {
        let (mut sent, mut expected) = (String::new(), Vec::new());
        for _ in 0..=next(40) {
            let line = COMMANDS[next(COMMANDS.len())].replace('k', ["k", "l", "m"][next(3)]);
            single.send(format!("{line}\r\nECHO end\r\n").as_bytes()).await;
            let answer = single.read_past(b"$3\r\nend\r\n").await;
            expected.extend_from_slice(&answer[..answer.len() - 9]);
            sent.push_str(&line);
            sent.push_str("\r\n");
        }
        pipeline.send(sent.as_bytes()).await;
        pipeline.answers(expected).await;
    }
    door.stop().await;
}

/// A peer that holds no copy passes the commands of a pipeline on, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_may_be_for_another_peer() {
    let secret = b"a secret that is long enough";
    let peer = || Peer::in_memory().secret(secret).listen("/ip4/127.0.0.1/tcp/0");
    let definition = Definition::new("redis", "redis/*", 1, 1);
    let a = peer().definitions(vec![definition]).start().await.unwrap();
    a.database("redis/0").await.unwrap().put("k", "here").await.unwrap();
    let b = peer().bootstrap(a.listen_addresses().remove(0)).start().await.unwrap();
    let door = Door::of(b, None, None).await;
    let mut client = door.client().await;
    // Where the definition has not come yet, the database is not known.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::time::Instant::now() < deadline {
        client.send(b"EXISTS k\r\n").await;
        if client.read_past(b"\r\n").await == b":1\r\n" {
            break;
        }
    }
    let sent: Vec<_> =
        (0..100).map(|number| format!("SET k {number}\r\nINCR k\r\nSET k x NX\r\n")).collect();
    let expected: Vec<_> = (1..=100).map(|sum| format!("+OK\r\n:{sum}\r\n$-1\r\n")).collect();
    let (sent, expected) = (sent.concat(), expected.concat());
    client.send(format!("{sent}GET k\r\n").as_bytes()).await;
    client.answers(format!("{expected}$3\r\n100\r\n")).await;
    assert_eq!(a.database("redis/0").await.unwrap().get("k").await.unwrap(), Some("100".into()));
    door.stop().await;
    a.shutdown().await.unwrap();
}
