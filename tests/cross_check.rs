//! The simulator against reality: one workload with one cut, once in `tidings simulate` and once with
//! real processes on hosts of their own, side by side. The simulated links get the round trip that
//! the hosts have. The bounds are wide, since a real machine has other things to do; the table that
//! is printed says how near they came.
//!
//! Needs network namespaces; where there are none, it says loudly that it is skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
mod timed;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;
use support::lan::{Lan, Serving, address};
use support::{code, file, said, tell, tidings, wait_for, wait_within};
use tidings_sim::random::Random;
use timed::{Meeting, Plan, Put, Seen, now, until};

const SECRET: &str = "the secret of the cluster under test";
const PORT: u16 = 4077;
const PATH: &str = "data/cross";
const PEERS: usize = 5;
const SECOND: u64 = 1_000_000;
/// The workload, after a first write that makes the database.
const PUTS: usize = 2_000;
const KEYS: u64 = 500;
const VALUE_BYTES: usize = 100;
const WORKLOAD: u64 = 20 * SECOND;
/// One peer is cut off from all others from then to then.
const CUT_OFF: usize = 4;
const CUT: [u64; 2] = [SECOND, 11 * SECOND];
/// When the workload begins, after the start of the peers: what they told each other at first has died
/// down by then.
const BEGINS: u64 = 10 * SECOND;
/// How long the users may take from the start to the end.
const USERS: Duration = Duration::from_mins(2);

/// What one side came to.
#[derive(Debug, Default)]
struct Outcome {
    /// From the end of the workload until all copies were equal, in seconds.
    convergence: f64,
    /// Bytes that all peers sent from the start of the workload until then: of frames and of probes.
    frame_bytes: u64,
    probe_bytes: u64,
    /// Percentiles 50, 90, 99 and 100 of the time of a write to each other peer, in milliseconds.
    propagation: [f64; 4],
    /// Counters of the protocol from the first start of the peers, over all.
    counters: BTreeMap<String, u64>,
}

/// What the percentiles are of, in thousandths, and what they are called.
const PERCENTILES: [(usize, &str); 4] = [(500, "50"), (900, "90"), (990, "99"), (1_000, "100")];
/// Counters that explain differences.
const COUNTERS: [&str; 7] = [
    "records_pushed",
    "records_received",
    "records_pulled",
    "pulls",
    "offers",
    "gaps",
    "differences",
];

/// The same plan every time.
fn plan() -> Plan {
    let mut random = Random::new(1, "cross check");
    let mut times: Vec<u64> = (0..PUTS).map(|_| random.below(WORKLOAD - SECOND / 100)).collect();
    times.sort_unstable();
    let put = |(number, at)| Put {
        at,
        peer: random.index(PEERS),
        key: format!("key{:03}", random.below(KEYS)),
        number,
    };
    let puts = times.into_iter().enumerate().map(put).collect();
    let path = PATH.into();
    Plan { path, value_bytes: VALUE_BYTES, puts, end: WORKLOAD, writes: PUTS as u64 + 1 }
}

/// The plan as a scenario, on links with this round trip in microseconds.
fn scenario(plan: &Plan, round_trip: u64) -> String {
    let mut text = format!(
        "name = \"cross-check\"\nduration = \"{}us\"\nsample_every = \"1s\"\nappliers = {PEERS}\ntimeline = [\n",
        BEGINS + WORKLOAD
    );
    let mut put = |at: u64, peer: usize, key: &str| {
        let _ = writeln!(
            text,
            "  {{ at = \"{at}us\", operation = \"put\", peer = {peer}, database = \"{PATH}\", key = \
             \"{key}\", bytes = {VALUE_BYTES} }},"
        );
    };
    put(BEGINS / 2, 0, "first");
    for one in &plan.puts {
        put(BEGINS + one.at, one.peer, &one.key);
    }
    let (at, time) = (BEGINS + CUT[0], CUT[1] - CUT[0]);
    text + &format!(
        "  {{ at = \"{at}us\", fault = \"isolate\", peer = {CUT_OFF}, for = \"{time}us\" }},\n]\n\
         [peers]\ncount = {PEERS}\n\
         [links]\nlatency = \"{}us\"\njitter = \"0us\"\ntail = 0\n\
         [workload]\npaths = [\"{PATH}\"]\n\
         [[definitions]]\nname = \"any\"\nmatcher = \"data/*\"\n\
         replication = {{ min = {PEERS}, max = {PEERS} }}\n",
        (round_trip / 2).max(1)
    )
}

