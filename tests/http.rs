//! The HTTP door, as any HTTP client meets it: statuses, headers, problems, and what is refused.

mod support;

use serde_json::{Value, json};
use support::{Peer, ask};

const KEY: &str = "/v1/databases/data%2Fa/keys/%00%2F%FF";

/// One key through all its methods, with bytes that are no text anywhere.
#[test]
fn a_key_has_a_value_and_a_version() {
    let peer = Peer::start();
    peer.ask("GET", KEY, &[], b"").problem(404, "not-found");
    let put = peer.ask("PUT", KEY, &[], b"\xff\x00");
    let version = put.json()["version"].as_str().unwrap().to_owned();
    assert_eq!(put.header("etag"), Some(format!("\"{version}\"").as_str()));
    let get = peer.ask("GET", KEY, &[], b"");
    assert_eq!((get.status, get.body.as_slice()), (200, &b"\xff\x00"[..]));
    assert_eq!(get.header("etag"), put.header("etag"));
    assert_eq!(get.header("content-type"), Some("application/octet-stream"));
    let head = peer.ask("HEAD", KEY, &[], b"");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("2"), 0));
    let known = format!("If-None-Match: \"{version}\"");
    assert_eq!(peer.ask("GET", KEY, &[&known], b"").status, 304);
    assert_eq!(peer.ask("DELETE", KEY, &[], b"").status, 200);
    assert_eq!(peer.ask("DELETE", KEY, &[], b"").status, 200, "deleting what is absent is fine");
    peer.ask("GET", KEY, &[], b"").problem(404, "not-found");
    let least = peer.ask("PUT", KEY, &[], b"").json()["version"].as_str().unwrap().to_owned();
    let since = |version: &str| {
        peer.ask("GET", &format!("{KEY}?min_version={version}&timeout=50ms"), &[], b"")
    };
    assert_eq!(since(&least).status, 200, "the empty value is a value");
    since(&least.replacen('-', "-f", 1)).problem(504, "timed-out");
    since("7").problem(400, "bad-argument");
    assert_eq!(peer.ask("GET", KEY, &[], b"").body, b"");
}

