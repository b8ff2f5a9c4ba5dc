//! What is asked for is what goes into the address.

use super::*;
use crate::acknowledge::Acks;

#[test]
fn targets_carry_any_bytes() {
    let ttl = Some(Duration::from_secs(1));
    let write = Write { acks: Some(Acks::Min), ttl, ..Write::default() };
    let target = Target::database("a/b").push("keys").segment(b"..\xff ").write(&write);
    assert_eq!(target.0, "/v1/databases/a%2Fb/keys/%2E%2E%FF%20?acks=min&ttl=1s");
}

#[test]
fn a_keyspace_goes_with_every_key() {
    let client = Client::new("localhost").unwrap().with_keyspace("drafts/é");
    let target = client.keys("a", &[b"keys", b"k", b"incr"]).query("by", Some("-5"));
    assert_eq!(target.0, "/v1/databases/a/keys/k/incr?keyspace=drafts%2F%C3%A9&by=-5");
    let target = client.with_keyspace("").keys("a", &[b"scan"]);
    assert_eq!(target.0, "/v1/databases/a/scan");
}

#[test]
fn urls_name_a_host_and_a_port() {
    for (url, authority) in [
        ("http://127.0.0.1:7380", "127.0.0.1:7380"),
        ("http://localhost/", "localhost:7380"),
        ("[::1]:9", "[::1]:9"),
        ("http://[::1]", "[::1]:7380"),
    ] {
        assert_eq!(Client::new(url).unwrap().authority, authority);
    }
    for url in ["https://localhost", "ftp://x", "http://", "http://a/b", "a:99999"] {
        assert!(matches!(Client::new(url), Err(ClientError::BadUrl { .. })), "{url}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_what_to_do() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::new(&address.to_string()).unwrap().status().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }));
    assert!(error.to_string().contains("start one with `tidings serve`"), "{error}");
}
