//! What measurements of real processes share: peers with a secret on loopback, what the system says of
//! a process, what a peer counts, and a table of figures beside their targets.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::Path;
use std::time::{Duration, Instant};

use tidings_gateway::Client;
use tidings_gateway::client::Write;
use tidings_gateway::json::{Operation, Row};
use tokio::task::JoinSet;

use crate::support::{Peer, found_every, tell, wait_within};

/// Ticks of the processor times in `/proc/PID/stat`: a second has this many on every Linux.
const TICKS: f64 = 100.0;
/// Between two looks at peers with many databases: a status costs them some milliseconds.
const LOOK: Duration = Duration::from_millis(200);
/// How long peers may take to know each other.
const MEETING: Duration = Duration::from_secs(30);

/// Bytes of each value of a large database.
pub(crate) const VALUE_BYTES: usize = 100;
/// Batches on their way at once while such a database is filled, and writes in each.
const BATCHES: u64 = 4;
const BATCH_WRITES: u64 = 2_000;

/// The number that an environment variable names, or the usual one.
pub(crate) fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().unwrap())
}

/// A secret for the peers of one measurement.
pub(crate) fn secret(directory: &Path) -> String {
    let mut file = tempfile::NamedTempFile::new_in(directory).unwrap();
    std::io::Write::write_all(&mut file, b"the secret of the peers that are measured").unwrap();
    let path = directory.join("secret");
    file.persist(&path).unwrap();
    path.display().to_string()
}

/// Starts a peer beside others.
pub(crate) fn start(secret: &str, others: &[Peer]) -> Peer {
    let listen = ["--secret-file", secret, "--listen", "/ip4/127.0.0.1/tcp/0"];
    let known: Vec<&str> = others
        .iter()
        .flat_map(|peer| peer.ready["listen"].as_array().unwrap())
        .flat_map(|address| ["--peer", address.as_str().unwrap()])
        .collect();
    let cache = std::env::var("TIDINGS_CACHE_SIZE").ok();
    let cache = cache.iter().flat_map(|size| ["--cache-size", size.as_str()]).collect::<Vec<_>>();
    let arguments = [&listen, known.as_slice(), cache.as_slice()].concat();
    Peer::bare(tempfile::tempdir().unwrap(), &arguments)
}

/// Waits until these peers, and no others, know each other.
pub(crate) fn meet(peers: &[Peer]) {
    for peer in peers {
        wait_within(MEETING, "the peers knowing each other", || {
            (status(peer)["live_peers"] == peers.len()).then_some(())
        });
    }
}

/// Tells the peers how many copies the databases under `name/` have.
pub(crate) fn define(peers: &[Peer], name: &str, min: usize, max: usize) {
    let matcher = format!("glob:{name}/*");
    let replication = serde_json::json!({ "min": min, "max": max });
    let body = serde_json::json!({ "definitions": [
        { "name": name, "matcher": matcher, "replication": replication },
    ]});
    let answer = peers[0].ask("POST", "/v1/definitions", &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    for peer in peers {
        wait_within(MEETING, "the definition everywhere", || {
            let target = format!("/v1/definitions/{name}");
            (peer.ask("GET", &target, &[], b"").status == 200).then_some(())
        });
    }
}

/// The key of a record of a large database.
pub(crate) fn key(number: u64) -> Vec<u8> {
    format!("record/{number:08}").into_bytes()
}

/// Writes some records of a large database.
pub(crate) async fn batch(
    client: &Client,
    path: &str,
    numbers: impl Iterator<Item = u64>,
    fill: u8,
) {
    let mut lines = Vec::new();
    for number in numbers {
        let row = Row::new(key(number), vec![fill; VALUE_BYTES]);
        serde_json::to_writer(&mut lines, &Operation::Put(row)).unwrap();
        lines.push(b'\n');
    }
    client.batch_lines(path, lines, &Write::default(), false).await.unwrap();
}

/// Fills a large database.
pub(crate) async fn fill(peer: &Peer, path: &'static str, records: u64) {
    let mut writers = JoinSet::new();
    for writer in 0..BATCHES {
        let client = Client::new(&peer.http).unwrap();
        writers.spawn(async move {
            for number in (writer..records.div_ceil(BATCH_WRITES)).step_by(BATCHES as usize) {
                let first = number * BATCH_WRITES;
                batch(&client, path, first..records.min(first + BATCH_WRITES), b'x').await;
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
}

/// What a peer says of itself.
pub(crate) fn status(peer: &Peer) -> serde_json::Value {
    peer.ask("GET", "/v1/status", &[], b"").json()
}

/// The sum of some counters of a peer.
pub(crate) fn counted(peer: &Peer, names: &[&str]) -> u64 {
    let status = status(peer);
    names.iter().filter_map(|name| status["counters"][*name].as_u64()).sum()
}

/// Waits until `look` finds something, without looking all the time.
#[track_caller]
pub(crate) fn await_seldom<T>(
    deadline: Duration,
    what: &str,
    look: impl FnMut() -> Option<T>,
) -> T {
    let found = found_every(LOOK, deadline, look);
    found.unwrap_or_else(|| panic!("{what} did not happen within {deadline:?}"))
}

/// Waits until something stands still for as long as `quiet`, and tells when it last moved.
#[track_caller]
pub(crate) fn stands_still<T: PartialEq>(
    deadline: Duration,
    quiet: Duration,
    mut look: impl FnMut() -> T,
) -> Instant {
    let mut last = (look(), Instant::now());
    await_seldom(deadline, "rest", || {
        let now = look();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() >= quiet).then_some(last.1)
    })
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
    pub(crate) threads: u64,
    pub(crate) files: u64,
    /// Seconds of a core since its start.
    pub(crate) core: f64,
}

impl Usage {
    pub(crate) fn of(peer: &Peer) -> Self {
        let pid = peer.ready["pid"].as_u64().unwrap();
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        let (status, stat) = (read("status"), read("stat"));
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        // The name of the program stands in brackets, and may have anything in it.
        let times = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: f64 = times.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        Self {
            resident: field("VmRSS:") * 1024,
            threads: field("Threads:"),
            files: std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64,
            core: ticks / TICKS,
        }
    }
}

/// The greatest of some numbers.
pub(crate) fn greatest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, f64::max)
}

/// Figures, each beside what it should be.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<[String; 3]>);

impl Figures {
    /// Says a figure at once, and keeps it for the table.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: impl Into<String>, target: &str) {
        let row = [what.into(), value.into(), target.to_owned()];
        tell(&format!("{}: {}", row[0], row[1]));
        self.0.push(row);
    }

    /// Prints all of them.
    pub(crate) fn print(self) {
        let rows = [["what", "measured", "target"].map(str::to_owned)].into_iter().chain(self.0);
        let rows: Vec<[String; 3]> = rows.collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let [what, measured] = [0, 1].map(|column| width(column).unwrap_or(0));
        let line = |row: &[String; 3]| {
            format!("{:what$}  {:>measured$}  {}", row[0], row[1], row[2]).trim_end().to_owned()
        };
        tell(&rows.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
}
