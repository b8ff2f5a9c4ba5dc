//! `tidings doctor`: each thing that usually goes wrong is made to go wrong, and has to be told, with a
//! way out and in the exit code.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{Peer, code, file, said, tell, tidings, wait_for};

/// What a check failing makes of the exit code.
const FAILED: i32 = 7;

/// Runs `tidings doctor`, and gives its exit code and its report.
fn doctor(arguments: &[&str]) -> (i32, Value) {
    let output = tidings(&["doctor", "-o", "json"]).args(arguments).output().unwrap();
    parsed(&output)
}

fn parsed(output: &Output) -> (i32, Value) {
    let report = serde_json::from_slice(&output.stdout);
    (code(output), report.unwrap_or_else(|error| panic!("{error}: {}", said(output))))
}

/// The result of one check, and everything that it says.
#[track_caller]
fn told(report: &Value, name: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("{name} was not checked: {report}"));
    let mend = check["mend"].as_str().unwrap_or_default();
    (check["result"].as_str().unwrap().into(), format!("{}; {mend}", check["found"]))
}

/// Asserts the result of one check, and that it says something.
#[track_caller]
fn assert_told(report: &Value, name: &str, result: &str, words: &str) {
    let (found, text) = told(report, name);
    assert!(found == result && text.contains(words), "{name}: {found}: {text}");
}

/// A secret that may be used, in a directory.
fn secret(directory: &Path) -> String {
    let secret = file(directory, "secret", "0123456789abcdef0123456789abcdef\n");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    secret
}

/// Before the first start: everything is in order, in both forms, and nothing was made.
#[test]
fn before_a_first_start_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("a/data");
    let definitions =
        "definitions:\n  - {name: any, matcher: 'data/*', replication: {min: 1, max: 3}}\n";
    let definitions = file(home.path(), "definitions.yaml", definitions);
    let config = format!("data = {data:?}\nsecret-file = {:?}\n", secret(home.path()));
    let config = file(home.path(), "tidings.toml", config);
    let arguments =
        ["--config", &config, "--definitions", &definitions, "--http", "127.0.0.1:0", "--no-mdns"];
    let (code, report) = doctor(&arguments);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "data", "ok", "does not exist yet and can be made");
    assert_told(&report, "secret", "ok", "has 32 bytes");
    assert_told(&report, "definitions", "ok", "has 1 of them");
    assert_told(&report, "http", "ok", "is free");
    assert_told(&report, "mdns", "warn", "name a peer with --peer");
    assert!(!home.path().join("a").exists());

    // The same as text, a line for each check, and as JSON lines.
    let output = tidings(&["doctor"]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let count = report["checks"].as_array().unwrap().len();
    assert_eq!(text.lines().count(), count, "{text}");
    assert!(text.contains("ok    secret       "), "{text}");
    assert!(text.contains("warn  mdns         it is off, as asked for; name a peer"), "{text}");
    let output = tidings(&["doctor", "-o", "jsonl"]).args(arguments).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), &first["name"]), (count, &json!("data")));
}

/// Data directories that a start would refuse, or change.
#[test]
fn data_directories_that_cannot_be_used() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let look = |data: &Path| {
        let data = data.to_str().unwrap();
        doctor(&["--data", data, "--http", "127.0.0.1:0", "--no-mdns"])
    };
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, report) = look(&data);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "data", "warn", "has mode 0755");
    assert_told(&report, "data", "warn", "chmod 700");
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o755);

    std::fs::write(data.join("letter"), "dear").unwrap();
    let (code, report) = look(&data);
    assert_eq!((code, &report["result"]), (FAILED, &json!("fail")));
    assert_told(&report, "data", "fail", "is not a data directory");
    let (_, report) = look(&data.join("letter"));
    assert_told(&report, "data", "fail", "letter");
    for (version, words) in [("99", "has format 99"), ("many", "is no format number")] {
        std::fs::write(data.join("VERSION"), version).unwrap();
        let (code, report) = look(&data);
        assert_eq!(code, FAILED);
        assert_told(&report, "data", "fail", words);
    }

    // Nothing can be made there, by nobody, and nothing is free.
    let (code, report) = look(Path::new("/proc/tidings"));
    assert_eq!(code, FAILED);
    assert_told(&report, "data", "fail", "cannot be made: /proc is not writable");
    assert_told(&report, "disk", "fail", "make room");

    let output = tidings(&["doctor", "--no-mdns", "--http", "127.0.0.1:0"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("warn  data") && text.contains("--data DIR"), "{text}");
}

