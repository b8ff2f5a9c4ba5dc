//! Increments, expiries, deletes of a prefix and keyspaces, as requests meet them.

use axum::http::Method;
use serde_json::{Value, json};

use crate::routes::tests::{ALL, World, read};
use tidings_tokens::Scope;

const KEY: &str = "/v1/databases/data%2Fa/keys/k";
const KEYS: &str = "/v1/databases/data%2Fa/keys";

/// A door, and a token that may write.
struct Writer {
    world: World,
    token: String,
}

/// What was answered.
struct Answer {
    status: u16,
    tag: Option<String>,
    expires: Option<String>,
    body: Value,
}

impl Writer {
    async fn new() -> Self {
        let world = World::new().await;
        let token = world.token("writer", Scope::Write, &ALL);
        Self { world, token }
    }

    async fn ask(&self, method: Method, address: &str, body: &str) -> Answer {
        self.ask_with(method, address, &[], body).await
    }

    async fn ask_with(
        &self,
        method: Method,
        address: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (token, body) = (Some(self.token.as_str()), body.to_owned().into());
        let response = self.world.send_with(&method, address, token, headers, body).await;
        let text = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let (tag, expires) = (text("etag"), text("tidings-expires"));
        Answer { status: response.status().as_u16(), tag, expires, body: read(response).await }
    }

    async fn put(&self, address: &str, value: &str) {
        assert_eq!(self.ask(Method::PUT, address, value).await.status, 200, "{address}");
    }

    /// Asserts that a request is refused with this status and code, and gives the sentence.
    async fn refused(&self, method: Method, address: &str, status: u16, code: &str) -> String {
        let answer = self.ask(method, address, "").await;
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{address}");
        answer.body["detail"].as_str().unwrap().to_owned()
    }

    /// The expiry of a key that is there.
    async fn expiry(&self, address: &str) -> Option<String> {
        let answer = self.ask(Method::GET, address, "").await;
        assert_eq!(answer.status, 200);
        answer.expires
    }

