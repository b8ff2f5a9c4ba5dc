//! `INFO` and `CONFIG GET`: what clients ask of a server before and beside their work.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use tidings::limits::VALUE_MAX;

use crate::command::{Command, help};
use crate::door::{LIMITS, NUMBERED_MAX};
use crate::glob;
use crate::parser::Arguments;
use crate::refusal::Answer;
use crate::reply::Output;
use crate::session::Session;

/// The version of Redis whose answers these are.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

/// The sections of `INFO`, in order.
const SECTIONS: [&str; 7] =
    ["server", "clients", "persistence", "stats", "replication", "cluster", "keyspace"];

/// `INFO [section …]`.
pub(crate) async fn info(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let wanted: Vec<String> = arguments
        .from(1)
        .iter()
        .map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
        .collect();
    let all = wanted.is_empty()
        || wanted.iter().any(|word| matches!(word.as_str(), "all" | "everything" | "default"));
    let mut text = String::new();
    for section in SECTIONS {
        if !all && !wanted.iter().any(|word| word == section) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let lines = match section {
            "server" => server(session),
            "clients" => clients(session),
            // Clients wait for these two before they begin.
            "persistence" => "# Persistence\r\nloading:0\r\nasync_loading:0\r\n".into(),
            "stats" => stats(session),
            "replication" => replication(session),
            // Clients ask this before they choose how to find keys: every peer serves all of them.
            "cluster" => "# Cluster\r\ncluster_enabled:0\r\n".into(),
            _ => keyspace(session).await,
        };
        text.push_str(&lines);
    }
    out.verbatim(&text);
    Ok(())
}

fn server(session: &Session) -> String {
    let peer = session.door.peer.status();
    let uptime = session.door.born.elapsed().as_secs();
    format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nserver_name:tidings\r\ntidings_version:{}\r\nredis_mode:standalone\r\narch_bits:{}\r\nprocess_id:{}\r\nrun_id:{}\r\npeer_name:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\n",
        peer.version,
        usize::BITS,
        std::process::id(),
        peer.peer,
        peer.name.replace(['\r', '\n'], " "),
        session.door.address.port(),
        uptime / 86_400,
    )
}

fn clients(session: &Session) -> String {
    let connected = session.door.metrics.connections.load(Ordering::Relaxed);
    format!(
        "# Clients\r\nconnected_clients:{connected}\r\nmaxclients:{}\r\n",
        session.door.limits.connections
    )
}

fn stats(session: &Session) -> String {
    let connected = session.door.metrics.connected.load(Ordering::Relaxed);
    let commands = session.door.metrics.commands();
    format!(
        "# Stats\r\ntotal_connections_received:{connected}\r\ntotal_commands_processed:{commands}\r\n"
    )
}

/// Every peer takes writes, as a master does; the others that are alive are counted as replicas.
fn replication(session: &Session) -> String {
    let others = session.door.peer.status().live_peers.saturating_sub(1);
    format!("# Replication\r\nrole:master\r\nconnected_slaves:{others}\r\n")
}

/// The selected database. Nothing of it where it cannot be asked, or the client may not read it.
async fn keyspace(session: &mut Session) -> String {
    let mut text = "# Keyspace\r\n".to_owned();
    let label = session.selected.label.replace(['\r', '\n'], " ");
    if session.access.may_read("info", &session.selected.path).is_ok()
        && let Ok(database) = session.database().await
        && let Ok(status) = database.status().await
        && status.entries > 0
    {
        let _ = write!(text, "db{label}:keys={}\r\n", status.entries);
    }
    text
}

/// `CONFIG GET pattern [pattern …]` and `CONFIG HELP`.
pub(crate) fn config(arguments: Arguments<'_>, out: &mut Output) {
    if arguments.at(1).eq_ignore_ascii_case(b"help") {
        return help(Command::Config, out);
    }
    let settings = [
        ("appendonly", "no".to_owned()),
        ("databases", NUMBERED_MAX.to_string()),
        ("maxclients", LIMITS.connections.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("notify-keyspace-events", "AKE".to_owned()),
        ("proto-max-bulk-len", VALUE_MAX.to_string()),
        ("save", String::new()),
        ("timeout", LIMITS.idle.as_secs().to_string()),
    ];
    let accepted = |name: &str| {
        let name = name.as_bytes();
        arguments.from(2).iter().any(|word| glob::matches(&word.to_ascii_lowercase(), name))
    };
    let found: Vec<_> = settings.iter().filter(|(name, _)| accepted(name)).collect();
    out.map(found.len());
    for (name, value) in found {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
}
