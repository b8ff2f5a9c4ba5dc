//! The Redis door of a real process, as any Redis client meets it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use support::{DEADLINE, Peer, assert_fails, code, said, tidings, wait_for};

/// A peer with the door, whose default database is one of those that the support defines.
fn start(directory: tempfile::TempDir) -> Peer {
    start_with(directory, &["--redis", "127.0.0.1:0"])
}

fn start_with(directory: tempfile::TempDir, arguments: &[&str]) -> Peer {
    let definitions = directory.path().join("definitions.yaml");
    let yaml =
        "definitions:\n  - { name: any, matcher: 'data/*', replication: { min: 1, max: 3 } }\n";
    std::fs::write(&definitions, yaml).unwrap();
    let definitions = definitions.display().to_string();
    let more = ["--redis-database", "data/a", "--definitions", &definitions];
    Peer::bare(directory, &[arguments, &more].concat())
}

/// Sends requests to the door, and gives so many bytes of answers.
fn ask(peer: &Peer, requests: &str, length: usize) -> String {
    let mut stream = TcpStream::connect(peer.ready["redis"].as_str().unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = vec![0; length];
    stream.read_exact(&mut answers).unwrap();
    String::from_utf8(answers).unwrap()
}

/// What one door writes, the others and the next start read; the address is in the ready file.
#[test]
fn a_peer_serves_the_redis_protocol() {
    let peer = start(tempfile::tempdir().unwrap());
    let expected = "+OK\r\n$5\r\nhello\r\n$-1\r\n";
    assert_eq!(ask(&peer, "SET k hello\r\nGET k\r\nGET none\r\n", expected.len()), expected);
    assert_eq!(peer.printed(&["get", "data/a", "k"]), b"hello");
    peer.printed(&["put", "data/b", "k", "from HTTP"]);
    let expected = "+OK\r\n$9\r\nfrom HTTP\r\n";
    assert_eq!(ask(&peer, "SELECT data/b\r\nGET k\r\n", expected.len()), expected);
    // An idle connection does not hold up the stop.
    let idle = TcpStream::connect(peer.ready["redis"].as_str().unwrap()).unwrap();
    let peer = start(peer.stop());
    drop(idle);
    let expected = "$5\r\nhello\r\n";
    assert_eq!(ask(&peer, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", expected.len()), expected);
}

/// Without the setting there is no door, and a database of it alone is a mistake.
#[test]
fn the_door_is_only_opened_on_request() {
    let peer = Peer::bare(tempfile::tempdir().unwrap(), &[]);
    assert!(peer.ready.get("redis").is_none());
    let arguments = ["serve", "--data", "none", "--redis-database", "data/a"];
    assert_fails(&tidings(&arguments).output().unwrap(), 2, "give an address with --redis");
    let arguments = ["serve", "--data", "none", "--redis", "0.0.0.0:0", "--http", "127.0.0.1:0"];
    assert_fails(&tidings(&arguments).output().unwrap(), 6, "without tokens");
}

/// The doors ask for the same tokens, and other machines may be let in: from `tidings token new` to `revoke`.
#[test]
fn both_doors_ask_for_the_same_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens").display().to_string();
    let token = |arguments: &[&str]| {
        let output = tidings(&["token", "--tokens", &file]).args(arguments).output().unwrap();
        assert_eq!(code(&output), 0, "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let app = token(&["new", "--name", "app", "--scope", "write", "--path", "data/*"]);
    let eye = token(&["new", "--name", "eye", "--scope", "read"]);
    let peer = start_with(directory, &["--redis", "0.0.0.0:0", "--tokens", &file]);
    let (_, port) = peer.ready["redis"].as_str().unwrap().rsplit_once(':').unwrap();
    let connect = || {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        BufReader::new(stream)
    };
    let ask = |connection: &mut BufReader<TcpStream>, request: &str| {
        connection.get_mut().write_all(format!("{request}\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        connection.read_line(&mut line).unwrap();
        line
    };
    let mut writer = connect();
    assert_eq!(ask(&mut writer, "SET k v"), "-NOAUTH Authentication required.\r\n");
    assert!(ask(&mut writer, &format!("AUTH {app}x")).starts_with("-WRONGPASS "));
    assert_eq!(ask(&mut writer, &format!("AUTH app {app}")), "+OK\r\n");
    assert_eq!(ask(&mut writer, "SET k hello"), "+OK\r\n");
    assert!(ask(&mut writer, "SELECT 1").starts_with("-NOPERM "));
    assert_eq!(peer.printed(&["get", "data/a", "k", "--token", &eye]), b"hello");
    let mut reader = connect();
    assert_eq!(ask(&mut reader, &format!("AUTH {eye}")), "+OK\r\n");
    assert_eq!(ask(&mut reader, "STRLEN k"), ":5\r\n");
    assert!(ask(&mut reader, "DEL k").starts_with("-NOPERM "));

    token(&["revoke", "app"]);
    wait_for("the end of the token", || {
        let answer = ask(&mut writer, "SET k w");
        (answer == "-NOAUTH Authentication required.\r\n").then_some(())
    });
    assert!(ask(&mut writer, &format!("AUTH {app}")).starts_with("-WRONGPASS "));
    assert_eq!(ask(&mut reader, "STRLEN none"), ":0\r\n");
    let log = peer.log();
    assert!(log.contains("the Redis door is open to other machines and not encrypted"), "{log}");
    assert!(log.contains("a wrong token came to the Redis door"), "{log}");
    assert!(!log.contains(&app) && !log.contains(&eye), "a token is never logged");
}

#[test]
fn the_metrics_tell_of_the_redis_door() {
    let peer = start(tempfile::tempdir().unwrap());
    ask(&peer, "SET k v\r\nGET k\r\nGET k\r\nGETT k\r\n", 5);
    let metrics = || {
        let answer = peer.ask("GET", "/metrics", &[], b"");
        String::from_utf8(answer.body).unwrap()
    };
    let says = |line: &str| metrics().lines().any(|own| own == line);
    wait_for("what was asked being counted", || says("tidings_redis_errors_total 1").then_some(()));
    for line in [
        "tidings_redis_commands_total{command=\"get\"} 2",
        "tidings_redis_commands_total{command=\"set\"} 1",
        "tidings_redis_commands_total{command=\"unknown\"} 1",
        "tidings_redis_connections_received_total 1",
    ] {
        assert!(says(line), "{line}\n{}", metrics());
    }
    let dashboard = include_str!("../docs/monitoring/dashboard.json");
    let words = dashboard.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    let named: Vec<&str> = words.filter(|word| word.starts_with("tidings_redis_")).collect();
    assert!(named.len() >= 3, "{named:?}");
    for name in named {
        assert!(metrics().contains(&format!("# TYPE {name} ")), "the dashboard names {name}");
    }
}
