//! What the door counts, for `INFO` and for Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::command::{COMMANDS, Spec};
use crate::door::LIMITS;

/// What a door counts since it was bound.
#[derive(Debug)]
pub struct Metrics {
    /// Connections now.
    pub(crate) connections: AtomicUsize,
    /// Connections so far.
    pub(crate) connected: AtomicU64,
    /// Answers so far that were errors.
    pub(crate) errors: AtomicU64,
    /// Calls so far of each command, in the order of the table, and of those that are none.
    calls: [AtomicU64; COMMANDS.len() + 1],
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            connections: AtomicUsize::new(0),
            connected: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Counts a command; `None`: there is none of that name.
    pub(crate) fn called(&self, spec: Option<&Spec>) {
        let place = spec.map_or(COMMANDS.len(), |spec| spec.command as usize);
        self.calls[place].fetch_add(1, Ordering::Relaxed);
    }

    /// Commands so far.
    pub(crate) fn commands(&self) -> u64 {
        self.calls.iter().map(|calls| calls.load(Ordering::Relaxed)).sum()
    }

    /// Appends them in the Prometheus text format: every command from the start, with 0.
    pub fn write(&self, text: &mut String) {
        let mut metric = |name: &str, help: &str, kind: &str, value: Option<u64>| {
            // Writing to memory cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            if let Some(value) = value {
                let _ = writeln!(text, "{name} {value}");
            }
        };
        let load = |count: &AtomicU64| Some(count.load(Ordering::Relaxed));
        let connections = self.connections.load(Ordering::Relaxed) as u64;
        metric(
            "tidings_redis_connections",
            "Open connections of the Redis door.",
            "gauge",
            Some(connections),
        );
        metric(
            "tidings_redis_connections_limit",
            "Most connections that the Redis door serves at once.",
            "gauge",
            Some(LIMITS.connections as u64),
        );
        metric(
            "tidings_redis_connections_received_total",
            "Connections that came to the Redis door, those that were turned away included.",
            "counter",
            load(&self.connected),
        );
        metric(
            "tidings_redis_errors_total",
            "Answers of the Redis door that were errors.",
            "counter",
            load(&self.errors),
        );
        let name = "tidings_redis_commands_total";
        metric(name, "Commands that came to the Redis door, by command.", "counter", None);
        let names = COMMANDS.iter().map(|spec| spec.name).chain(["unknown"]);
        for (command, calls) in names.zip(&self.calls) {
            let calls = calls.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}{{command=\"{command}\"}} {calls}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::find;

    #[test]
    fn each_command_is_counted_under_its_own_name() {
        for (place, spec) in COMMANDS.iter().enumerate() {
            assert_eq!(spec.command as usize, place, "{}", spec.name);
        }
        let metrics = Metrics::new();
        metrics.called(find(b"GET"));
        metrics.called(find(b"get"));
        metrics.called(find(b"nothing"));
        assert_eq!(metrics.commands(), 3);
        let mut text = String::new();
        metrics.write(&mut text);
        for line in [
            "tidings_redis_commands_total{command=\"get\"} 2",
            "tidings_redis_commands_total{command=\"set\"} 0",
            "tidings_redis_commands_total{command=\"unknown\"} 1",
            "tidings_redis_connections 0",
            "# TYPE tidings_redis_errors_total counter",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }
}
