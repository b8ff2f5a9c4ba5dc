//! The document says what the door does: the same endpoints, parameters, scopes and problem codes, and
//! answers of the forms that it gives.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value};

use super::*;
use crate::endpoint::{Access, ENDPOINTS, Endpoint};
use crate::problem::Code;
use crate::routes::tests::{ALL, World, read};
use tidings_tokens::Scope;

fn parsed() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// What a `$ref` leads to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    let target = document.pointer(reference.strip_prefix('#').unwrap());
    target.unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}"))
}

/// Endpoints of the table that the document tells of: an empty key is told of with the others.
fn told() -> impl Iterator<Item = &'static Endpoint> {
    let keyless = |address: &str| address.ends_with('/') || address.contains("//");
    ENDPOINTS.iter().filter(move |endpoint| !keyless(endpoint.address))
}

/// Names of the parameters of an operation that stand in a place.
fn parameters(document: &Value, address: &str, method: &str, place: &str) -> BTreeSet<String> {
    let path = &document["paths"][address];
    let own = path[method]["parameters"].as_array().into_iter().flatten();
    let shared = path["parameters"].as_array().into_iter().flatten();
    let all = own.chain(shared).map(|parameter| resolved(document, parameter));
    let here = all.filter(|parameter| parameter["in"] == place);
    here.flat_map(|parameter| match &parameter["schema"]["properties"] {
        // Those that depend on each other are told of as the properties of one.
        Value::Object(several) => several.keys().cloned().collect(),
        _ => vec![parameter["name"].as_str().unwrap().to_owned()],
    })
    .collect()
}

#[test]
fn it_tells_of_every_endpoint_and_of_no_other() {
    let document = parsed();
    let mut written = BTreeSet::new();
    for (address, path) in object(&document["paths"]) {
        for method in object(path).keys().filter(|key| *key != "parameters") {
            written.insert(format!("{} {address}", method.to_uppercase()));
        }
    }
    let mut table: BTreeSet<_> =
        told().map(|endpoint| format!("{} {}", endpoint.method, endpoint.address)).collect();
    // It is served wherever GET is, and told of where it is of use.
    table.insert("HEAD /v1/databases/{path}/keys/{key}".into());
    assert_eq!(written, table);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn its_parameters_are_those_that_are_taken() {
    let document = parsed();
    for endpoint in told() {
        let methods: &[&str] = match endpoint.method {
            Method::GET if endpoint.address.ends_with("{key}") => &["get", "head"],
            Method::GET => &["get"],
            Method::PUT => &["put"],
            Method::POST => &["post"],
            _ => &["delete"],
        };
        for method in methods {
            let written = |place| parameters(&document, endpoint.address, method, place);
            let taken = endpoint.query.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(written("query"), taken, "{method} {}", endpoint.address);
            let braces = endpoint.address.split('{').skip(1);
            let named = braces.map(|part| part.split('}').next().unwrap().to_owned()).collect();
            assert_eq!(written("path"), named, "{method} {}", endpoint.address);
        }
    }
}

#[test]
fn its_scopes_are_those_that_are_asked_for() {
    let document = parsed();
    for endpoint in told() {
        let method = endpoint.method.as_str().to_lowercase();
        let operation = &document["paths"][endpoint.address][method];
        let expected = match endpoint.access {
            Access::Everybody => serde_json::json!([]),
            Access::AnyToken => serde_json::json!([{}, { "token": [] }]),
            Access::Database(scope) | Access::Cluster(scope) => {
                let sentence = format!("Needs the scope `{scope}`.");
                let description = operation["description"].as_str().unwrap();
                assert!(description.contains(&sentence), "{}", endpoint.address);
                serde_json::json!([{}, { "token": [scope.name()] }])
            }
        };
        assert_eq!(operation["security"], expected, "{} {}", endpoint.method, endpoint.address);
    }
}

/// The codes of the library are read from the one function that gives them.
#[test]
fn its_codes_are_those_of_the_door_and_of_the_library() {
    let document = parsed();
    let source = include_str!("../../../core/src/error.rs");
    let body = source.split("pub fn code(&self)").nth(1).unwrap().split("\n    }\n").next();
    let library = body.unwrap().split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut codes: BTreeSet<&str> = library.collect();
    assert!(codes.contains("key-length") && codes.len() > 15, "{codes:?}");
    codes.extend(Code::ALL.map(Code::name));
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let listed: BTreeSet<&str> =
        listed.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(listed, codes);
    for code in codes {
        assert!(DOCUMENT.contains(&format!("`{code}`")), "nothing says what {code} means");
    }
}

/// Each problem of the door itself is told with the status that it has.
#[test]
fn its_problems_have_the_statuses_of_the_door() {
    let document = parsed();
    let responses = object(&document["components"]["responses"]);
    for response in responses.values() {
        let example = &response["content"]["application/problem+json"]["example"];
        let code = example["code"].as_str().unwrap();
        let own = Code::ALL.into_iter().find(|own| own.name() == code);
        if let Some(own) = own {
            assert_eq!(example["status"], own.status().as_u16(), "{code}");
        }
    }
    for (address, path) in object(&document["paths"]) {
        for (method, operation) in object(path).iter().filter(|(key, _)| *key != "parameters") {
            for (status, response) in object(&operation["responses"]) {
                let response = resolved(&document, response);
                let example = &response["content"]["application/problem+json"]["example"];
                if let Some(own) = example["status"].as_u64() {
                    assert_eq!(*status, own.to_string(), "{method} {address}");
                }
            }
        }
    }
}

#[test]
fn everything_that_it_refers_to_is_there() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                resolved(document, value);
                map.values().for_each(|value| walk(document, value));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = parsed();
    walk(&document, &document);
    for (kind, components) in object(&document["components"]) {
        for name in object(components).keys().filter(|_| kind != "securitySchemes") {
            let reference = format!("\"#/components/{kind}/{name}\"");
            assert!(DOCUMENT.contains(&reference), "nothing uses {kind}/{name}");
        }
    }
}

