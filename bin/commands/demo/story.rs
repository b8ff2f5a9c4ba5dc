//! What happens in the demonstration, and what is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidings_gateway::client::{Since, Write};
use tidings_gateway::json::{Operation, Row};
use tidings_gateway::{Client, yaml};
use tokio::task::JoinSet;

use super::show::{Bars, Show, introduce, say, took};
use crate::cluster::{
    Cluster, Discovery, Process, agree, reachable_at, start_all, survey, wait_for,
};
use crate::exit::Failure;
use crate::output::{count, shown};

const DEFINITIONS: &str = include_str!("../../demo/definitions.yaml");
/// The periodic table: names, symbols, periods, groups and blocks of the 118 elements, as facts.
const ELEMENTS: &str = include_str!("../../demo/elements.jsonl");
const NAMES: [&str; 3] = ["ada", "bob", "carol"];
const LIBRARY: &str = "library/elements";
/// Whose history is written at which peer.
const HISTORIES: [&str; 3] =
    ["profile/history/noor", "profile/history/emil", "profile/history/yuki"];
/// The key that all three peers write at once.
const CONTESTED: &str = "now/looking-at";
/// How long anything may take before it counts as not happening.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long is written before and after the kill.
const WRITING: Duration = Duration::from_millis(800);
/// Writers at each peer that stays.
const WRITERS: usize = 4;

/// What is left when the story is told.
pub(super) struct Told {
    pub(super) processes: Vec<Process>,
    pub(super) cluster: Cluster,
    pub(super) verdict: Result<(), Failure>,
}

impl Told {
    /// Stops the peers cleanly, which is one more thing that must hold.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let mut processes = self.processes;
        let stops = processes.iter_mut().map(Process::stop);
        let clean = futures::future::join_all(stops).await.into_iter().all(|clean| clean);
        self.verdict?;
        if clean { Ok(()) } else { Err(Failure::internal("a peer did not stop cleanly")) }
    }
}

/// Everything a peer acknowledged: database → key → value.
type Acknowledged = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

pub(super) async fn tell(patience: Duration) -> Result<Told, Failure> {
    let mut show = Show::title();
    let cluster = Cluster::new()?;
    let mut acknowledged = Acknowledged::new();

    show.part("Three peers start and find each other");
    let (mut processes, discovery, found) = start_all(&cluster, &NAMES, patience).await?;
    for process in &processes {
        say(introduce(process));
    }
    let how = match discovery {
        Discovery::Mdns => "by mDNS, nobody told them where".to_owned(),
        Discovery::Bootstrap(_) => format!(
            "by address: multicast did not work here within {}, so bob and carol were told where ada is",
            took(patience)
        ),
    };
    show.check(true, format!("all three know each other after {}, {how}", took(found)));

    define(&mut show, &processes).await?;
    load(&mut show, &processes, &mut acknowledged).await?;
    histories(&mut show, &processes, &mut acknowledged).await?;
    crash(&mut show, &mut processes, &mut acknowledged).await?;
    let discovery = match discovery {
        Discovery::Mdns => discovery,
        Discovery::Bootstrap(_) => Discovery::Bootstrap(reachable_at(&processes[0])),
    };
    come_back(&mut show, &cluster, &mut processes, &discovery).await?;
    account(&mut show, &processes, &acknowledged).await?;

    let failed = show.failed();
    let verdict = if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::internal(format!("this did not hold: {}", failed.join("; "))))
    };
    Ok(Told { processes, cluster, verdict })
}

