//! A user on the host of a peer: writes one key after the other to random databases, and looks every
//! second how many copies each has. It is a process of its own, since a peer's HTTP door is on its own
//! loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_sim::random::Random;

use crate::support::lan::{HTTP, Lan, Serving};
use crate::support::try_ask;

/// The variable that makes this program a user: a file with its [`Order`].
const ORDER: &str = "USER_ORDER";
/// Between two writes of one user.
const PAUSE: Duration = Duration::from_millis(80);

/// What a user is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    host: u8,
    began: u64,
    end: u64,
    paths: Vec<String>,
}

/// The copies of the databases of one definition at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Milliseconds after the beginning.
    pub(crate) at: u64,
    /// The first part of the paths.
    pub(crate) name: String,
    pub(crate) least: u64,
    pub(crate) most: u64,
    pub(crate) mean: f64,
}

/// What a user saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) samples: Vec<Sample>,
    /// Paths and keys that were acknowledged; how many writes were not.
    pub(crate) acknowledged: (Vec<(String, String)>, u64),
}

/// What all users heard.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) by_path: BTreeMap<String, Vec<String>>,
    pub(crate) keys: usize,
    pub(crate) failed: u64,
}

impl Acknowledged {
    pub(crate) fn add(&mut self, (writes, failed): (Vec<(String, String)>, u64)) {
        self.failed += failed;
        self.keys += writes.len();
        for (path, key) in writes {
            self.by_path.entry(path).or_default().push(key);
        }
    }
}

/// The wall clock, in milliseconds.
pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

/// Waits until a time has come.
pub(crate) fn until(at: u64) {
    std::thread::sleep(Duration::from_millis(at.saturating_sub(now())));
}

/// Starts a user on a host.
pub(crate) fn start(
    lan: &Lan,
    host: u8,
    meeting: &Path,
    began: u64,
    end: u64,
    paths: &[String],
) -> Child {
    let order = Order { host, began, end, paths: paths.to_vec() };
    let file = meeting.join(format!("order-{host}"));
    std::fs::write(&file, serde_json::to_string(&order).unwrap()).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut command = lan.on(host, &program.display().to_string());
    command.args(["--exact", "a_user", "--nocapture"]).env(ORDER, file);
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// What the user of a host saw.
pub(crate) fn seen(meeting: &Path, host: u8) -> Seen {
    let text = std::fs::read_to_string(meeting.join(format!("order-{host}.seen"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// All keys of a database, read at a peer.
pub(crate) fn keys(peer: &Serving, path: &str) -> BTreeSet<String> {
    let output = peer.run(&["export", path]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let key = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["key"].as_str().unwrap().to_owned()
    };
    lines.lines().map(key).collect()
}

/// Does what a user does, where this program was started as one.
pub(crate) fn run_if_asked() {
    let Ok(file) = std::env::var(ORDER) else { return };
    let order: Order = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let Order { host, began, end, paths } = order;
    let end = began + end * 1_000;
    let looks = std::thread::spawn(move || {
        let mut samples = Vec::new();
        while now() < end {
            samples.extend(look(now() - began));
            std::thread::sleep(Duration::from_secs(1));
        }
        samples
    });
    let mut random = Random::new(u64::from(host), "user");
    let (mut written, mut failed) = (Vec::new(), 0);
    for number in 0.. {
        if now() >= end {
            break;
        }
        let path = &paths[random.index(paths.len())];
        let key = format!("{host}-{number}");
        let query = if random.chance(250) { "?acks=min&timeout=2s" } else { "" };
        let target = format!("/v1/databases/{}/keys/{key}{query}", path.replace('/', "%2F"));
        let value = format!("{number:0100}");
        let answer = try_ask(HTTP, "PUT", &target, &[format!("Host: {HTTP}")], value.as_bytes());
        if answer.is_ok_and(|answer| answer.status == 200) {
            written.push((path.clone(), key));
        } else {
            failed += 1;
        }
        std::thread::sleep(PAUSE);
    }
    let seen = Seen { samples: looks.join().unwrap(), acknowledged: (written, failed) };
    std::fs::write(format!("{file}.seen"), serde_json::to_string(&seen).unwrap()).unwrap();
}

/// How many copies there are now, by definition.
fn look(at: u64) -> Vec<Sample> {
    let target = "/v1/databases?limit=1000";
    let answer = try_ask(HTTP, "GET", target, &[format!("Host: {HTTP}")], b"");
    let Ok(answer) = answer else { return Vec::new() };
    let Ok(page) = serde_json::from_slice::<Value>(&answer.body) else { return Vec::new() };
    let mut copies: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for database in page["databases"].as_array().into_iter().flatten() {
        let name = database["path"].as_str().and_then(|path| path.split('/').next());
        if let (Some(name), Some(count)) = (name, database["copies"].as_u64()) {
            copies.entry(name.to_owned()).or_default().push(count);
        }
    }
    let sample = |(name, counts): (String, Vec<u64>)| Sample {
        at,
        name,
        least: counts.iter().copied().min().unwrap_or(0),
        most: counts.iter().copied().max().unwrap_or(0),
        mean: counts.iter().sum::<u64>() as f64 / counts.len() as f64,
    };
    copies.into_iter().map(sample).collect()
}
