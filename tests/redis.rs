//! The Redis door of a real process, as any Redis client meets it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use support::{DEADLINE, Peer, assert_fails, tidings};

/// A peer with the door, whose default database is one of those that the support defines.
fn start(directory: tempfile::TempDir) -> Peer {
    let definitions = directory.path().join("definitions.yaml");
    let yaml =
        "definitions:\n  - { name: any, matcher: 'data/*', replication: { min: 1, max: 3 } }\n";
    std::fs::write(&definitions, yaml).unwrap();
    let definitions = definitions.display().to_string();
    let redis = ["--redis", "127.0.0.1:0", "--redis-database", "data/a"];
    Peer::bare(directory, &[&redis[..], &["--definitions", &definitions]].concat())
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
    assert_fails(&tidings(&arguments).output().unwrap(), 6, "bind to loopback");
}