async fn define(show: &mut Show, processes: &[Process]) -> Result<(), Failure> {
    show.part("Definitions say which databases may be, and how many copies of each");
    let definitions =
        yaml::parse(DEFINITIONS).map_err(|error| Failure::internal(error.to_string()))?;
    for definition in &definitions {
        let copies = definition.replication;
        let matcher = &definition.matcher;
        say(format!("{:8} {matcher:26} {}..{} copies", definition.name, copies.min, copies.max));
    }
    let expected = definitions.len();
    let applied = Instant::now();
    processes[0].client.apply(definitions).await?;
    let known = wait_for(PATIENCE, async || {
        for process in processes {
            if process.client.definitions().await?.len() != expected {
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    let known = known.await?.is_some();
    let time = took(applied.elapsed());
    show.check(known, format!("applied at ada, known at all three after {time}"));
    let refused = processes[1].client.get("profile/history/UPPER", b"any", &Since::default()).await;
    let code = refused.as_ref().err().and_then(|error| error.problem()).map(|p| p.code.clone());
    show.check(
        code.as_deref() == Some("no-match"),
        "profile/history/UPPER, which no definition matches, is refused",
    );
    Ok(())
}

async fn load(
    show: &mut Show,
    processes: &[Process],
    acknowledged: &mut Acknowledged,
) -> Result<(), Failure> {
    show.part("The periodic table is loaded at ada and spreads");
    let mut operations = Vec::new();
    let expected = acknowledged.entry(LIBRARY.into()).or_default();
    for line in ELEMENTS.lines() {
        let row: Row = serde_json::from_str(line)
            .map_err(|error| Failure::internal(format!("the shipped data set: {error}")))?;
        expected.insert(row.key.clone(), row.value.clone().unwrap_or_default());
        operations.push(Operation::Put(row));
    }
    let started = Instant::now();
    for part in operations.chunks(100) {
        processes[0].client.batch(LIBRARY, part, &Write::default()).await?;
    }
    let wrote = started.elapsed();
    say(format!("{} records written at ada in {}", count(operations.len() as u64), took(wrote)));
    let everyone: Vec<&Process> = processes.iter().collect();
    converge(show, &everyone, LIBRARY, operations.len() as u64, started, "the first write").await
}

/// Waits until all copies are the same, and shows them.
async fn converge(
    show: &mut Show,
    processes: &[&Process],
    path: &str,
    entries: u64,
    since: Instant,
    since_what: &str,
) -> Result<(), Failure> {
    let bars = Bars::new(processes, entries);
    let same = wait_for(PATIENCE, async || {
        let statuses = survey(processes, path).await?;
        bars.update(&statuses);
        Ok(agree(&statuses).then_some(statuses))
    })
    .await?;
    drop(bars);
    let time = took(since.elapsed());
    let (held, statuses) = match same {
        Some((statuses, _)) => (true, statuses),
        None => (false, survey(processes, path).await?),
    };
    Show::copies(processes, &statuses);
    let whole = statuses.iter().flatten().all(|status| status.entries >= entries);
    show.check(
        held && whole,
        format!("{path}: {} equal copies, {time} after {since_what}", processes.len()),
    );
    Ok(())
}

async fn histories(
    show: &mut Show,
    processes: &[Process],
    acknowledged: &mut Acknowledged,
) -> Result<(), Failure> {
    show.part("A database for each person, opened by pattern, at different peers");
    let started = Instant::now();
    for (process, path) in processes.iter().zip(HISTORIES) {
        let expected = acknowledged.entry(path.into()).or_default();
        for number in 1..=40_u32 {
            let key = format!("visit/{number:05}").into_bytes();
            let value = format!("element/{number:03}").into_bytes();
            process.client.put(path, &key, value.clone(), &Write::default()).await?;
            expected.insert(key, value);
        }
        say(format!("40 visits written to {path} at {}", process.name));
    }
    // All at once, so that no peer has seen the others' write.
    let write = Write::default();
    let contest = processes.iter().map(|process| {
        let value = format!("chosen at {}", process.name);
        process.client.put(HISTORIES[0], CONTESTED.as_bytes(), value, &write)
    });
    for written in futures::future::join_all(contest).await {
        written?;
    }
    let everyone: Vec<&Process> = processes.iter().collect();
    for path in HISTORIES {
        let entries = acknowledged.get(path).map_or(0, |entries| entries.len() as u64);
        let bars = Bars::new(&everyone, entries);
        let same = wait_for(PATIENCE, async || {
            let statuses = survey(&everyone, path).await?;
            bars.update(&statuses);
            let whole = statuses.iter().flatten().all(|status| status.entries >= entries);
            Ok((whole && agree(&statuses)).then_some(()))
        });
        let same = same.await?.is_some();
        drop(bars);
        let time = took(started.elapsed());
        show.check(same, format!("{path}: 3 equal copies, {time} after the first write"));
    }
    let mut read = Vec::new();
    for process in processes {
        let found =
            process.client.get(HISTORIES[0], CONTESTED.as_bytes(), &Since::default()).await?;
        read.push(found.and_then(|row| row.value).map(|value| shown(&value)).unwrap_or_default());
    }
    show.check(
        read.iter().all(|value| !value.is_empty() && *value == read[0]),
        format!("three peers set {CONTESTED:?} at the same moment, and all now read {:?}", read[0]),
    );
    Ok(())
}

async fn crash(
    show: &mut Show,
    processes: &mut [Process],
    acknowledged: &mut Acknowledged,
) -> Result<(), Failure> {
    show.part("carol is killed while ada and bob are being written to");
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for (process, path) in processes.iter().zip([HISTORIES[2], HISTORIES[1]]) {
        for writer in 0..WRITERS {
            let client = Client::new(&process.ready.http)?;
            let name = format!("{}/{writer}", process.name);
            writers.spawn(write_until(Arc::clone(&stop), client, path, name));
        }
    }
    tokio::time::sleep(WRITING).await;
    let pid = processes[2].ready.pid;
    processes[2].kill()?;
    let killed = Instant::now();
    say(format!("killed carol, pid {pid}, with SIGKILL"));
    let noticed = wait_for(PATIENCE, async || {
        let peers = processes[0].client.peers().await?.peers;
        let carol = peers.into_iter().find(|peer| peer.peer == processes[2].ready.peer);
        Ok(carol.is_none_or(|carol| carol.state != "alive").then_some(()))
    })
    .await?;
    if let Some(rest) = WRITING.checked_sub(killed.elapsed()) {
        tokio::time::sleep(rest).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut writes, mut after, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    let mut failures = Vec::new();
    while let Some(written) = writers.join_next().await {
        let written = written.map_err(|error| Failure::internal(error.to_string()))?;
        failures.extend(written.failure);
        for (key, value, done, latency) in written.writes {
            writes += 1;
            after += u64::from(done > killed);
            slowest = slowest.max(latency);
            acknowledged.entry(written.path.to_owned()).or_default().insert(key, value);
        }
    }
    say(format!(
        "{} writes acknowledged, {} of them after the kill, the slowest in {}",
        count(writes),
        count(after),
        took(slowest)
    ));
    show.check(
        failures.is_empty() && after > 0,
        match failures.first() {
            None => "ada and bob went on as if nothing had happened".to_owned(),
            Some(why) => format!("ada and bob went on without a failed write (one failed: {why})"),
        },
    );
    show.check(
        noticed.is_some(),
        match noticed {
            Some(((), time)) => format!("ada noticed {} after the kill", took(time)),
            None => format!("ada noticed within {}", took(PATIENCE)),
        },
    );
    let (left, started) = ([&processes[0], &processes[1]], Instant::now());
    for path in [HISTORIES[2], HISTORIES[1]] {
        let same =
            wait_for(PATIENCE, async || Ok(agree(&survey(&left, path).await?).then_some(())));
        let same = same.await?.is_some();
        let time = took(started.elapsed());
        show.check(same, format!("{path}: ada and bob are equal {time} after the last write"));
    }
    Ok(())
}

/// What one writer got acknowledged, when, and in how long.
struct Written {
    path: &'static str,
    writes: Vec<(Vec<u8>, Vec<u8>, Instant, Duration)>,
    failure: Option<String>,
}

async fn write_until(
    stop: Arc<AtomicBool>,
    client: Client,
    path: &'static str,
    name: String,
) -> Written {
    let mut written = Written { path, writes: Vec::new(), failure: None };
    let write = Write::default();
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("visit/{name}/{number:06}").into_bytes();
        let value = format!("element/{:03}", number % 118 + 1).into_bytes();
        let asked = Instant::now();
        match client.put(path, &key, value.clone(), &write).await {
            Ok(_) => written.writes.push((key, value, Instant::now(), asked.elapsed())),
            Err(error) => {
                written.failure = Some(error.to_string());
                break;
            }
        }
    }
    written
}

async fn come_back(
    show: &mut Show,
    cluster: &Cluster,
    processes: &mut [Process],
    discovery: &Discovery,
) -> Result<(), Failure> {
    show.part("carol starts again on the same data directory and catches up");
    let started = Instant::now();
    processes[2] = cluster.start(NAMES[2], discovery).await?;
    say(introduce(&processes[2]));
    let everyone: Vec<&Process> = processes.iter().collect();
    let had = survey(&everyone[2..], HISTORIES[2]).await?;
    let want = survey(&everyone[..1], HISTORIES[2]).await?;
    let entries = |statuses: &[Option<tidings::status::DatabaseStatus>]| {
        statuses.iter().flatten().map(|status| status.entries).next().unwrap_or(0)
    };
    say(format!(
        "of {} entries of {}, carol had {} when first asked",
        count(entries(&want)),
        HISTORIES[2],
        count(entries(&had))
    ));
    for path in HISTORIES {
        converge(show, &everyone, path, 0, started, "carol's new start").await?;
    }
    Ok(())
}

async fn account(
    show: &mut Show,
    processes: &[Process],
    acknowledged: &Acknowledged,
) -> Result<(), Failure> {
    show.part("Every acknowledged write is looked up at every peer");
    let everyone: Vec<&Process> = processes.iter().collect();
    for (path, expected) in acknowledged {
        let equal = agree(&survey(&everyone, path).await?);
        let mut missing = Vec::new();
        for process in processes {
            let lost = missing_at(process, path, expected).await?;
            if lost > 0 {
                missing.push(format!("{} lacks {}", process.name, count(lost)));
            }
        }
        let said = if missing.is_empty() { "present".to_owned() } else { missing.join(", ") };
        let writes = count(expected.len() as u64);
        show.check(
            equal && missing.is_empty(),
            format!("{path:22} digests and vectors equal, {writes:>6} writes × 3 peers: {said}"),
        );
    }
    Ok(())
}

/// How many expected entries a peer does not have, or has with another value.
async fn missing_at(
    process: &Process,
    path: &str,
    expected: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<u64, Failure> {
    let mut rows = process.client.scan(path, b"", b"").await?;
    let mut found = 0;
    while let Some(row) = rows.next().await? {
        found += u64::from(expected.get(&row.key) == row.value.as_ref());
    }
    Ok(expected.len() as u64 - found)
}
