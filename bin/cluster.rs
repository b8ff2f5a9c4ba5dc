//! Several real peers on this machine: processes of this very program, in a directory that goes away.
//!
//! A process stops in three ways: with the program that started it, whose end closes its standard
//! input, however that end came about; by being killed; and cleanly. None is left behind.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;
use tidings::status::DatabaseStatus;
use tidings_gateway::{Client, ClientError};

use crate::exit::Failure;

/// How long a process may take to serve, and to stop.
const START_TIMEOUT: Duration = Duration::from_secs(15);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often something that is waited for is looked at. What is measured is no finer than this.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// How many of the last lines of a log are shown when its process failed.
const LOG_LINES: usize = 8;

/// How peers find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// By multicast on the local network.
    Mdns,
    /// By these addresses.
    Bootstrap(Vec<String>),
}

/// What a peer writes once it serves.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) peer: String,
    pub(crate) pid: u32,
    pub(crate) listen: Vec<String>,
    pub(crate) http: String,
}

/// Where the processes live: a directory of their own and a secret that nobody else has.
#[derive(Debug)]
pub(crate) struct Cluster {
    directory: TempDir,
}

impl Cluster {
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::usage(format!("no place to work in: {error}"));
        let directory = tempfile::Builder::new().prefix("tidings-").tempdir().map_err(failed)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| Failure::internal(format!("no randomness for a secret: {error}")))?;
        // A temporary file is readable by its owner only from the start.
        let mut file = tempfile::NamedTempFile::new_in(directory.path()).map_err(failed)?;
        let text = data_encoding::HEXLOWER.encode(&secret);
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.persist(directory.path().join("secret")).map_err(|error| failed(error.error))?;
        Ok(Self { directory })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts a peer and waits until it serves. The same name is the same data directory.
    pub(crate) async fn start(
        &self,
        name: &str,
        discovery: &Discovery,
    ) -> Result<Process, Failure> {
        let failed = |error: io::Error| {
            Failure::internal(format!("the process {name} cannot be started: {error}"))
        };
        let directory = self.path().join(name);
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let ready_file = directory.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let log_file = directory.join("log");
        let log = File::options().create(true).append(true).open(&log_file).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        // Settings of the caller's own peer are not meant for these.
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("TIDINGS_")) {
            if name != "TIDINGS_LOG" {
                command.env_remove(name);
            }
        }
        command.arg("serve").arg("--until-stdin-closes").args(["--name", name]);
        command.args(["--http", "127.0.0.1:0"]).arg("--data").arg(directory.join("data"));
        command.arg("--secret-file").arg(self.path().join("secret"));
        command.arg("--ready-file").arg(&ready_file);
        if let Discovery::Bootstrap(addresses) = discovery {
            command.arg("--no-mdns");
            command.args(addresses.iter().flat_map(|address| ["--peer", address.as_str()]));
        }
        let errors = log.try_clone().map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(log).stderr(errors);
        // A group of its own: an interrupt at the terminal is for the caller, who then stops this.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let started = Instant::now();
        let child = Running { child: command.spawn().map_err(failed)? };
        let (child, ready) = await_ready(name, child, &ready_file, &log_file).await?;
        let client = Client::new(&ready.http)?;
        Ok(Process { name: name.into(), ready, client, took: started.elapsed(), log_file, child })
    }
}

async fn await_ready(
    name: &str,
    mut running: Running,
    ready_file: &Path,
    log_file: &Path,
) -> Result<(Running, Ready), Failure> {
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read(ready_file) {
            let ready = serde_json::from_slice(&text).map_err(|error| {
                Failure::internal(format!("the ready file of {name} is not understood: {error}"))
            })?;
            return Ok((running, ready));
        }
        let ended = match running.child.try_wait() {
            Ok(Some(status)) => format!("ended with {status} before it served"),
            Err(error) => format!("cannot be watched: {error}"),
            Ok(None) if started.elapsed() < START_TIMEOUT => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Ok(None) => format!("did not serve within {} s", START_TIMEOUT.as_secs()),
        };
        let log = last_lines(log_file);
        return Err(Failure::internal(format!("the process {name} {ended}; it said last:\n{log}")));
    }
}

fn last_lines(file: &Path) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A peer in a process of its own.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) ready: Ready,
    pub(crate) client: Client,
    /// From the start of the process until it served.
    pub(crate) took: Duration,
    log_file: PathBuf,
    child: Running,
}

