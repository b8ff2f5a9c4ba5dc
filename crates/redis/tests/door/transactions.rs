//! `MULTI` and `EXEC`.

use crate::support::Door;

/// Commands that only set are one batch; others run one after the other.
#[tokio::test]
async fn queued_commands_are_run() {
    let door = Door::start().await;
    for resp3 in [false, true] {
        let mut client = if resp3 { door.client3().await } else { door.client().await };
        let null = if resp3 { "_\r\n" } else { "$-1\r\n" };
        client.send(b"MULTI\r\nSET a 1\r\nMSET b 2 c 3\r\nSETEX d 100 4\r\nEXEC\r\n").await;
        client
            .answers(format!("+OK\r\n{}*3\r\n+OK\r\n+OK\r\n+OK\r\n", "+QUEUED\r\n".repeat(3)))
            .await;
        client.send(b"MGET a b c d\r\n").await;
        client.answers("*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n").await;
        client.all(&[("TTL d", ":~100\r\n"), ("TTL a", ":-1\r\n")]).await;
        client
            .send(b"MULTI\r\nGET a\r\nDEL a\r\nGET a\r\nSET a 5 EX x\r\nINCR none\r\nPING\r\nDEL none\r\nEXEC\r\n")
            .await;
        client
            .answers(format!(
                "+OK\r\n{}*7\r\n$1\r\n1\r\n:1\r\n{null}-ERR value is not an integer or out of range\r\n:1\r\n+PONG\r\n:1\r\n",
                "+QUEUED\r\n".repeat(7)
            ))
            .await;
        client.all(&[("EXISTS a", ":0\r\n")]).await;
    }
    door.stop().await;
}

/// An `EXEC` ends a transaction, even one that is wrong itself.
#[tokio::test]
async fn a_wrong_exec_ends_a_transaction() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.send(b"EXEC x\r\nMULTI\r\nSET a 1\r\nEXEC x\r\nEXEC\r\nGET a\r\n").await;
    let wrong = "wrong number of arguments for 'exec' command\r\n";
    client.answers(format!(
        "-ERR {wrong}+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: {wrong}-ERR EXEC without MULTI\r\n$-1\r\n"
    ))
    .await;
    door.stop().await;
}

/// A command that cannot run spoils all of them; nothing is written.
#[tokio::test]
async fn a_wrong_command_spoils_a_transaction() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    for (wrong, why) in [
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("FOO x", "-ERR unknown command 'FOO', with args beginning with: 'x' \r\n"),
        ("CONFIG SET x y", "-ERR unknown subcommand 'SET'. Try CONFIG HELP.\r\n"),
        ("CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command\r\n"),
        ("SUBSCRIBE x", "-ERR SUBSCRIBE cannot be part of a transaction: send it before MULTI\r\n"),
    ] {
        client.send(format!("MULTI\r\nSET a 1\r\n{wrong}\r\nSET a 2\r\nEXEC\r\n").as_bytes()).await;
        client.answers(format!("+OK\r\n+QUEUED\r\n{why}+QUEUED\r\n{aborted}")).await;
    }
    // Nested, or without a begin, is an error, and no harm.
    client
        .send(b"EXEC\r\nDISCARD\r\nMULTI\r\nMULTI\r\nWATCH a\r\nSET a 1\r\nDISCARD\r\nEXISTS a\r\n")
        .await;
    client
        .answers("-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n+OK\r\n-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not allowed\r\n+QUEUED\r\n+OK\r\n:0\r\n")
        .await;
    client.send(b"MULTI\r\nEXEC\r\nUNWATCH\r\nWATCH a\r\n").await;
    client.answers("+OK\r\n*0\r\n+OK\r\n-ERR WATCH is not offered: ").await;
    door.stop().await;
}

/// A batch is one commit: where one of its keys is impossible or cannot be counted, none is written.
#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.send(b"MULTI\r\nSET a x\r\nMSET n 1 m 2\r\nINCR n\r\nDECRBY n 5\r\nEXEC\r\n").await;
    client
        .answers(format!("+OK\r\n{}*4\r\n+OK\r\n+OK\r\n:2\r\n:-3\r\n", "+QUEUED\r\n".repeat(4)))
        .await;
    client.send(b"MULTI\r\nSET n 7\r\nINCR a\r\nEXEC\r\nMGET n a\r\n").await;
    client
        .answers("+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR value is not an integer or out of range\r\n*2\r\n$2\r\n-3\r\n$1\r\nx\r\n")
        .await;
    client.all(&[("DEL a", ":1\r\n")]).await;
    client.send(b"MULTI\r\nSET a 1\r\nSET \"\" 2\r\nEXEC\r\nEXISTS a\r\n").await;
    client
        .answers("+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR a key of 0 bytes: keys have 1 to 1024 bytes\r\n:0\r\n")
        .await;
    door.stop().await;
}

/// Answers of a transaction may be larger than what is kept of them.
#[tokio::test]
async fn a_transaction_may_answer_much() {
    let door = Door::start().await;
    let mut client = door.client().await;
    let value = vec![b'v'; 1 << 20];
    client.send(&crate::support::request(&[b"SET", b"k", &value])).await;
    client.send(format!("MULTI\r\n{}EXEC\r\n", "GET k\r\n".repeat(20)).as_bytes()).await;
    client.answers(format!("+OK\r\n+OK\r\n{}*20\r\n", "+QUEUED\r\n".repeat(20))).await;
    for _ in 0..20 {
        client.answers([b"$1048576\r\n", &value[..], b"\r\n"].concat()).await;
    }
    client.all(&[("PING", "+PONG\r\n")]).await;
    door.stop().await;
}

/// What is queued has a bound.
#[tokio::test]
async fn a_transaction_has_a_bound() {
    let door = Door::start().await;
    let mut client = door.client().await;
    client.send(format!("MULTI\r\n{}EXEC\r\n", "GET k\r\n".repeat(10_001)).as_bytes()).await;
    client.answers(format!("+OK\r\n{}", "+QUEUED\r\n".repeat(10_000))).await;
    client
        .answers("-ERR a transaction of 10001 commands and 200020 bytes: it has at most 10000 commands and 16777216 bytes; split it\r\n-EXECABORT")
        .await;
    door.stop().await;
}
