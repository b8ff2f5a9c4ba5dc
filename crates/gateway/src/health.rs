//! For supervisors: liveness, readiness, and counters in the Prometheus text format.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidings::status::NodeStatus;

use crate::problem::Problem;
use crate::routes::Door;

/// The media type of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process answers.
pub(crate) async fn live() -> &'static str {
    "live\n"
}

/// The peer serves: it started, and does not stop.
pub(crate) async fn ready(State(door): State<Door>) -> Result<&'static str, Problem> {
    if *door.closing.borrow() {
        let detail = "the peer is stopping";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "closed", detail));
    }
    Ok("ready\n")
}

/// What the peer counted since its start.
pub(crate) async fn metrics(State(door): State<Door>) -> Response {
    ([(header::CONTENT_TYPE, PROMETHEUS)], render(&door.peer.status())).into_response()
}

fn render(status: &NodeStatus) -> String {
    let mut text = String::new();
    let gauges = [
        ("live_peers", "Live peers, this one included.", u64::from(status.live_peers)),
        ("databases_held", "Databases with a copy here.", status.databases_held),
        ("databases_known", "Databases in the directory.", status.databases_known),
        ("draining", "1 while this peer hands over everything.", u64::from(status.draining)),
    ];
    let version: String =
        status.version.chars().filter(|c| !matches!(c, '"' | '\\' | '\n')).collect();
    let _ = writeln!(text, "# HELP tidings_build_info The version of the program.");
    let _ = writeln!(text, "# TYPE tidings_build_info gauge");
    let _ = writeln!(text, "tidings_build_info{{version=\"{version}\"}} 1");
    for (name, help, value) in gauges {
        let _ = writeln!(text, "# HELP tidings_{name} {help}\n# TYPE tidings_{name} gauge");
        let _ = writeln!(text, "tidings_{name} {value}");
    }
    for (name, value) in &status.counters {
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let _ = writeln!(text, "# HELP tidings_{name}_total Counted since this start of the peer.");
        let _ = writeln!(text, "# TYPE tidings_{name}_total counter\ntidings_{name}_total {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_prometheus_names() {
        let status = NodeStatus {
            peer: "12D3".into(),
            name: "a".into(),
            version: "0.1.0".into(),
            epoch: "00".into(),
            listen: Vec::new(),
            live_peers: 3,
            databases_held: 2,
            draining: true,
            databases_known: 5,
            verdict: Vec::new(),
            counters: [("frames-sent".to_owned(), 7)].into(),
        };
        let text = render(&status);
        assert!(
            text.contains(
                "# TYPE tidings_frames_sent_total counter\ntidings_frames_sent_total 7\n"
            )
        );
        assert!(text.contains("tidings_build_info{version=\"0.1.0\"} 1\n"), "{text}");
        assert!(text.contains("\ntidings_live_peers 3\n"), "{text}");
    }
}
