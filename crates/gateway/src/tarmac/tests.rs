//! The capability as a client meets it: the four verbs in both forms, and what is refused.

use axum::http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tidings::{Definition, Peer};

use super::*;
use crate::routes::tests::{ALL, World};
use tidings_tokens::Scope;

const JSON: &str = "application/json";
const PROTO: &str = "application/protobuf";

struct Store {
    world: World,
    token: String,
}

impl Store {
    async fn new() -> Self {
        let world = World::new().await;
        let token = world.token("a", Scope::Write, &ALL);
        Self { world, token }
    }

    /// The HTTP status, the media type and the bytes of an answer.
    async fn ask(&self, verb: &str, media_type: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let address = format!("/v1/databases/data%2Fa/tarmac/{verb}");
        let headers = [("content-type", media_type)];
        let body = body.to_vec().into();
        let sent = self.world.send_with(&Method::POST, &address, Some(&self.token), &headers, body);
        let response = sent.await;
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        (status, media_type, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    async fn json(&self, verb: &str, body: Value) -> Value {
        let (status, media_type, bytes) = self.ask(verb, JSON, body.to_string().as_bytes()).await;
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            (&json!(status), media_type.as_str()),
            (&answer["status"]["code"], JSON),
            "{verb}"
        );
        answer
    }

    async fn proto(&self, verb: &str, body: &[u8]) -> Vec<u8> {
        let (status, media_type, bytes) = self.ask(verb, PROTO, body).await;
        assert_eq!((status == 200, media_type.as_str()), (bytes.starts_with(OK), PROTO), "{verb}");
        bytes
    }
}

const OK: &[u8] = b"\x0a\x07\x08\xc8\x01\x12\x02OK";

/// What one form writes the other one reads.
#[tokio::test]
async fn the_verbs_do_what_they_say_in_both_forms() {
    let store = Store::new().await;
    let ok = json!({ "code": 200, "status": "OK" });
    let set = store.json("set", json!({ "key": "a", "data": "AP8=" })).await;
    assert_eq!(set, json!({ "status": ok }));
    assert_eq!(store.proto("get", b"\x0a\x01a").await, [OK, b"\x12\x02\x00\xff"].concat());
    assert_eq!(store.proto("set", b"\x0a\x01b\x12\x01x").await, OK);
    let get = store.json("get", json!({ "key": "b" })).await;
    assert_eq!(get, json!({ "status": ok, "data": "eA==" }));
    let keys = json!({ "keys": ["a", "b"], "status": ok });
    assert_eq!(store.json("keys", json!({})).await, keys);
    let (_, media_type, bytes) = store.ask("keys", JSON, b"").await;
    assert_eq!(
        (media_type.as_str(), serde_json::from_slice::<Value>(&bytes).unwrap()),
        (JSON, keys)
    );
    assert_eq!(store.proto("keys", b"\x08\x01").await, [OK, b"\x12\x01a\x12\x01b"].concat());
    let (_, media_type, _) = store.ask("keys", PROTO, b"").await;
    assert_eq!(media_type, JSON, "without return_proto the answer is JSON");
    assert_eq!(store.proto("delete", b"\x0a\x01a").await, OK);
    assert_eq!(store.json("delete", json!({ "key": "a" })).await, json!({ "status": ok }));
    let gone = store.json("get", json!({ "key": "a" })).await;
    assert_eq!((&gone["status"]["code"], &gone["data"]), (&json!(404), &json!("")));
    let gone = store.proto("get", b"\x0a\x01a").await;
    assert_eq!(gone[2..5], [0x08, 0x94, 0x03], "404 as a varint");
}

#[tokio::test]
async fn mistakes_are_statuses_and_what_the_door_refuses_is_a_problem() {
    let store = Store::new().await;
    for (verb, body, code, why) in [
        ("get", json!({}), 400, "key cannot be nil"),
        ("delete", json!({ "key": "" }), 400, "key cannot be nil"),
        ("set", json!({ "key": "a" }), 400, "the data is missing"),
        ("set", json!({ "key": "a", "data": "?" }), 400, "Unable to decode data"),
        ("set", json!({ "key": "k".repeat(1025), "data": "" }), 400, "key-length"),
        ("get", json!([]), 400, "Error Parsing Input"),
    ] {
        let status = &store.json(verb, body.clone()).await["status"];
        assert_eq!(status["code"], code, "{verb} {body}: {status}");
        assert!(status["status"].as_str().unwrap().contains(why), "{status}");
    }
    let address = "/v1/databases/nowhere/tarmac/get";
    let body = r#"{"key": "a"}"#.into();
    let answer = store.world.send(&Method::POST, address, Some(&store.token), body).await;
    assert_eq!(answer.status(), 400, "no definition accepts the path");
    for (media_type, status) in [
        ("Application/JSON; charset=utf-8", 200),
        ("application/x-protobuf", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ] {
        assert_eq!(store.ask("keys", media_type, b"").await.0, status, "{media_type}");
    }
    let body = vec![b' '; crate::bounds::BODY_MAX + 1];
    assert_eq!(store.ask("set", JSON, &body).await.0, 413);
}

/// An answer that is not whole says so in its status.
#[tokio::test]
async fn keys_that_are_left_out_are_told_of() {
    let peer = Peer::in_memory().definitions(vec![Definition::new("all", "**", 1, 1)]);
    let peer = peer.start().await.unwrap();
    let database = peer.database("a").await.unwrap();
    for key in ["a", "b", "c"] {
        database.put(key, "").await.unwrap();
    }
    assert_eq!(all_keys(&database, 3).await.unwrap().1, None);
    let (keys, why) = all_keys(&database, 2).await.unwrap();
    assert_eq!(keys, ["a", "b"]);
    assert!(why.unwrap().contains("more than these 2 keys"));
    database.put([0xff], "").await.unwrap();
    let (keys, why) = all_keys(&database, 3).await.unwrap();
    assert_eq!(keys.len(), 3);
    assert!(why.unwrap().contains("1 keys are not UTF-8"));
}