impl Process {
    /// Kills it as a power cut would: no chance to write anything.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        let child = &mut self.child.child;
        child.kill().and_then(|()| child.wait()).map(|_| ()).map_err(|error| {
            Failure::internal(format!("the process {} cannot be killed: {error}", self.name))
        })
    }

    /// Stops it cleanly; false when that took too long and it was killed.
    pub(crate) async fn stop(&mut self) -> bool {
        drop(self.child.child.stdin.take());
        let child = &mut self.child.child;
        let stopped = wait_for(STOP_TIMEOUT, async || Ok(child.try_wait().ok().flatten())).await;
        let _ = child.kill();
        let _ = child.wait();
        matches!(stopped, Ok(Some((status, _))) if status.success())
    }

    /// The last lines of its log.
    pub(crate) fn log(&self) -> String {
        last_lines(&self.log_file)
    }
}

/// A child that ends with this value, also in a panic.
#[derive(Debug)]
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It was started here, and its id is not free for another process before the wait.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is an answer, and says how long it took; `None` when the time is over.
pub(crate) async fn wait_for<T>(
    timeout: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<Option<(T, Duration)>, Failure> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(Some((found, started.elapsed())));
        }
        if started.elapsed() > timeout {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts a peer for each name and waits until all know all: by mDNS if multicast works here within
/// `patience`, otherwise by telling the others the first one's addresses.
pub(crate) async fn start_all(
    cluster: &Cluster,
    names: &[&str],
    patience: Duration,
) -> Result<(Vec<Process>, Discovery, Duration), Failure> {
    let mut processes = Vec::new();
    let starts = names.iter().map(|name| cluster.start(name, &Discovery::Mdns));
    for process in futures::future::join_all(starts).await {
        processes.push(process?);
    }
    if let Some(took) = all_know_all(&processes, patience).await? {
        return Ok((processes, Discovery::Mdns, took));
    }
    let discovery = Discovery::Bootstrap(reachable_at(&processes[0]));
    for process in &mut processes[1..] {
        process.stop().await;
        *process = cluster.start(&process.name, &discovery).await?;
    }
    match all_know_all(&processes, START_TIMEOUT).await? {
        Some(took) => Ok((processes, discovery, took)),
        None => Err(Failure::internal(format!(
            "the peers did not find each other within {} s, neither by mDNS nor by address; {} said last:\n{}",
            START_TIMEOUT.as_secs(),
            processes[0].name,
            processes[0].log()
        ))),
    }
}

/// The addresses of a process for others on this machine.
pub(crate) fn reachable_at(process: &Process) -> Vec<String> {
    let loopback = process.ready.listen.iter().filter(|address| address.contains("/127.0.0.1/"));
    let loopback: Vec<String> = loopback.cloned().collect();
    if loopback.is_empty() { process.ready.listen.clone() } else { loopback }
}

/// Waits until every process counts all of them as live, and says how long it took.
pub(crate) async fn all_know_all(
    processes: &[Process],
    timeout: Duration,
) -> Result<Option<Duration>, Failure> {
    let found = wait_for(timeout, async || {
        for process in processes {
            let status = process.client.status().await?;
            if usize::try_from(status.live_peers) != Ok(processes.len()) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    Ok(found.map(|((), took)| took))
}

/// What each process says about a database. A process that has no copy of its own gives `None`.
pub(crate) async fn survey(
    processes: &[&Process],
    path: &str,
) -> Result<Vec<Option<DatabaseStatus>>, Failure> {
    let answers = processes.iter().map(async |process| {
        match process.client.database_status(path).await {
            Ok(status) => Ok(Some(status).filter(|status| status.peer == process.ready.peer)),
            // Not known here yet, or its holders are not.
            Err(ClientError::Problem(_)) => Ok(None),
            Err(error) => {
                Err(Failure::from(error).context(|why| format!("{}: {why}", process.name)))
            }
        }
    });
    futures::future::join_all(answers).await.into_iter().collect()
}

/// Whether every process has a copy and all copies are the same: entries, digest and vector.
pub(crate) fn agree(statuses: &[Option<DatabaseStatus>]) -> bool {
    let Some(Some(first)) = statuses.first() else { return false };
    statuses.iter().flatten().count() == statuses.len()
        && statuses.iter().flatten().all(|status| {
            status.digest == first.digest
                && status.vector == first.vector
                && status.entries == first.entries
        })
}
