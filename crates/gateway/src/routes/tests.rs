//! The interface as requests meet it: who may do what with which token.

use axum::http::{Method, Response, StatusCode};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::Definition;

use super::*;
use crate::endpoint::{Access, ENDPOINTS};
use tidings_tokens::{Scope, TokenFile};

/// A door over a peer in memory, with a token file.
pub(crate) struct World {
    router: Router,
    door: Door,
    file: TokenFile,
    closing: signal::Sender<bool>,
    _directory: TempDir,
}

/// Paths of no token.
pub(crate) const ALL: [&str; 0] = [];

impl World {
    pub(crate) async fn new() -> Self {
        let definitions = vec![Definition::new("all", "data/**", 1, 1)];
        let peer = Peer::in_memory().definitions(definitions).start().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens"));
        file.change(|_| Ok(())).unwrap();
        let tokens = Arc::new(LiveTokens::open(file.clone()).unwrap());
        let (closing, closed) = signal::channel(false);
        let door = Door {
            peer,
            tokens: Some(tokens),
            counts: Arc::new(Counts::new()),
            beside: None,
            closing: closed,
        };
        let router = router(door.clone());
        Self { router, door, file, closing, _directory: directory }
    }

    /// A token that the door knows.
    pub(crate) fn token(&self, name: &str, scope: Scope, paths: &[&str]) -> String {
        let token = self.file.change(|tokens| tokens.add(name, scope, paths)).unwrap();
        self.door.tokens.as_ref().unwrap().refresh().unwrap();
        token
    }

    pub(crate) async fn ask(
        &self,
        method: &Method,
        address: &str,
        token: Option<&str>,
    ) -> Response<Body> {
        self.send(method, address, token, Body::empty()).await
    }