/// Secrets, definitions, tokens and config files that a start would refuse.
#[test]
fn files_that_cannot_be_used() {
    let home = tempfile::tempdir().unwrap();
    let look = |arguments: &[&str]| {
        let (code, report) = doctor(&[&["--http", "127.0.0.1:0", "--no-mdns"], arguments].concat());
        assert_eq!(code, FAILED, "{report}");
        report
    };
    let secret = secret(home.path());
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_told(&look(&["--secret-file", &secret]), "secret", "fail", "chmod 600");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&secret, "short").unwrap();
    assert_told(&look(&["--secret-file", &secret]), "secret", "fail", "it has 5 bytes");
    assert_told(&look(&["--secret-file", "/nowhere/secret"]), "secret", "fail", "/nowhere/secret");

    let definitions = file(home.path(), "definitions.yaml", "definitions:\n  - {nome: any}\n");
    let report = look(&["--definitions", &definitions]);
    assert_told(&report, "definitions", "fail", "definitions.yaml: line 2");
    assert_told(&report, "definitions", "fail", "tidings definitions check");
    let tokens = file(home.path(), "tokens", "");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_told(&look(&["--tokens", &tokens]), "tokens", "fail", "chmod 600");
    let config = file(home.path(), "tidings.toml", "dada = '/d'\n");
    assert_told(&look(&["--config", &config]), "config", "fail", "line 1");
}

/// A limit on open files that is too low, set by a shell.
#[test]
fn few_open_files() {
    for (limit, result, expected) in [("100", "fail", FAILED), ("1000", "warn", 0)] {
        let mut command = Command::new("sh");
        let script = format!("ulimit -S -n {limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_tidings"), "doctor", "-o", "json"]);
        let output = command.args(["--no-mdns", "--http", "127.0.0.1:0"]).output().unwrap();
        let (code, report) = parsed(&output);
        assert_eq!(code, expected, "{report}");
        assert_told(&report, "open-files", result, &format!("{limit} may be open at once"));
        assert_told(&report, "open-files", result, "ulimit -n 1024");
    }
}

/// HTTP addresses that a door could not have, and one where something else answers.
#[test]
fn addresses_that_cannot_be_used() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let look =
        |http: &str| doctor(&["--data", data.to_str().unwrap(), "--http", http, "--no-mdns"]);
    let (code, report) = look("0.0.0.0:0");
    assert_eq!(code, FAILED);
    assert_told(&report, "http", "fail", "--tokens FILE");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example ready\r\n").unwrap();
    });
    let (code, report) = look(&address);
    greeter.join().unwrap();
    assert_eq!(code, FAILED, "{report}");
    assert_told(&report, "http", "fail", "is no tidings peer");
    assert_told(&report, "http", "fail", "name another address with --http");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let redis = listener.local_addr().unwrap().to_string();
    let look = || doctor(&["--http", "127.0.0.1:0", "--redis", &redis, "--no-mdns"]);
    let (code, report) = look();
    assert_eq!(code, FAILED, "{report}");
    assert_told(&report, "redis", "fail", &redis);
    drop(listener);
    assert_told(&look().1, "redis", "ok", "is free");
}

/// A peer that runs is asked, whoever looks at its directory, and with a token where it wants one.
#[test]
fn a_running_peer_is_asked() {
    let peer = Peer::start();
    let (pid, id) = (peer.ready["pid"].to_string(), peer.ready["peer"].as_str().unwrap());
    let data = peer.data();
    let data = data.to_str().unwrap();
    let (code, report) = doctor(&["--data", data, "--http", &peer.http, "--no-mdns"]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "data", "ok", &format!("in use by the process with pid {pid}"));
    assert_told(&report, "http", "ok", id);
    assert_told(&report, "peers", "warn", "no other peer was found");
    assert_told(&report, "peers", "warn", "compare the secrets");
    assert_told(&report, "clock", "ok", "no other peer's clock");

    // Its directory, and another address; its address, and another directory.
    let (_, report) = doctor(&["--data", data, "--http", "127.0.0.1:0", "--no-mdns"]);
    assert_told(&report, "http", "warn", "name the address of that peer");
    let other = tempfile::tempdir().unwrap();
    let other = other.path().to_str().unwrap();
    let (_, report) = doctor(&["--data", other, "--http", &peer.http, "--no-mdns"]);
    assert_told(&report, "http", "warn", "for a second peer on this machine");

    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens").display().to_string();
    let made = tidings(&["token", "new", "--name", "eye", "--scope", "read", "--tokens", &tokens])
        .output();
    let token = String::from_utf8(made.unwrap().stdout).unwrap().trim().to_owned();
    let guarded = Peer::bare(directory, &["--tokens", &tokens]);
    let (code, report) = doctor(&["--http", &guarded.http, "--no-mdns"]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "http", "warn", "--token-file FILE");
    let (_, report) = doctor(&["--http", &guarded.http, "--no-mdns", "--token", &token]);
    assert_told(&report, "http", "ok", guarded.ready["peer"].as_str().unwrap());
}