/// Conditions of a write hold at the peer that accepts it, or nothing is written.
#[test]
fn a_write_may_have_a_condition() {
    let peer = Peer::start();
    let put = |condition: &str, value: &[u8]| peer.ask("PUT", KEY, &[condition], value);
    let refused = |answer: support::Answer| answer.problem(412, "condition-failed");
    refused(put("If-Match: *", b"0"));
    peer.ask("GET", "/v1/databases/data%2Fa/status", &[], b"").json();
    let list = peer.ask("GET", "/v1/databases", &[], b"").json();
    assert_eq!(list["databases"], json!([]), "a write that is refused makes no database");
    let first = put("If-None-Match: *", b"1").header("etag").unwrap().to_owned();
    let why = refused(put("If-None-Match: *", b"2"));
    assert!(why.contains(first.trim_matches('"')), "it tells what is there: {why}");
    assert_eq!(peer.ask("GET", KEY, &[], b"").body, b"1");
    let second = put(&format!("If-Match: {first}"), b"2").header("etag").unwrap().to_owned();
    refused(put(&format!("If-Match: {first}"), b"3"));
    refused(peer.ask("DELETE", KEY, &[&format!("If-Match: {first}")], b""));
    assert_eq!(peer.ask("GET", KEY, &[], b"").body, b"2");
    assert_eq!(peer.ask("DELETE", KEY, &[&format!("If-Match: {second}")], b"").status, 200);
    refused(put(&format!("If-Match: {second}"), b"4"));
    refused(put("If-Match: *", b"4"));
    assert_eq!(put("If-None-Match: *", b"5").status, 200, "deleted is absent");
    peer.printed(&["put", "data/a", "k", "5", "--if-absent"]);
    let output = peer.run(&["put", "data/a", "k", "6", "--if-absent"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let version = peer.printed(&["put", "data/a", "other", "1", "--if-absent"]);
    let version = String::from_utf8(version).unwrap().trim().to_owned();
    peer.printed(&["put", "data/a", "other", "2", "--if-version", &version]);
    let output = peer.run(&["delete", "data/a", "other", "--if-version", &version]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

/// A put says when its entry expires, whatever its time to live says, and a get tells it.
#[test]
fn a_key_may_expire() {
    let peer = Peer::start();
    let expires = "2100-01-02T03:04:05.006Z";
    peer.ask("PUT", &format!("{KEY}?ttl=1h&expires={expires}"), &[], b"v").json();
    let get = peer.ask("GET", KEY, &[], b"");
    assert_eq!(get.header("tidings-expires"), Some(expires));
    let body = json!([{"put": {"key": "b", "value": ""}}, {"put": {"key": "c", "value": "", "expires": expires}}]);
    let batch = "/v1/databases/data%2Fa/batch?expires=2101-01-01T00:00:00Z";
    peer.ask("POST", batch, &[], body.to_string().as_bytes()).json();
    let expiries: Vec<_> = ["b", "c"]
        .into_iter()
        .map(|key| peer.ask("GET", &format!("/v1/databases/data%2Fa/keys/{key}"), &[], b""))
        .map(|get| get.header("tidings-expires").map(str::to_owned))
        .collect();
    assert_eq!(expiries, [Some("2101-01-01T00:00:00.000Z".into()), Some(expires.into())]);
    peer.ask("PUT", &format!("{KEY}?expires=2001-01-01T00:00:00Z"), &[], b"v").json();
    peer.ask("GET", KEY, &[], b"").problem(404, "not-found");
    peer.ask("PUT", KEY, &[], b"v").json();
    assert_eq!(peer.ask("GET", KEY, &[], b"").header("tidings-expires"), None);
}

/// A counter, its expiry and its end, over a connection of its own for each.
#[test]
fn a_key_is_counted_and_cleared() {
    let peer = Peer::start();
    let post = |what: &str| peer.ask("POST", &format!("{KEY}/{what}"), &[], b"");
    post("expire?ttl=1h").problem(404, "not-found");
    let counted = post("incr?by=-7");
    let version = counted.json()["version"].as_str().unwrap().to_owned();
    assert_eq!(counted.json(), json!({ "value": -7, "version": version }));
    assert_eq!(counted.header("etag"), Some(format!("\"{version}\"").as_str()));
    assert_eq!(peer.ask("GET", KEY, &[], b"").body, b"-7");
    assert_eq!(post("expire?ttl=1h").status, 200);
    assert!(peer.ask("GET", KEY, &[], b"").header("tidings-expires").is_some());
    assert_eq!(post("persist").status, 200);
    assert_eq!(peer.ask("GET", KEY, &[], b"").header("tidings-expires"), None);
    assert_eq!(post("incr?keyspace=other").json()["value"], 1);
    peer.ask("PUT", KEY, &[], b"many").json();
    post("incr").problem(409, "not-a-counter");
    let keys = "/v1/databases/data%2Fa/keys?prefix=";
    assert_eq!(peer.ask("DELETE", keys, &[], b"").json(), json!({ "deleted": 1 }));
    peer.ask("GET", KEY, &[], b"").problem(404, "not-found");
    assert_eq!(peer.ask("GET", &format!("{KEY}?keyspace=other"), &[], b"").body, b"1");
}

/// Web pages and rebound names do not get in.
#[test]
fn only_programs_on_this_machine_are_answered() {
    let peer = Peer::start();
    let status = |headers: &[&str]| {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        ask(&peer.http, "GET", "/v1/status", &headers, b"")
    };
    let own = format!("Host: {}", peer.http);
    assert_eq!(status(&[&own]).status, 200);
    assert_eq!(status(&["Host: localhost"]).status, 200);
    assert!(status(&["Host: evil.example"]).problem(403, "denied").contains("evil.example"));
    status(&[&own, "Origin: http://evil.example"]).problem(403, "denied");
    assert_eq!(status(&[&own, &format!("Origin: http://{}", peer.http)]).status, 200);
    status(&[]).problem(400, "bad-argument");
}

/// Whatever is wrong with a request has its status, its stable code and its sentence.
#[test]
fn mistakes_are_problems() {
    let peer = Peer::start();
    let get = |target: &str| peer.ask("GET", target, &[], b"");
    let put = |target: &str, body: &[u8]| peer.ask("PUT", target, &[], body);
    put("/v1/databases/nowhere/keys/k", b"v").problem(422, "no-match");
    put("/v1/databases/data%2Fa/keys/", b"v").problem(400, "key-length");
    let long = "k".repeat(1025);
    put(&format!("/v1/databases/data%2Fa/keys/{long}"), b"v").problem(400, "key-length");
    get(&format!("/v1/databases/data%2Fa/keys/{long}")).problem(400, "key-length");
    put(&format!("/v1/databases/data%2F{long}/keys/k"), b"v").problem(400, "bad-path");
    put("/v1/databases/data%2Fa%FF/keys/k", b"v").problem(400, "bad-path");
    put("/v1/databases/_tidings%2Fdirectory/keys/k", b"v").problem(400, "bad-path");
    put(KEY, &vec![0; (8 << 20) + 1]).problem(413, "value-length");
    put(KEY, &vec![0; 10 << 20]).problem(413, "value-length");
    put("/v1/databases/small%2Fa/keys/k", &[0; 2000]).problem(507, "no-space");
    // A limit of 1,000 bytes is one for keys and values, to the last of them.
    put("/v1/databases/small%2Fb/keys/k", &[0; 1_000]).problem(507, "no-space");
    assert_eq!(put("/v1/databases/small%2Fb/keys/k", &[0; 999]).status, 200);
    put(&format!("{KEY}?durabilty=synced"), b"v").problem(400, "bad-argument");
    put(&format!("{KEY}?expires=7d"), b"v").problem(400, "bad-argument");
    put(&format!("{KEY}?acks=0"), b"v").problem(400, "bad-argument");
    put(&format!("{KEY}?acks=4"), b"v").problem(400, "bad-argument");
    put(&format!("{KEY}?acks=2&timeout=100ms"), b"v").problem(504, "under-replicated");
    peer.ask("PUT", KEY, &["If-None-Match: \"1-1-1\""], b"v").problem(400, "bad-argument");
    peer.ask("PUT", KEY, &["If-Match: 1-1-1"], b"v").problem(400, "bad-argument");
    let both = ["If-Match: *", "If-None-Match: *"];
    peer.ask("PUT", KEY, &both, b"v").problem(412, "condition-failed");
    get("/v1/databases/data%2Fa/keys?limit=x").problem(400, "bad-argument");
    get("/v1/databases/data%2Fa/keys?cursor=%21").problem(400, "bad-argument");
    get("/v1/nothing").problem(404, "no-endpoint");
    get("/v1/definitions/none").problem(404, "not-found");
    peer.ask("PATCH", KEY, &[], b"").problem(405, "method-not-allowed");
    let conditional = ["If-Match: *"];
    let keys = "/v1/databases/data%2Fa/keys";
    peer.ask("DELETE", &format!("{keys}?prefix="), &conditional, b"").problem(501, "not-available");
    peer.ask("DELETE", keys, &[], b"").problem(400, "bad-argument");
    peer.ask("POST", &format!("{KEY}/incr?by=many"), &[], b"").problem(400, "bad-argument");
    peer.ask("DELETE", "/v1/databases/data%2Fnone", &[], b"").problem(404, "not-found");
    let batch = |body: &[u8]| peer.ask("POST", "/v1/databases/data%2Fa/batch", &[], body);
    batch(b"{\"put\":{}}").problem(400, "bad-argument");
    let put =
        |number: u32| json!({"put": {"key": number.to_string(), "value": ""}}).to_string() + "\n";
    let many: String = (0..10_001).map(put).collect();
    batch(many.as_bytes()).problem(413, "batch-too-large");
    let regex = json!({"name": "r", "matcher": "regex:a(", "replication": {"min": 1, "max": 1}});
    let body = regex.to_string();
    peer.ask("PUT", "/v1/definitions/r", &[], body.as_bytes()).problem(422, "bad-definition");
    peer.ask("PUT", "/v1/definitions/x", &[], body.as_bytes()).problem(422, "bad-definition");
    assert!(get("/v1/databases/data%2Fa/keys").json()["entries"].as_array().unwrap().len() <= 1);
}

/// Batches in both forms, listings page by page, and a scan.
#[test]
fn many_keys_at_once() {
    let peer = Peer::start();
    let batch = "/v1/databases/data%2Fmany/batch";
    let list = json!([{"put": {"key": "b", "value_base64": "/w=="}}, {"put": {"key": "gone", "value": ""}}]);
    let written = peer.ask("POST", batch, &[], list.to_string().as_bytes()).json();
    assert_eq!(written["writes"], 2);
    assert_eq!(written["versions"].as_array().unwrap().len(), 2);
    let lines = b"{\"put\":{\"key\":\"a\",\"value\":\"1\"}}\n{\"delete\":{\"key\":\"gone\"}}\n";
    let written = peer.ask("POST", &format!("{batch}?versions=false"), &[], lines).json();
    assert_eq!(written, json!({"writes": 2}));

    let keys = "/v1/databases/data%2Fmany/keys";
    let page = peer.ask("GET", &format!("{keys}?limit=1&values=true"), &[], b"").json();
    assert_eq!(
        (&page["entries"][0]["key"], &page["entries"][0]["value"]),
        (&json!("a"), &json!("1"))
    );
    assert_eq!(page["truncated"], true);
    let cursor = page["cursor"].as_str().unwrap();
    let page = peer.ask("GET", &format!("{keys}?cursor={cursor}&values=true"), &[], b"").json();
    assert_eq!(page["entries"][0]["value_base64"], "/w==");
    assert_eq!((&page["truncated"], page.get("cursor")), (&json!(false), None));

    let scan = peer.ask("GET", "/v1/databases/data%2Fmany/scan?start=b", &[], b"");
    assert_eq!(scan.header("content-type"), Some("application/x-ndjson"));
    let rows: Vec<Value> = scan
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!((rows.len(), &rows[0]["key"]), (1, &json!("b")));
}

/// What supervisors and scrapers ask.
#[test]
fn health_and_metrics() {
    let peer = Peer::start();
    assert_eq!(peer.ask("GET", "/health/live", &[], b"").status, 200);
    assert_eq!(peer.ask("GET", "/health/ready", &[], b"").status, 200);
    let metrics = peer.ask("GET", "/metrics", &[], b"");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("\ntidings_live_peers 1\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let known = name.starts_with("tidings_") || name.starts_with("process_");
        assert!(known && value.parse::<f64>().is_ok(), "{line}");
    }
}
