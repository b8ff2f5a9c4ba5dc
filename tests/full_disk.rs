//! A disk that is full stops a peer, loudly: a write that was not stored is not acknowledged, the
//! process ends with a code and a sentence that names the disk, and once there is room again it has
//! every write that it did acknowledge.
//!
//! Needs to be allowed to mount a small file system in memory; where that is not so, it says loudly
//! that it is skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use support::{Answer, ask, tell, tidings, try_ask, wait_for};
use tempfile::TempDir;
use tidings_sim::random::Quick;

/// Small enough to be filled soon, and enough for an empty store.
const SMALL: &str = "24m";
const LARGE: &str = "512m";
const PATH: &str = "/v1/databases/data%2Ffull";
/// Bytes of a value; the disk holds some hundreds of them.
const VALUE_BYTES: usize = 64 << 10;
/// Writes after which a disk that is not full yet never will be.
const WRITES_MAX: usize = 4_000;

/// A file system of a given size in a directory that goes away with it.
struct Disk {
    directory: TempDir,
}

impl Disk {
    fn new() -> Result<Self, String> {
        let disk = Self { directory: tempfile::tempdir().unwrap() };
        disk.mount(&format!("size={SMALL}"))?;
        Ok(disk)
    }

    fn mount(&self, options: &str) -> Result<(), String> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tidings-test"]).arg(self.directory.path());
        let output = command.output().map_err(|error| format!("mount does not run: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).output();
    }
}

/// A peer with its data on that disk, and everything else elsewhere. It ends with this value.
struct Serving {
    child: Child,
    http: String,
    ready: PathBuf,
    log: PathBuf,
}

impl Serving {
    /// Starts one that may not come to serve.
    fn begin(disk: &Disk, beside: &TempDir) -> Self {
        let (ready, log) = (beside.path().join("ready.json"), beside.path().join("log"));
        let _ = std::fs::remove_file(&ready);
        let mut command = tidings(&["serve", "--until-stdin-closes", "--no-mdns"]);
        command.args(["--http", "127.0.0.1:0", "--data"]).arg(disk.directory.path().join("data"));
        command.arg("--ready-file").arg(&ready);
        let said = std::fs::File::create(&log).unwrap();
        let child = command.stdin(Stdio::piped()).stderr(said).spawn().unwrap();
        Self { child, http: String::new(), ready, log }
    }

    /// Waits until it serves, or until it ended with this status and these words.
    fn outcome(&mut self) -> Result<(), (ExitStatus, String)> {
        wait_for("serving or an end", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(Err((status, std::fs::read_to_string(&self.log).unwrap())));
            }
            let said: Value =
                serde_json::from_str(&std::fs::read_to_string(&self.ready).ok()?).unwrap();
            said["http"].as_str().unwrap().clone_into(&mut self.http);
            Some(Ok(()))
        })
    }

    fn start(disk: &Disk, beside: &TempDir) -> Self {
        let mut peer = Self::begin(disk, beside);
        peer.outcome().unwrap();
        peer
    }

    fn headers(&self) -> [String; 1] {
        [format!("Host: {}", self.http)]
    }

    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        ask(&self.http, method, target, &self.headers(), body)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A value that can be told from every other one, and that nothing can make smaller.
fn value(number: usize) -> Vec<u8> {
    let mut random = Quick::new(number as u64, &[]);
    (0..VALUE_BYTES / 8).flat_map(|_| random.any().to_le_bytes()).collect()
}

/// See above.
#[test]
fn a_full_disk_stops_a_peer_and_loses_nothing() {
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => return tell(&format!("*** SKIPPED: the full disk needs root: {why} ***")),
    };
    let beside = tempfile::tempdir().unwrap();
    let mut peer = Serving::start(&disk, &beside);
    let definitions = json!({ "definitions": [
        { "name": "any", "matcher": "glob:data/*", "replication": { "min": 1, "max": 3 } },
    ]});
    let answer = peer.ask("POST", "/v1/definitions", definitions.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");

    // Half of it buffered: what is acknowledged is kept, however it was asked for.
    let mut acknowledged = Vec::new();
    let mut refusal = None;
    for number in 0..WRITES_MAX {
        let durability = if number.is_multiple_of(2) { "synced" } else { "buffered" };
        let target = format!("{PATH}/keys/{number:05}?durability={durability}");
        match try_ask(&peer.http, "PUT", &target, &peer.headers(), &value(number)) {
            Ok(answer) if answer.status == 200 => acknowledged.push(number),
            other => {
                refusal = Some(other);
                break;
            }
        }
    }
    let Some(refusal) = refusal else { panic!("{WRITES_MAX} values went into {SMALL}") };
    let refused = refusal.as_ref().map_or_else(ToString::to_string, |answer| {
        format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
    });
    assert!(acknowledged.len() > 10, "only {} writes: {refused}", acknowledged.len());
    let status = wait_for("the end of the peer", || peer.child.try_wait().unwrap());
    let log = std::fs::read_to_string(&peer.log).unwrap();
    let last = log.lines().last().unwrap_or_default();
    tell(&format!(
        "full disk: {} values of {VALUE_BYTES} bytes in {SMALL}; then {refused}; ended with {status}, \
         saying: {last}",
        acknowledged.len()
    ));
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(last.contains("No space left on device"), "{log}");
    assert!(last.contains("its data directory /"), "{log}");
    assert!(refused.contains("No space left on device"), "{refused}");

    // Trying again without room fails in words, too, and does no harm.
    drop(peer);
    let mut again = Serving::begin(&disk, &beside);
    match again.outcome() {
        Err((status, log)) => {
            tell(&format!("full disk: a new start without room ended with {status}: {log}"));
            assert!(matches!(status.code(), Some(6 | 70)), "{status}: {log}");
            assert!(log.contains("No space left on device"), "{log}");
            assert!(!log.contains("panicked"), "{log}");
        }
        Ok(()) => tell("full disk: a new start found room: it shortened what it had"),
    }
    drop(again);
    disk.mount(&format!("remount,size={LARGE}")).unwrap();
    let peer = Serving::start(&disk, &beside);
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|number| {
            let answer = peer.ask("GET", &format!("{PATH}/keys/{number:05}"), b"");
            answer.status != 200 || answer.body != value(**number)
        })
        .collect();
    assert!(missing.is_empty(), "{} of {}: {missing:?}", missing.len(), acknowledged.len());
    let answer = peer.ask("PUT", &format!("{PATH}/keys/more"), b"there is room again");
    assert_eq!(answer.status, 200, "{answer:?}");
}