/// Runs it in the simulator.
fn simulated(plan: &Plan, round_trip: u64) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let scenario = file(directory.path(), "cross-check.toml", scenario(plan, round_trip));
    let out = directory.path().join("out");
    let output = tidings(&["simulate", &scenario, "--out"]).arg(&out).output().unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    let run: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("runs.jsonl")).unwrap()).unwrap();
    assert_eq!(run["writes"]["acknowledged"], PUTS as u64 + 1, "{}", run["writes"]);
    let samples = run["samples"].as_array().unwrap();
    let at = |time: u64| samples.iter().find(|sample| sample[0] == time).unwrap();
    assert_eq!(at(BEGINS)[1]["copies_least"], PEERS as f64, "the copies were not there in time");
    // The series are bytes in a second, and a sample is a second.
    let early = samples.iter().filter(|sample| sample[0].as_u64().unwrap() <= BEGINS);
    let early: Vec<&Value> = early.map(|sample| &sample[1]).collect();
    let (mut frame_bytes, mut probe_bytes) = (0, 0);
    let kinds =
        ["push", "acknowledge", "pull", "compare", "request", "membership", "fragment", "probe"];
    let mut shown = String::new();
    for (kind, total) in kinds.into_iter().zip(run["bytes"].as_array().unwrap()) {
        let series = format!("bytes_{kind}");
        let before: f64 = early.iter().map(|values| values[&series].as_f64().unwrap()).sum();
        let bytes = total.as_u64().unwrap() - before.round() as u64;
        if kind == "probe" {
            probe_bytes += bytes;
        } else {
            frame_bytes += bytes;
        }
        let _ = write!(shown, " {kind} {bytes}");
    }
    tell(&format!("cross-check: simulated bytes by kind:{shown}"));
    let millis = |which: usize| run["propagation"][which].as_f64().unwrap() / 1e3;
    let counter = |name: &str| run["sometimes"][format!("core {name}")].as_u64().unwrap_or(0);
    Outcome {
        convergence: run["convergence"].as_f64().unwrap() / 1e6,
        frame_bytes,
        probe_bytes,
        propagation: std::array::from_fn(millis),
        counters: COUNTERS.map(|name| (name.to_owned(), counter(name))).into(),
    }
}

/// The user, the echo and the ping, run on the hosts by the test below.
#[test]
#[ignore = "started by `the_simulator_tells_the_truth` in namespaces"]
fn on_a_host() {
    let (Ok(role), Some(directory)) = (std::env::var("ROLE"), std::env::var_os("MEETING")) else {
        return;
    };
    match role.split_once(' ') {
        Some(("user", own)) => timed::user(directory.as_ref(), own.parse().unwrap()),
        Some(("ping", address)) => timed::ping(directory.as_ref(), address),
        _ => timed::echo(directory.as_ref()),
    }
}

/// Starts one of these on a host.
fn begin(lan: &Lan, host: u8, role: &str, meeting: &Path) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = lan.on(host, program.to_str().unwrap());
    command.args(["on_a_host", "--exact", "--ignored", "--nocapture"]);
    command.env("ROLE", role).env("MEETING", meeting).spawn().unwrap()
}

fn ended(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        said(&output)
    );
}

/// The round trip between two hosts, in microseconds.
fn round_trip(lan: &Lan) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let echo = begin(lan, 1, "echo", directory.path());
    ended(begin(lan, 2, &format!("ping {}", address(1)), directory.path()));
    ended(echo);
    Meeting::at(directory.path()).told("round-trip").unwrap()
}

/// Real peers, each of which knows all others, and a database that all of them hold.
/// Gives when the last of them served.
fn cluster(lan: &Lan) -> (Vec<Serving>, u64) {
    let listen = |host: u8| format!("/ip4/{}/tcp/{PORT}", address(host));
    let definitions =
        format!("{{name: any, matcher: data/*, replication: {{min: {PEERS}, max: {PEERS}}}}}");
    let hosts = 1..=PEERS as u8;
    let serve = |host| {
        let known: Vec<String> = hosts.clone().filter(|other| *other != host).map(listen).collect();
        let own = listen(host);
        let mut arguments = vec!["--no-mdns", "--listen", &own];
        arguments.extend(known.iter().flat_map(|address| ["--peer", address]));
        lan.serve_defined(host, SECRET, &definitions, &arguments)
    };
    let mut peers: Vec<Serving> = hosts.clone().map(serve).collect();
    for peer in &mut peers {
        peer.ready();
    }
    let started = now();
    for peer in &peers {
        wait_for("a full mesh", || (peer.connected().len() == PEERS - 1).then_some(()));
    }
    let first = "f".repeat(VALUE_BYTES);
    let put = peers[0].run(&["put", PATH, "first", &first]);
    assert_eq!(code(&put), 0, "{}", said(&put));
    for peer in &peers {
        wait_for("copies everywhere", || {
            let status = peer.json(&["status", PATH]);
            let holders = status["holders"].as_array()?;
            let active = holders.iter().filter(|holder| holder["state"] == "active").count();
            (active == PEERS && status["entries"] == 1).then_some(())
        });
    }
    (peers, started)
}