/// Compares an answer with a schema: every field is told of, those that are required are there, and
/// all have the types that are told.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = resolved(document, schema);
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&own), "{place} is of the type {own}, told is {types:?}");
    match value {
        Value::Array(list) => {
            for value in list {
                check(document, &schema["items"], value, &format!("{place}[]"));
            }
        }
        Value::Object(map) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                let required = required.as_str().unwrap();
                assert!(map.contains_key(required), "{place} has no {required}");
            }
            for (name, value) in map {
                let place = format!("{place}.{name}");
                let told = match schema["properties"].get(name) {
                    Some(told) => told,
                    None => &schema["additionalProperties"],
                };
                assert!(told.is_object(), "{place} is not told of");
                check(document, told, value, &place);
            }
        }
        _ => {}
    }
}

/// Real answers of every endpoint that answers in JSON have the form that is told of it.
#[tokio::test]
async fn answers_have_the_forms_that_it_tells() {
    let document = parsed();
    let world = World::new().await;
    let token = world.token("a", Scope::Admin, &ALL);
    let mut checked = BTreeSet::new();
    let definition = r#"{"id": "x", "name": "n", "description": "d", "tags": ["t"],
        "matcher": "n/*", "replication": {"min": 1, "max": 1}, "size": 1000, "ttl": 7}"#;
    for (method, address, at, body) in [
        ("put", "/v1/databases/{path}/keys/{key}", "/v1/databases/data%2Fa/keys/k", "1"),
        (
            "post",
            "/v1/databases/{path}/batch",
            "/v1/databases/data%2Fa/batch?ttl=7d",
            r#"[{"put": {"key_base64": "/w==", "value": "x"}}]"#,
        ),
        ("post", "/v1/databases/{path}/keys/{key}/incr", "/v1/databases/data%2Fa/keys/k/incr", ""),
        (
            "post",
            "/v1/databases/{path}/keys/{key}/expire",
            "/v1/databases/data%2Fa/keys/k/expire?ttl=1h",
            "",
        ),
        (
            "post",
            "/v1/databases/{path}/keys/{key}/persist",
            "/v1/databases/data%2Fa/keys/k/persist",
            "",
        ),
        ("delete", "/v1/databases/{path}/keys/{key}", "/v1/databases/data%2Fa/keys/k", ""),
        ("delete", "/v1/databases/{path}/keys", "/v1/databases/data%2Fa/keys?prefix=none", ""),
        ("get", "/v1/databases", "/v1/databases", ""),
        ("get", "/v1/databases/{path}/keys", "/v1/databases/data%2Fa/keys?values=true", ""),
        ("get", "/v1/databases/{path}/keyspaces", "/v1/databases/data%2Fa/keyspaces", ""),
        ("get", "/v1/databases/{path}/status", "/v1/databases/data%2Fa/status", ""),
        ("post", "/v1/databases/{path}/sync", "/v1/databases/data%2Fa/sync", ""),
        ("put", "/v1/definitions/{name}", "/v1/definitions/n", definition),
        ("get", "/v1/definitions/{name}", "/v1/definitions/n", ""),
        ("get", "/v1/definitions", "/v1/definitions", ""),
        ("post", "/v1/definitions", "/v1/definitions", r#"{"definitions": []}"#),
        ("delete", "/v1/definitions/{name}", "/v1/definitions/n", ""),
        ("get", "/v1/peers", "/v1/peers", ""),
        ("get", "/v1/status", "/v1/status", ""),
        ("get", "/v1/drain", "/v1/drain", ""),
        ("put", "/v1/drain", "/v1/drain", ""),
        ("delete", "/v1/drain", "/v1/drain", ""),
        ("delete", "/v1/databases/{path}", "/v1/databases/data%2Fa", ""),
        (
            "post",
            "/v1/databases/{path}/tarmac/set",
            "/v1/databases/data%2Fa/tarmac/set",
            r#"{"key": "k", "data": ""}"#,
        ),
        (
            "post",
            "/v1/databases/{path}/tarmac/get",
            "/v1/databases/data%2Fa/tarmac/get",
            r#"{"key": "k"}"#,
        ),
        ("post", "/v1/databases/{path}/tarmac/keys", "/v1/databases/data%2Fa/tarmac/keys", ""),
        (
            "post",
            "/v1/databases/{path}/tarmac/delete",
            "/v1/databases/data%2Fa/tarmac/delete",
            r#"{"key": "k"}"#,
        ),
        ("get", "/openapi.json", "/openapi.json", ""),
    ] {
        let asked = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let response = world.send(&asked, at, Some(&token), body.to_owned().into()).await;
        assert_eq!(response.status(), 200, "{method} {address}");
        let answer = read(response).await;
        let operation = &document["paths"][address][method];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        if address == "/openapi.json" {
            assert_eq!(answer, document, "what is served is what is kept");
        } else {
            check(&document, schema, &answer, &format!("{method} {address}"));
        }
        checked.insert(format!("{} {address}", method.to_uppercase()));
    }
    // The others answer with no JSON, or not in this version.
    for endpoint in told() {
        let operation =
            &document["paths"][endpoint.address][endpoint.method.as_str().to_lowercase()];
        let of_json = operation["responses"]["200"]["content"]["application/json"].is_object();
        let name = format!("{} {}", endpoint.method, endpoint.address);
        assert_eq!(of_json, checked.contains(&name), "{name}");
    }
    let problem = read(world.ask(&Method::GET, "/v1/definitions/none", Some(&token)).await).await;
    check(&document, &document["components"]["schemas"]["Problem"], &problem, "problem");
}