    pub(crate) async fn send(
        &self,
        method: &Method,
        address: &str,
        token: Option<&str>,
        body: Body,
    ) -> Response<Body> {
        self.send_with(method, address, token, &[], body).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &Method,
        address: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response<Body> {
        let mut request =
            Request::builder().method(method).uri(address).header("host", "a.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let service = TowerToHyperService::new(self.router.clone());
        service.call(request.body(body).unwrap()).await.unwrap()
    }

    async fn json(&self, address: &str, token: &str) -> Value {
        let response = self.ask(&Method::GET, address, Some(token)).await;
        assert_eq!(response.status(), 200, "{address}");
        read(response).await
    }
}

pub(crate) async fn read(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

/// An address of the table with something for what varies.
fn example(address: &str) -> String {
    address.replace("{path}", "data%2Fa").replace("{key}", "k").replace("{name}", "all")
}

/// Whether a token lets a request of this scope pass, asked of every endpoint of the router. What passes
/// may fail for other reasons, but never as one without a token does.
#[tokio::test]
async fn every_endpoint_asks_for_the_scope_of_the_table() {
    let world = World::new().await;
    let tokens = [Scope::Read, Scope::Write, Scope::Admin]
        .map(|scope| (scope, world.token(scope.name(), scope, &ALL)));
    for endpoint in ENDPOINTS {
        let (method, address) = (&endpoint.method, example(endpoint.address));
        let told = format!("{method} {address}");
        let needs = match endpoint.access {
            Access::Everybody => {
                assert_eq!(world.ask(method, &address, None).await.status(), 200, "{told}");
                continue;
            }
            Access::AnyToken => Scope::Read,
            Access::Database(scope) | Access::Cluster(scope) => scope,
        };
        let response = world.ask(method, &address, None).await;
        assert_eq!(response.status(), 401, "{told}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"tidings\"");
        assert_eq!(read(response).await["code"], "unauthenticated", "{told}");
        let response = world.ask(method, &address, Some("tidings_x")).await;
        assert_eq!(response.status(), 401, "{told}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("invalid_token"), "{challenge}");
        for (scope, token) in &tokens {
            let response = world.ask(method, &address, Some(token)).await;
            if *scope >= needs {
                assert!(!matches!(response.status().as_u16(), 401 | 403), "{told}: {scope}");
                continue;
            }
            assert_eq!(response.status(), 403, "{told}: {scope}");
            let challenge = response.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains(&format!("scope=\"{needs}\"")), "{challenge}");
            let problem = read(response).await;
            assert_eq!(problem["code"], "denied", "{told}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("needs the scope {needs}")), "{detail}");
        }
    }
}

/// The scopes themselves, as they are documented, read from the table by method and address.
#[test]
fn what_changes_data_needs_write_and_what_changes_the_cluster_needs_admin() {
    for endpoint in ENDPOINTS {
        let change = endpoint.method != Method::GET;
        let of_cluster = endpoint.address.starts_with("/v1/definitions")
            || endpoint.address == "/v1/drain"
            || endpoint.address == "/v1/databases/{path}";
        let expected = match (change, of_cluster) {
            (true, true) => Some(Scope::Admin),
            (true, false) if waits_or_reads(endpoint.address) => Some(Scope::Read),
            (true, false) => Some(Scope::Write),
            // All that the peer holds, whatever the paths of a token.
            (false, _) if endpoint.address == "/v1/backup" => Some(Scope::Admin),
            (false, _) => Some(Scope::Read),
        };
        let of_database = endpoint.address.starts_with("/v1/databases/{path}");
        let expected = match endpoint.address {
            "/health/live" | "/health/ready" => Access::Everybody,
            "/v1/databases" | "/openapi.json" => Access::AnyToken,
            _ if of_database => Access::Database(expected.unwrap()),
            _ => Access::Cluster(expected.unwrap()),
        };
        assert_eq!(endpoint.access, expected, "{} {}", endpoint.method, endpoint.address);
    }
}

/// What is a `POST` and changes nothing.
fn waits_or_reads(address: &str) -> bool {
    ["/sync", "/tarmac/get", "/tarmac/keys"].iter().any(|end| address.ends_with(end))
}

/// What is not there asks for a token, too, and tells one with a token what is there.
#[tokio::test]
async fn unknown_addresses_and_methods_tell_nothing_without_a_token() {
    let world = World::new().await;
    let token = world.token("a", Scope::Read, &["data/a"]);
    for (method, address, status, code) in [
        (Method::GET, "/v2", 404, "no-endpoint"),
        (Method::GET, "/health/lives", 404, "no-endpoint"),
        (Method::PATCH, "/v1/databases", 405, "method-not-allowed"),
    ] {
        assert_eq!(world.ask(&method, address, None).await.status(), 401, "{address}");
        let response = world.ask(&method, address, Some(&token)).await;
        assert_eq!(response.status(), status, "{address}");
        assert_eq!(read(response).await["code"], code);
    }
    let response = world.ask(&Method::PATCH, "/v1/databases", Some(&token)).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD");
}

/// A token with paths sees the databases at those paths and nothing else, in addresses however they
/// are written and in the listing, page by page.
#[tokio::test]
async fn a_token_with_paths_sees_its_databases_only() {
    let world = World::new().await;
    let all = world.token("all", Scope::Admin, &ALL);
    for path in ["a", "b", "c", "d/x"] {
        let address = format!("/v1/databases/data%2F{}/keys/k", path.replace('/', "%2F"));
        let response = world.send(&Method::PUT, &address, Some(&all), "1".into()).await;
        assert_eq!(response.status(), 200);
    }
    let some = world.token("some", Scope::Admin, &["exact:data/a", "data/c", "data/d/*"]);
    for (address, status) in [
        ("/v1/databases/data%2Fa/keys/k", 200),
        ("/v1/databases/data%2fa/keys/k", 200),
        ("/v1/databases/%64ata%2Fd%2Fx/keys/k", 200),
        ("/v1/databases/data%2Fb/keys/k", 403),
        ("/v1/databases/data%2Fa%2F..%2Fb/keys/k", 403),
        ("/v1/databases/data%2Fa%00/keys/k", 403),
        ("/v1/databases/data%252Fa/keys/k", 403),
        ("/v1/databases/%FF/keys/k", 403),
        ("/v1/databases//keys/k", 403),
        ("/v1/status", 403),
        ("/v1/definitions", 403),
        ("/metrics", 403),
    ] {
        let response = world.ask(&Method::GET, address, Some(&some)).await;
        assert_eq!(response.status(), status, "{address}");
    }
    let paths = |page: &Value| -> Vec<String> {
        let databases = page["databases"].as_array().unwrap().iter();
        databases.map(|database| database["path"].as_str().unwrap().to_owned()).collect()
    };
    let page = world.json("/v1/databases", &some).await;
    assert_eq!(paths(&page), ["data/a", "data/c", "data/d/x"]);
    let page = world.json("/v1/databases?limit=2", &some).await;
    assert_eq!(paths(&page), ["data/a", "data/c"]);
    assert_eq!((&page["truncated"], &page["cursor"]), (&json!(true), &json!("data/c")));
    let page = world.json("/v1/databases?limit=2&cursor=data%2Fc", &some).await;
    assert_eq!((paths(&page), &page["truncated"]), (vec!["data/d/x".to_owned()], &json!(false)));
    assert_eq!(paths(&world.json("/v1/databases", &all).await).len(), 4);
}

/// A watch ends when its token is revoked, and not when another one is; and it ends with the door.
#[tokio::test]
async fn a_watch_ends_with_its_token() {
    let world = World::new().await;
    let (first, second) =
        (world.token("first", Scope::Read, &ALL), world.token("second", Scope::Read, &ALL));
    let address = "/v1/databases/data%2Fa/watch";
    let mut watches = Vec::new();
    for token in [&first, &second] {
        let response = world.ask(&Method::GET, address, Some(token)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body();
        assert!(next(&mut body).await.starts_with("event: ready\ndata: {}\nid: "));
        watches.push(body);
    }
    world.file.change(|tokens| Ok(tokens.revoke("first"))).unwrap();
    assert!(world.door.tokens.as_ref().unwrap().refresh().unwrap());
    let end = next(&mut watches[0]).await;
    assert!(end.starts_with("event: error\ndata: ") && end.contains("unauthenticated"), "{end}");
    assert!(watches[0].frame().await.is_none());
    let put = world.token("third", Scope::Write, &ALL);
    let key = "/v1/databases/data%2Fa/keys/k";
    assert_eq!(world.send(&Method::PUT, key, Some(&put), "1".into()).await.status(), 200);
    assert!(next(&mut watches[1]).await.starts_with("event: change"));
    world.closing.send(true).unwrap();
    assert!(watches[1].frame().await.is_none());
}

async fn next(body: &mut Body) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(30), body.frame()).await.unwrap();
    String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
}

/// What is longer than anything that is served, or waits longer, is told the bound.
#[tokio::test]
async fn what_is_too_long_is_refused_with_the_bound() {
    let world = World::new().await;
    let token = world.token("a", Scope::Admin, &ALL);
    let ask = async |method: &Method, address: &str| {
        let response = world.ask(method, address, Some(&token)).await;
        (response.status().as_u16(), read(response).await["detail"].to_string())
    };
    let key = format!("/v1/databases/data%2Fa/keys/{}", "%61".repeat(tidings::limits::KEY_MAX));
    assert_eq!(ask(&Method::GET, &key).await.0, 404, "the longest key is no address too long");
    let long = format!("/v1/status?{}", "x".repeat(crate::bounds::URI_BYTES_MAX));
    let (status, detail) = ask(&Method::GET, &long).await;
    assert_eq!(status, 414);
    assert!(detail.contains("at most 16384 are taken"), "{detail}");
    let sync = "/v1/databases/data%2Fa/sync?timeout=";
    assert_eq!(ask(&Method::POST, &format!("{sync}1h")).await.0, 200);
    let (status, detail) = ask(&Method::POST, &format!("{sync}61m")).await;
    assert_eq!(status, 400);
    assert!(detail.contains("timeout=61m is more than 1h"), "{detail}");
}

/// A body that does not come to its end is given up, and one that is too large is told the bound.
#[tokio::test]
async fn a_body_has_its_time_and_its_size() {
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let problem =
        read_within(Duration::from_millis(1), &HeaderMap::new(), never).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (408, "request-timeout"));
    assert!(problem.detail.contains("after 1ms"), "{}", problem.detail);
    let most = read_body(&HeaderMap::new(), vec![0; BODY_MAX].into()).await.unwrap();
    assert_eq!(most.len(), BODY_MAX);
    let problem = read_body(&HeaderMap::new(), vec![0; BODY_MAX + 1].into()).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (413, "body-too-large"));
}

/// What a body says does not hang on the order of fields in this program: what has fields is an object.
#[tokio::test]
async fn fields_have_names() {
    let world = World::new().await;
    let token = world.token("root", Scope::Admin, &ALL);
    let batch = "/v1/databases/data%2Fa/batch";
    let (one, all) = ("/v1/definitions/d", "/v1/definitions");
    let named = r#"{"name":"d","matcher":"zz","replication":{"min":1,"max":1}}"#;
    let positional = r#"[null,"d","",[],"zz",[1,1],null,"buffered",null,0]"#;
    let half = r#"{"name":"d","matcher":"zz","replication":[1,1]}"#;
    let list = |definition: &str| format!(r#"{{"definitions":[{definition}]}}"#);
    let asked = [
        (Method::PUT, one, positional.into(), 400),
        (Method::PUT, one, half.into(), 400),
        (Method::PUT, one, named.into(), 200),
        (Method::POST, all, "[[]]".into(), 400),
        (Method::POST, all, list(positional), 400),
        (Method::POST, all, list(half), 400),
        (Method::POST, all, list(named), 200),
        (Method::POST, batch, r#"[{"put":["a",null,"1",null,null,null]}]"#.into(), 400),
        (Method::POST, batch, r#"[{"put":{"key_base64":"/w==","value":"1"}}]"#.into(), 200),
        (Method::POST, "/v1/databases/data%2Fa/tarmac/set", r#"["k","YQ=="]"#.into(), 400),
    ];
    for (method, address, body, status) in asked {
        let headers = [("content-type", "application/json")];
        let answer =
            world.send_with(&method, address, Some(&token), &headers, body.clone().into()).await;
        assert_eq!(answer.status().as_u16(), status, "{address} {body}");
    }
}

/// A percent sign that encodes nothing is a mistake, not a part of a name.
#[tokio::test]
async fn an_escape_is_a_byte() {
    let world = World::new().await;
    let token = world.token("root", Scope::Admin, &ALL);
    for address in ["%zz/keys", "data%2Fa/keys/%", "data%2Fa/keys/a%2", "data%2Fa/keys?prefix=%+1"]
    {
        let address = format!("/v1/databases/{address}");
        let answer = read(world.ask(&Method::GET, &address, Some(&token)).await).await;
        assert_eq!(answer["code"], "bad-argument", "{address}");
        assert!(answer["detail"].as_str().unwrap().contains("%25"), "{answer}");
    }
    let fine =
        world.ask(&Method::GET, "/v1/databases/data%2Fa/keys?prefix=%25zz", Some(&token)).await;
    assert_eq!(fine.status(), 200);
}