/// Two peers that found each other: each is told of the other, and their clocks agree.
#[test]
fn peers_that_found_each_other() {
    let home = tempfile::tempdir().unwrap();
    let secret = secret(home.path());
    let listen = ["--secret-file", &secret, "--listen", "/ip4/127.0.0.1/tcp/0"];
    let ada = Peer::bare(tempfile::tempdir().unwrap(), &listen);
    let address = ada.ready["listen"][0].as_str().unwrap();
    let bob =
        Peer::bare(tempfile::tempdir().unwrap(), &[&listen[..], &["--peer", address]].concat());
    for peer in [&ada, &bob] {
        let found = wait_for("the other peer with its clock", || {
            let (code, report) = doctor(&["--http", &peer.http, "--no-mdns"]);
            assert_eq!(code, 0, "{report}");
            (told(&report, "clock").1.contains("of 1 other peers")).then_some(report)
        });
        assert_told(&found, "peers", "ok", "connected to all 1 other peers");
    }
    bob.kill();
    wait_for("the other peer to be missed", || {
        let (_, report) = doctor(&["--http", &ada.http, "--no-mdns"]);
        let (result, text) = told(&report, "peers");
        (result == "warn" && text.contains("connected to none of the 1 other")).then_some(())
    });
}

/// Answers as a peer does whose others have these names, connections and clocks, and gives what the
/// doctor says of it.
fn doctor_of(others: &[(&str, bool, i64)]) -> (i32, Value) {
    doctor_of_peer(others, false)
}

fn doctor_of_peer(others: &[(&str, bool, i64)], cloned: bool) -> (i32, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let status = json!({
        "peer": "12D3KooWself", "name": "self", "version": "99.0.0", "epoch": "1", "listen": [],
        "live_peers": 1, "databases_held": 0, "draining": false, "cloned": cloned, "databases_known": 0,
        "verdict": [], "counters": {},
    });
    let peers: Vec<Value> = others
        .iter()
        .map(|(name, connected, offset)| {
            json!({
                "peer": format!("12D3KooW{name}"), "name": name, "state": "alive",
                "connected": connected, "addresses": [], "clock_offset_ms": offset,
                "round_trip_us": 100, "zone": null,
            })
        })
        .collect();
    let peers = json!({ "peers": peers });
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            let _ = lines.find(|line| line.as_ref().unwrap().is_empty());
            let body = if first.contains("/v1/status") { &status } else { &peers }.to_string();
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    let found = doctor(&["--http", &address, "--no-mdns"]);
    server.join().unwrap();
    found
}

/// Another process runs under the peer's identity.
#[test]
fn a_clone() {
    let (code, report) = doctor_of_peer(&[("a", true, 5)], true);
    assert_eq!(code, FAILED, "{report}");
    assert_told(&report, "clones", "fail", "another process runs under this peer's identity");
    assert_told(&report, "clones", "fail", "start it with an empty directory");
    let (_, report) = doctor_of(&[("a", true, 5)]);
    assert_told(&report, "clones", "ok", "no other process");
}

/// Clocks that differ: whose fault it is can be told of three, not of two.
#[test]
fn clocks_that_differ() {
    let (code, report) = doctor_of(&[("a", true, 20_000), ("b", true, 21_000), ("c", true, 5)]);
    assert_eq!(code, FAILED, "{report}");
    assert_told(&report, "clock", "fail", "-10002 ms off the median of 4 clocks");
    assert_told(&report, "clock", "fail", "set the clock");
    assert_told(&report, "http", "warn", "it runs version 99.0.0");
    assert_told(&report, "peers", "ok", "connected to all 3");

    let (code, report) = doctor_of(&[("ada", true, -20_000), ("bob", false, 5)]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "clock", "warn", "the clock of ada");
    assert_told(&report, "peers", "warn", "connected to 1 of 2; not to bob");
    let (_, report) = doctor_of(&[("a", true, 20_000), ("b", true, 7), ("c", true, -9)]);
    assert_told(&report, "clock", "warn", "the clock of a ");
    let (_, report) = doctor_of(&[("a", true, 9_999), ("b", true, 7)]);
    assert_told(&report, "clock", "ok", "within 9999 ms of 2 other peers");
}

/// Multicast: on this machine it works, or how to do without is told; on one without a network it does
/// not, as far as such a one can be made here.
#[test]
fn multicast() {
    let (code, report) = doctor(&["--http", "127.0.0.1:0"]);
    assert_eq!(code, 0, "{report}");
    let (result, text) = told(&report, "mdns");
    match result.as_str() {
        "ok" => assert!(text.contains("a packet sent to it came back"), "{text}"),
        other => assert!(other == "warn" && text.contains("name peers with --peer"), "{text}"),
    }
    let peer = ["--no-mdns", "--peer", "/ip4/192.0.2.7/tcp/7001", "--http", "127.0.0.1:0"];
    assert_told(&doctor(&peer).1, "mdns", "ok", "it is off, as asked for");

    let alone = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]).args(arguments).output()
    };
    if !alone(&["true"]).is_ok_and(|output| output.status.success()) {
        tell("SKIPPED: multicast without a network: no network namespace can be made here");
        return;
    }
    let program = env!("CARGO_BIN_EXE_tidings");
    let output = alone(&[program, "doctor", "-o", "json", "--http", "localhost:0"]).unwrap();
    let (_, report) = parsed(&output);
    assert_told(&report, "mdns", "warn", "multicast cannot be used here");
    assert_told(&report, "mdns", "warn", "name peers with --peer");
}
