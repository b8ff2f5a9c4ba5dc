//! Metrics in the Prometheus text format: what the peer counts, what the door counts, and what the
//! system says of the process.
//!
//! Names follow the [conventions of Prometheus](https://prometheus.io/docs/practices/naming/): base
//! units, `_total` for what only grows. Every counter is there from the start, with 0, so that a rate of it is
//! never unknown. Labels have few values: endpoints, methods and statuses, never paths or keys.

mod counters;
mod process;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidings::status::NodeStatus;

use crate::bounds::CONNECTIONS_MAX;
use crate::endpoint::Endpoint;
use crate::routes::Door;

/// The media type of the Prometheus text format.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Upper bounds of the buckets of answer times, in seconds: a read of a local row takes some 50 µs, and no
/// call takes longer than its time of 10 s or so.
const BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];
/// The label of requests for what is not there, and of those that are refused before it is looked for.
const NO_ENDPOINT: (&str, &str) = ("none", "none");

/// `GET /metrics`.
pub(crate) async fn metrics(State(door): State<Door>) -> Response {
    let mut text = Text::default();
    of_peer(&mut text, &door.peer.status());
    door.counts.write(&mut text);
    process::write(&mut text, door.counts.started);
    if let Some(Beside(beside)) = &door.beside {
        beside(&mut text.0);
    }
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text.0).into_response()
}

/// What others have to say in the same place.
#[derive(Clone)]
pub(crate) struct Beside(pub(crate) Arc<dyn Fn(&mut String) + Send + Sync>);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

/// What the door counts about requests.
#[derive(Debug)]
pub(crate) struct Counts {
    started: SystemTime,
    connections: AtomicUsize,
    /// By address and method of the endpoint: a few dozen.
    requests: Mutex<BTreeMap<(&'static str, &'static str), Requests>>,
}

#[derive(Clone, Debug, Default)]
struct Requests {
    statuses: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            started: SystemTime::now(),
            connections: AtomicUsize::new(0),
            requests: Mutex::default(),
        }
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(
        &self,
        endpoint: Option<&'static Endpoint>,
        status: StatusCode,
        took: Duration,
    ) {
        let label = endpoint.map_or(NO_ENDPOINT, |own| (own.address, own.method_name()));
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let own = requests.entry(label).or_default();
        *own.statuses.entry(status.as_u16()).or_default() += 1;
        let seconds = took.as_secs_f64();
        if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            own.buckets[at] += 1;
        }
        own.count += 1;
        own.seconds += seconds;
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn connected(self: std::sync::Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(self)
    }

    fn write(&self, text: &mut Text) {
        let connections = self.connections.load(Ordering::Relaxed) as u64;
        text.gauge("tidings_http_connections", "Open connections of the HTTP door.", connections);
        text.gauge(
            "tidings_http_connections_limit",
            "Most connections that the HTTP door serves at once.",
            CONNECTIONS_MAX as u64,
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = "tidings_http_requests_total";
        text.head(name, "Requests answered, by endpoint, method and status.", "counter");
        for ((endpoint, method), own) in &requests {
            for (status, count) in &own.statuses {
                text.line(format_args!(
                    "{name}{{endpoint=\"{endpoint}\",method=\"{method}\",status=\"{status}\"}} {count}"
                ));
            }
        }
        let name = "tidings_http_request_duration_seconds";
        text.head(
            name,
            "Time until the head of the answer, the body of the request included.",
            "histogram",
        );
        for ((endpoint, method), own) in &requests {
            let labels = format!("endpoint=\"{endpoint}\",method=\"{method}\"");
            let mut within = 0;
            for (bound, count) in BUCKETS.iter().zip(own.buckets) {
                within += count;
                text.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {within}"));
            }
            text.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {}", own.count));
            text.line(format_args!("{name}_sum{{{labels}}} {}", own.seconds));
            text.line(format_args!("{name}_count{{{labels}}} {}", own.count));
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connected(std::sync::Arc<Counts>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A text of metrics under construction.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "gauge");
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(format_args!("{name} {value}"));
    }
}

fn of_peer(text: &mut Text, status: &NodeStatus) {
    let escaped = |label: &str| -> String { label.escape_default().collect() };
    let name = "tidings_build_info";
    text.head(name, "The version of the program; always 1.", "gauge");
    text.line(format_args!("{name}{{version=\"{}\"}} 1", escaped(&status.version)));
    text.gauge("tidings_live_peers", "Live peers, this one included.", status.live_peers.into());
    text.gauge("tidings_databases_held", "Databases with a copy here.", status.databases_held);
    text.gauge("tidings_databases_known", "Databases in the directory.", status.databases_known);
    let health = &status.health;
    text.gauge(
        "tidings_databases_unavailable",
        "Databases in the directory without any live complete copy, as each peer sees them.",
        health.unavailable,
    );
    text.gauge(
        "tidings_databases_under_replicated",
        "Databases with fewer live copies than min, of which this peer is the steward.",
        health.under_replicated,
    );
    text.gauge(
        "tidings_databases_over_replicated",
        "Databases with more live copies than max, of which this peer is the steward.",
        health.over_replicated,
    );
    text.gauge(
        "tidings_databases_behind",
        "Copies here that know of writes which they have not received.",
        health.behind,
    );
    text.gauge(
        "tidings_draining",
        "1 while this peer hands over everything, else 0.",
        status.draining.into(),
    );
    text.gauge(
        "tidings_cloned",
        "1 while another process runs under this peer's identity and writes are refused, else 0.",
        status.cloned.into(),
    );
    for counter in counters::COUNTERS {
        let value = status.counters.get(counter.counted).copied().unwrap_or(0);
        text.counter(counter.metric, counter.help, value);
    }
}

/// Seconds since the Unix epoch.
fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;
