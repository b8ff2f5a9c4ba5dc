//! Many connections that change one key at the same time.

use crate::support::Door;

/// Connections at once.
const CLIENTS: usize = 20;
/// Commands of each.
const COMMANDS: usize = 50;

/// Runs lines over many connections at once, and gives each connection's answers.
async fn at_once(door: &Door, line: impl Fn(usize, usize) -> String) -> Vec<String> {
    let mut tasks = Vec::new();
    for client in 0..CLIENTS {
        let mut connection = door.client().await;
        let lines: Vec<String> = (0..COMMANDS).map(|command| line(client, command)).collect();
        tasks.push(tokio::spawn(async move {
            for line in lines {
                connection.send(format!("{line}\r\n").as_bytes()).await;
                connection.skip_past(b"\r\n").await;
            }
            connection.send(b"GET won\r\nECHO end\r\n").await;
            let end = connection.read_past(b"end\r\n").await;
            String::from_utf8(end).unwrap()
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// Nothing that is appended is lost, while the expiry of the key changes all the time.
#[tokio::test(flavor = "multi_thread")]
async fn appending_loses_nothing() {
    let door = Door::start().await;
    at_once(&door, |client, command| {
        if client == 0 { format!("EXPIRE log {}", 1000 + command) } else { "APPEND log x".into() }
    })
    .await;
    let length = (CLIENTS - 1) * COMMANDS;
    door.client().await.all(&[("STRLEN log", &format!(":{length}\r\n"))]).await;
    door.stop().await;
}

/// Of those who set what is absent, one wins.
#[tokio::test(flavor = "multi_thread")]
async fn one_wins_what_is_absent() {
    let door = Door::start().await;
    let answers = at_once(&door, |client, _| format!("SETNX won {client}")).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(!answers[0].starts_with("$-1"), "{answers:?}");
    door.stop().await;
}

/// What `GETSET` hands out is handed out once: every value but the last comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_is_told_once() {
    let door = Door::start().await;
    let mut tasks = Vec::new();
    for client in 0..CLIENTS {
        let mut connection = door.client().await;
        tasks.push(tokio::spawn(async move {
            let mut before = Vec::new();
            for command in 0..COMMANDS {
                let mine = format!("{client:03}-{command:03}");
                connection.send(format!("SET k {mine} GET\r\nECHO end\r\n").as_bytes()).await;
                let answer = connection.read_past(b"$3\r\nend\r\n").await;
                before.push(String::from_utf8(answer).unwrap());
            }
            before
        }));
    }
    let mut before = Vec::new();
    for task in tasks {
        before.extend(task.await.unwrap());
    }
    before.sort();
    let all = before.len();
    before.dedup();
    assert_eq!((before.len(), all), (CLIENTS * COMMANDS, CLIENTS * COMMANDS));
    door.stop().await;
}
