//! Users who work by the clock, each on the host of a peer, since a peer's HTTP door is on its own
//! loopback only: a process of its own that puts what a plan says when it says so, watches what
//! arrives, and tells in the end what it saw. All processes share the clock and a directory.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::support::lan::HTTP;
use crate::support::{try_ask, wait_for, wait_within};

/// Where the host that answers listens for pings.
const ECHO_PORT: u16 = 4999;
/// Pings; the first ones are not counted.
const PINGS: usize = 1_000;
/// How long the copies may take to become whole.
const WHOLE_WITHIN: Duration = Duration::from_mins(1);

/// One write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    /// Microseconds after the start.
    pub(crate) at: u64,
    /// Who is asked, counted from 0.
    pub(crate) peer: usize,
    pub(crate) key: String,
    /// Its place in the plan, and the value.
    pub(crate) number: usize,
}

/// What all users do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) path: String,
    pub(crate) value_bytes: usize,
    pub(crate) puts: Vec<Put>,
    /// Microseconds after the start at which the last write is done.
    pub(crate) end: u64,
    /// Writes that a whole copy reflects, those before the start included.
    pub(crate) writes: u64,
}

/// What one user saw; times are microseconds after the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The writes that it asked for: number, when it asked, when it was answered.
    pub(crate) asked: Vec<(usize, u64, u64)>,
    /// The writes that arrived at its peer: number, when.
    pub(crate) arrived: Vec<(usize, u64)>,
    /// When its peer's copy reflected every write.
    pub(crate) whole: u64,
    /// The status of its peer before the first write, and once all copies were whole.
    pub(crate) before: Value,
    pub(crate) after: Value,
    /// The status of its copy then.
    pub(crate) copy: Value,
}

/// The wall clock, in microseconds. All hosts have the same.
pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64
}

/// Waits until a time has come.
pub(crate) fn until(at: u64) {
    std::thread::sleep(Duration::from_micros(at.saturating_sub(now())));
}

/// The directory in which the users and the test meet.
pub(crate) struct Meeting(PathBuf);

impl Meeting {
    pub(crate) fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Tells everyone something, whole at once.
    pub(crate) fn tell(&self, name: &str, what: &impl Serialize) {
        let draft = self.0.join(format!("{name}.draft"));
        std::fs::write(&draft, serde_json::to_string(what).unwrap()).unwrap();
        std::fs::rename(draft, self.0.join(name)).unwrap();
    }

    /// What somebody told, if it did.
    pub(crate) fn told<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = std::fs::read_to_string(self.0.join(name)).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }
}

fn ask(method: &str, target: &str, body: &[u8]) -> Value {
    let answer = try_ask(HTTP, method, target, &[format!("Host: {HTTP}")], body).unwrap();
    assert_eq!(answer.status, 200, "{method} {target}: {answer:?}");
    answer.json()
}

/// Writes that a copy reflects.
fn reflected(copy: &Value) -> u64 {
    copy["vector"].as_object().into_iter().flatten().filter_map(|(_, last)| last.as_u64()).sum()
}

/// One user, at the peer with this number. The files: `plan` and `start` from the test; `ready-N`,
/// `whole-N` and `seen-N` from each user.
pub(crate) fn user(directory: &Path, own: usize) {
    let meeting = Meeting::at(directory);
    let plan: Plan = meeting.told("plan").unwrap();
    let database = format!("/v1/databases/{}", plan.path.replace('/', "%2F"));
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let mut watch = watch(&format!("{database}/watch"));
    let noted = arrivals.clone();
    std::thread::spawn(move || {
        let mut line = String::new();
        while watch.read_line(&mut line).unwrap_or(0) > 0 {
            if let Some(number) = put_of(&line) {
                noted.lock().unwrap().push((number, now()));
            }
            line.clear();
        }
    });
    meeting.tell(&format!("ready-{own}"), &());
    let start: u64 = wait_for("the start", || meeting.told("start"));
    let before = ask("GET", "/v1/status", b"");
    let mut asked = Vec::new();
    for put in plan.puts.iter().filter(|put| put.peer == own) {
        until(start + put.at);
        let at = now() - start;
        let value = format!("{:0width$}", put.number, width = plan.value_bytes);
        ask("PUT", &format!("{database}/keys/{}", put.key), value.as_bytes());
        asked.push((put.number, at, now() - start));
    }
    until(start + plan.end);
    let copy = || ask("GET", &format!("{database}/status"), b"");
    let whole = wait_within(WHOLE_WITHIN, "a whole copy", || {
        (reflected(&copy()) == plan.writes).then(|| now() - start)
    });
    meeting.tell(&format!("whole-{own}"), &());
    let all = plan.puts.iter().map(|put| put.peer).max().unwrap_or(0);
    wait_within(WHOLE_WITHIN, "all copies being whole", || {
        (0..=all).all(|peer| meeting.told::<()>(&format!("whole-{peer}")).is_some()).then_some(())
    });
    let after = ask("GET", "/v1/status", b"");
    let noted = std::mem::take(&mut *arrivals.lock().unwrap()).into_iter();
    let arrived = noted.filter(|(_, at)| *at >= start).map(|(number, at)| (number, at - start));
    let arrived = arrived.collect();
    let seen = Seen { asked, arrived, whole, before, after, copy: copy() };
    meeting.tell(&format!("seen-{own}"), &seen);
}

/// The lines of a watch that has begun.
fn watch(target: &str) -> impl std::io::BufRead + Send + use<> {
    let mut stream = TcpStream::connect(HTTP).unwrap();
    // Of this version, so that the answer has no chunks.
    write!(stream, "GET {target} HTTP/1.0\r\nHost: {HTTP}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the watch did not begin");
    }
    lines
}

/// The number of the put that a line of a watch tells of.
fn put_of(line: &str) -> Option<usize> {
    let change: Value = serde_json::from_str(line.strip_prefix("data:")?).ok()?;
    change["put"]["value"].as_str()?.parse().ok()
}

/// Sends back what one other host sends.
pub(crate) fn echo(directory: &Path) {
    let listener = TcpListener::bind(("0.0.0.0", ECHO_PORT)).unwrap();
    Meeting::at(directory).tell("echo", &());
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        stream.write_all(&byte).unwrap();
    }
}

/// Measures the round trip to the host that echoes, and tells the median as `round-trip`, in
/// microseconds.
pub(crate) fn ping(directory: &Path, address: &str) {
    let meeting = Meeting::at(directory);
    let () = wait_for("the echo", || meeting.told("echo"));
    let mut stream = TcpStream::connect((address, ECHO_PORT)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut times: Vec<u64> = (0..PINGS)
        .map(|_| {
            let began = Instant::now();
            stream.write_all(&[0]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            began.elapsed().as_micros() as u64
        })
        .skip(PINGS / 10)
        .collect();
    times.sort_unstable();
    meeting.tell("round-trip", &times[times.len() / 2]);
}