    async fn keys(&self, query: &str) -> Vec<String> {
        let page = self.ask(Method::GET, &format!("{KEYS}{query}"), "").await.body;
        let rows = page["entries"].as_array().unwrap().iter();
        rows.map(|row| row["key"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_counter_answers_with_its_value_and_its_version() {
    let door = Writer::new().await;
    let incr = async |query: &str| {
        let answer = door.ask(Method::POST, &format!("{KEY}/incr{query}"), "").await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let version = answer.body["version"].as_str().unwrap();
        assert_eq!(answer.tag, Some(format!("\"{version}\"")));
        answer.body["value"].as_i64().unwrap()
    };
    assert_eq!(incr("").await, 1);
    assert_eq!(incr("?by=41&durability=synced&acks=1&timeout=5s").await, 42);
    assert_eq!(incr("?by=-50").await, -8);
    assert_eq!(incr("?by=0").await, -8);
    let get = door.ask(Method::GET, KEY, "").await;
    assert_eq!((get.status, get.body), (200, json!(-8)), "reads show digits");
    assert_eq!(incr("?by=-9223372036854775800").await, i64::MIN);

    let why = door.refused(Method::POST, &format!("{KEY}/incr?by=-1"), 409, "not-a-counter").await;
    assert!(why.contains("beyond the range"), "{why}");
    door.put(KEY, "many").await;
    let why = door.refused(Method::POST, &format!("{KEY}/incr"), 409, "not-a-counter").await;
    assert!(why.contains("\"many\" is no whole number"), "{why}");
    for by in ["", "1.5", "%2B1", "--1", "9223372036854775808", "1&by=2", "1&ttl=1s"] {
        let address = format!("{KEY}/incr?by={by}");
        door.refused(Method::POST, &address, 400, "bad-argument").await;
    }
    let keyless = format!("{KEYS}//incr");
    door.refused(Method::POST, &keyless, 400, "key-length").await;
    let nowhere = "/v1/databases/nowhere/keys/k/incr";
    door.refused(Method::POST, nowhere, 422, "no-match").await;
    door.refused(Method::POST, &format!("{KEY}/incr?acks=3"), 400, "bad-argument").await;
}

#[tokio::test]
async fn an_increment_may_have_a_condition() {
    let door = Writer::new().await;
    let address = format!("{KEY}/incr");
    let incr = async |name: &str, value: &str| {
        door.ask_with(Method::POST, &address, &[(name, value)], "").await
    };
    let first = incr("if-none-match", "*").await;
    assert_eq!(first.status, 200);
    let tag = first.tag.unwrap();
    assert_eq!(incr("if-none-match", "*").await.status, 412);
    assert_eq!(incr("if-match", &tag).await.body["value"], 2);
    assert_eq!(incr("if-match", &tag).await.status, 412);
}

#[tokio::test]
async fn an_expiry_is_given_to_what_is_there_and_taken_away() {
    let door = Writer::new().await;
    let late = "2100-01-02T03:04:05.006Z";
    let post = async |what: &str| door.ask(Method::POST, &format!("{KEY}/{what}"), "").await;
    door.refused(Method::POST, &format!("{KEY}/expire?ttl=30s"), 404, "not-found").await;
    door.refused(Method::POST, &format!("{KEY}/persist"), 404, "not-found").await;

    door.put(KEY, "7").await;
    let answer = post(&format!("expire?ttl=1h&expires={late}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let version = answer.body["version"].as_str().unwrap();
    assert_eq!(answer.tag, Some(format!("\"{version}\"")));
    assert_eq!(door.expiry(KEY).await.as_deref(), Some(late), "a moment stands before a time");
    assert_eq!(post("persist?durability=synced").await.status, 200);
    assert_eq!(door.expiry(KEY).await, None);
    assert_eq!(post("expire?ttl=30s").await.status, 200);
    assert!(door.expiry(KEY).await.is_some());
    assert_eq!(door.ask(Method::POST, &format!("{KEY}/incr"), "").await.body["value"], 8);
    assert!(door.expiry(KEY).await.is_some(), "an increment leaves the expiry");
    assert_eq!(post("expire?expires=2001-01-01T00:00:00Z").await.status, 200);
    door.refused(Method::GET, KEY, 404, "not-found").await;
    door.refused(Method::POST, &format!("{KEY}/persist"), 404, "not-found").await;

    let why = door.refused(Method::POST, &format!("{KEY}/expire"), 400, "bad-argument").await;
    assert!(why.contains("ttl=30s") && why.contains("/persist"), "{why}");
    for wrong in ["ttl=5", "ttl=0s", "ttl=36501d", "expires=7d", "ttl=1s&by=1"] {
        let address = format!("{KEY}/expire?{wrong}");
        door.refused(Method::POST, &address, 400, "bad-argument").await;
    }
    door.refused(Method::POST, &format!("{KEY}/persist?ttl=1s"), 400, "bad-argument").await;
    for what in ["expire?ttl=1s", "persist"] {
        door.refused(Method::POST, &format!("{KEYS}//{what}"), 400, "key-length").await;
    }
}

#[tokio::test]
async fn every_key_with_a_prefix_goes_and_nobody_clears_by_accident() {
    let door = Writer::new().await;
    for key in ["user", "user:1", "user:2", "%FF%00", "%FF%01"] {
        door.put(&format!("{KEYS}/{key}"), "v").await;
    }
    door.put(&format!("{KEYS}/user:1?keyspace=other"), "v").await;
    let delete = async |query: &str| {
        let answer = door.ask(Method::DELETE, &format!("{KEYS}{query}"), "").await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body
    };
    let why = door.refused(Method::DELETE, KEYS, 400, "bad-argument").await;
    assert!(why.contains("prefix= for all"), "{why}");
    door.refused(Method::DELETE, &format!("{KEYS}/?prefix="), 400, "bad-argument").await;
    let tag = [("if-match", "*")];
    let answer = door.ask_with(Method::DELETE, &format!("{KEYS}?prefix=user"), &tag, "").await;
    assert_eq!((answer.status, &answer.body["code"]), (501, &json!("not-available")));
    assert_eq!(delete("?prefix=%FF&durability=synced").await, json!({ "deleted": 2 }));
    assert_eq!(delete("?prefix=user:").await, json!({ "deleted": 2 }));
    assert_eq!(delete("?prefix=user:").await, json!({ "deleted": 0 }));
    assert_eq!(door.keys("").await, ["user"]);
    assert_eq!(delete("?prefix=").await, json!({ "deleted": 1 }));
    assert_eq!(door.keys("").await, [""; 0]);
    assert_eq!(door.keys("?keyspace=other").await, ["user:1"]);
    assert_eq!(delete("?prefix&keyspace=other").await, json!({ "deleted": 1 }));
}

/// One key in three keyspaces, through every address that names keys.
#[tokio::test]
async fn keyspaces_are_apart() {
    let door = Writer::new().await;
    let database = "/v1/databases/data%2Fa";
    let spaces = ["", "one", "%C3%A9%2F"];
    for (at, space) in spaces.into_iter().enumerate() {
        door.put(&format!("{KEY}?keyspace={space}"), &at.to_string()).await;
    }
    door.put(KEY, "0").await;
    for (at, space) in spaces.into_iter().enumerate() {
        let space = format!("keyspace={space}");
        let get = door.ask(Method::GET, &format!("{KEY}?{space}"), "").await;
        assert_eq!(get.body, json!(at));
        assert_eq!(door.keys(&format!("?{space}&prefix=k")).await, ["k"]);
        let incr = door.ask(Method::POST, &format!("{KEY}/incr?by=10&{space}"), "").await;
        assert_eq!(incr.body["value"], json!(at + 10));
        let put = r#"[{"put": {"key": "l", "value": ""}}]"#;
        let batch = door.ask(Method::POST, &format!("{database}/batch?{space}"), put).await;
        assert_eq!(batch.body["writes"], 1);
        for what in ["expire?ttl=1h&", "persist?"] {
            let address = format!("{KEYS}/l/{what}{space}");
            assert_eq!(door.ask(Method::POST, &address, "").await.status, 200);
        }
        let asked = r#"{"key": "k"}"#;
        let tarmac = format!("{database}/tarmac/get?{space}");
        let answer = door.ask(Method::POST, &tarmac, asked).await;
        assert_eq!(answer.body["status"]["code"], 200, "{}", answer.body);
        let tarmac = format!("{database}/tarmac/keys?{space}");
        assert_eq!(door.ask(Method::POST, &tarmac, "").await.body["keys"], json!(["k", "l"]));
        assert_eq!(door.ask(Method::DELETE, &format!("{KEYS}/l?{space}"), "").await.status, 200);
        let rows = scanned(&door, &format!("{database}/scan?{space}")).await;
        assert_eq!(rows, format!("k={}", at + 10));
    }
    let long = format!("{KEY}?keyspace={}", "x".repeat(129));
    let why = door.refused(Method::GET, &long, 400, "bad-argument").await;
    assert!(why.contains("at most 128"), "{why}");
    door.refused(Method::GET, &format!("{KEY}?keyspace=%FF"), 400, "bad-argument").await;
}

/// The rows of a scan, as `key=value`.
async fn scanned(door: &Writer, address: &str) -> String {
    use http_body_util::BodyExt as _;

    let response = door.world.ask(&Method::GET, address, Some(&door.token)).await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        format!("{}={}", row["key"].as_str().unwrap(), row["value"].as_str().unwrap())
    };
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().map(row).collect::<Vec<_>>().join(" ")
}
