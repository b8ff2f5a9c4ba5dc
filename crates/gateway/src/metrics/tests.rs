//! The metrics have the form and the names that Prometheus expects, and all there is to count is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::Method;

use super::*;
use crate::routes::tests::{ALL, World};
use tidings_tokens::Scope;

/// The metrics of a door that answered a few requests.
async fn text() -> String {
    use http_body_util::BodyExt as _;

    let world = World::new().await;
    let token = world.token("a", Scope::Admin, &ALL);
    world.ask(&Method::GET, "/v1/databases/data%2Fhidden/keys/key", Some(&token)).await;
    world.ask(&Method::HEAD, "/v1/databases/data%2Fhidden/keys/key", Some(&token)).await;
    world.ask(&Method::GET, "/nowhere", Some(&token)).await;
    world.ask(&Method::GET, "/v1/status", None).await;
    let response = world.ask(&Method::GET, "/metrics", Some(&token)).await;
    assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Name → type, each told once, with a help, before its first sample.
fn types(text: &str) -> BTreeMap<&str, &str> {
    let mut types = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') || help.ends_with("else 0."), "{line}");
            assert!(helped.insert(name), "{name} is told of twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{name} has no help");
            assert_eq!(types.insert(name, kind), None, "{name}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|suffix| {
                let base = name.strip_suffix(suffix);
                base.is_some_and(|base| types.get(base) == Some(&"histogram"))
            });
            assert!(of_histogram || types.contains_key(name), "{name} has no type");
        }
    }
    types
}

#[tokio::test]
async fn each_metric_is_told_of_and_named_after_the_conventions() {
    let text = text().await;
    let types = types(&text);
    for (name, kind) in &types {
        assert!(name.starts_with("tidings_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
    }
    assert!(types.len() > 50, "{types:?}");
    assert!(
        text.contains(&format!(
            "tidings_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        ))
    );
    assert!(text.contains("\ntidings_writes_lost_total 0\n"), "a counter begins with 0: {text}");
}

/// Requests are counted by endpoint, so that no path, key or unknown address becomes a label.
#[tokio::test]
async fn requests_are_counted_by_endpoint() {
    let text = text().await;
    let requests = "tidings_http_requests_total";
    let key = "endpoint=\"/v1/databases/{path}/keys/{key}\",method=\"GET\"";
    for line in [
        format!("{requests}{{{key},status=\"404\"}} 2"),
        format!("{requests}{{endpoint=\"none\",method=\"none\",status=\"404\"}} 1"),
        format!("{requests}{{endpoint=\"none\",method=\"none\",status=\"401\"}} 1"),
        format!("tidings_http_request_duration_seconds_count{{{key}}} 2"),
        format!("tidings_http_request_duration_seconds_bucket{{{key},le=\"+Inf\"}} 2"),
    ] {
        assert!(text.lines().any(|own| own == line), "{line}: {text}");
    }
    assert!(!text.contains("hidden") && !text.contains("nowhere"), "{text}");
}

#[test]
fn buckets_hold_what_is_below_them_too() {
    let counts = Counts::new();
    for millis in [1, 2, 700, 20_000] {
        counts.answered(None, StatusCode::OK, Duration::from_millis(millis));
    }
    let mut text = Text::default();
    counts.write(&mut text);
    let within = |bound: &str| {
        let start = format!(
            "tidings_http_request_duration_seconds_bucket{{endpoint=\"none\",method=\"none\",le=\"{bound}\"}} "
        );
        let found = text.0.lines().find_map(|line| line.strip_prefix(&start));
        found.unwrap().parse::<u64>().unwrap()
    };
    let bounds = ["0.0005", "0.001", "0.005", "0.5", "1", "10", "+Inf"];
    assert_eq!(bounds.map(within), [0, 1, 2, 2, 3, 3, 4]);
}

#[test]
fn a_connection_counts_while_it_is_open() {
    let counts = Arc::new(Counts::new());
    let (first, second) = (Arc::clone(&counts).connected(), Arc::clone(&counts).connected());
    drop(first);
    assert_eq!(counts.connections.load(Ordering::Relaxed), 1);
    drop(second);
    assert_eq!(counts.connections.load(Ordering::Relaxed), 0);
}

/// Everything that the core and the library count has a metric: the names are read from their sources.
#[test]
fn no_counter_is_left_out() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = vec![crates.join("core/src/node.rs")];
    let mut folders = vec![crates.join("core/src/node")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { sources.push(path) }
        }
    }
    let mut counted = BTreeSet::new();
    for source in sources {
        let text = std::fs::read_to_string(source).unwrap();
        for call in text.split(".count(").skip(1) {
            if let Some(rest) = call.trim_start().strip_prefix('"') {
                counted.insert(rest.split('"').next().unwrap().to_owned());
            }
        }
    }
    let library = std::fs::read_to_string(crates.join("peer/src/peer.rs")).unwrap();
    for row in library.split("(\"").skip(1).filter(|row| row.contains("\", counters.")) {
        let (name, rest) = row.split_once('"').unwrap();
        if rest.starts_with(", counters.") {
            counted.insert(name.to_owned());
        }
    }
    assert!(counted.len() > 40 && counted.contains("frames_sent"), "{counted:?}");
    let told: BTreeSet<_> = counters::COUNTERS.iter().map(|own| own.counted.to_owned()).collect();
    assert_eq!(counted.difference(&told).collect::<Vec<_>>(), [""; 0], "add these to the table");
}

/// Every metric that the dashboard and the alerts name is there.
#[tokio::test]
async fn the_dashboard_and_the_alerts_name_metrics_that_exist() {
    let text = text().await;
    let types = types(&text);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring");
    for (file, least) in [("dashboard.json", 15), ("alerts.yml", 10)] {
        let written = std::fs::read_to_string(folder.join(file)).unwrap();
        let mut named = BTreeSet::new();
        for word in written.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            // Those of the Redis door are looked at where there is one: `tests/redis.rs`.
            let here = word.starts_with("tidings_") && !word.starts_with("tidings_redis_");
            if here || word.starts_with("process_") {
                named.insert(word);
            }
        }
        for name in &named {
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let of_histogram = base.is_some_and(|base| types.get(base) == Some(&"histogram"));
            // On systems without `/proc` there is less of the process.
            let of_process = name.starts_with("process_") && !cfg!(target_os = "linux");
            assert!(of_histogram || of_process || types.contains_key(name), "{file} names {name}");
        }
        assert!(named.len() >= least, "{file} names {named:?}");
    }
}