/// Runs it with real processes.
fn real(lan: &Lan, plan: &Plan) -> Outcome {
    let (peers, started) = cluster(lan);
    let directory = tempfile::tempdir().unwrap();
    let meeting = Meeting::at(directory.path());
    meeting.tell("plan", plan);
    let user =
        |number: usize| begin(lan, number as u8 + 1, &format!("user {number}"), directory.path());
    let users: Vec<Child> = (0..PEERS).map(user).collect();
    for number in 0..PEERS {
        wait_for("the users", || meeting.told::<()>(&format!("ready-{number}")));
    }
    let start = started + BEGINS;
    assert!(now() < start, "setting up took too long");
    meeting.tell("start", &start);
    until(start + CUT[0]);
    lan.silence(CUT_OFF as u8 + 1);
    until(start + CUT[1]);
    lan.unsilence(CUT_OFF as u8 + 1);
    let seen: Vec<Seen> = (0..PEERS)
        .map(|number| {
            wait_within(USERS, "what a user saw", || meeting.told(&format!("seen-{number}")))
        })
        .collect();
    for user in users {
        ended(user);
    }
    drop(peers);

    for one in &seen {
        for field in ["vector", "digest", "entries"] {
            assert_eq!(one.copy[field], seen[0].copy[field], "{field} of {}", one.copy);
        }
    }
    let asked: BTreeMap<usize, (usize, u64, u64)> = seen
        .iter()
        .enumerate()
        .flat_map(|(peer, one)| one.asked.iter().map(move |(n, at, done)| (*n, (peer, *at, *done))))
        .collect();
    assert_eq!(asked.len(), PUTS);
    let late = asked.iter().map(|(number, (_, at, _))| at - plan.puts[*number].at).max();
    let slowest = asked.values().map(|(_, at, done)| done - at).max();
    tell(&format!(
        "cross-check: a user was late by {late:?} µs, a call took {slowest:?} µs at most"
    ));
    let mut times: Vec<u64> = Vec::new();
    for (peer, one) in seen.iter().enumerate() {
        let others = one.arrived.iter().filter(|(number, _)| asked[number].0 != peer);
        times.extend(others.map(|(number, at)| at.saturating_sub(asked[number].1)));
    }
    times.sort_unstable();
    let percentile = |which: usize| {
        let (per_mille, _) = PERCENTILES[which];
        times[(times.len() * per_mille).div_ceil(1_000).max(1) - 1] as f64 / 1e3
    };
    let counter = |status: &Value, name: &str| status["counters"][name].as_u64().unwrap_or(0);
    let risen = |name: &str| {
        seen.iter().map(|one| counter(&one.after, name) - counter(&one.before, name)).sum()
    };
    let total = |name: &str| seen.iter().map(|one| counter(&one.after, name)).sum();
    let whole = seen.iter().map(|one| one.whole).max().unwrap();
    Outcome {
        convergence: (whole - plan.end) as f64 / 1e6,
        frame_bytes: risen("frame_bytes_sent"),
        probe_bytes: risen("probe_bytes_sent"),
        propagation: std::array::from_fn(percentile),
        counters: COUNTERS.map(|name| (name.to_owned(), total(name))).into(),
    }
}

/// Both sides as a table in Markdown.
fn table(simulated: &Outcome, real: &Outcome) -> String {
    let mut text = String::from("| | simulator | processes |\n|---|---|---|\n");
    let mut row = |what: &str, one: String, other: String| {
        let _ = writeln!(text, "| {what} | {one} | {other} |");
    };
    let both = |value: &dyn Fn(&Outcome) -> String| (value(simulated), value(real));
    let (one, other) = both(&|side| format!("{:.0} ms", side.convergence * 1e3));
    row("copies equal after the last write", one, other);
    let (one, other) = both(&|side| side.frame_bytes.to_string());
    row("bytes of frames", one, other);
    let (one, other) = both(&|side| side.probe_bytes.to_string());
    row("bytes of probes", one, other);
    for (which, (_, name)) in PERCENTILES.iter().enumerate() {
        let (one, other) = both(&|side| format!("{:.1} ms", side.propagation[which]));
        row(&format!("write to holder, {name} of 100"), one, other);
    }
    for name in COUNTERS {
        let (one, other) = both(&|side| side.counters[name].to_string());
        row(&format!("`{name}`"), one, other);
    }
    text
}

/// Five peers hold a database; users put 2,000 values in 20 s, and one peer is cut off for ten of them.
/// What the simulator says of it is near to what real processes do: the time until all copies are
/// equal, the bytes, and how long writes travel.
#[test]
fn the_simulator_tells_the_truth() {
    let Some(lan) = Lan::new(PEERS as u8) else { return };
    let plan = plan();
    let round_trip = round_trip(&lan);
    let real = real(&lan, &plan);
    let simulated = simulated(&plan, round_trip);
    let table = table(&simulated, &real);
    tell(&format!("cross-check, on links with a round trip of {round_trip} µs:\n\n{table}"));

    let (low, high) =
        (simulated.convergence.min(real.convergence), simulated.convergence.max(real.convergence));
    assert!(high <= 2.0 + 3.0 * low, "one takes far longer to converge:\n{table}");
    let all = |side: &Outcome| side.frame_bytes + side.probe_bytes;
    for (bytes, most) in [(all as fn(&Outcome) -> u64, 1.5), (|side| side.probe_bytes, 3.0)] {
        let ratio = bytes(&simulated) as f64 / bytes(&real) as f64;
        assert!((1.0 / most..=most).contains(&ratio), "{ratio} times the bytes:\n{table}");
    }
}
