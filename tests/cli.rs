//! The command line, as a user meets it: real processes, their output and their exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Peer, assert_fails, code, file, said, tidings, wait_for};

/// Keys and values of any bytes come back as they were put, over the command line and its files.
#[test]
fn put_get_and_delete_carry_any_bytes() {
    let peer = Peer::start();
    let odd = OsString::from_vec(b"\xff /..?&=%\n".to_vec());
    let values: [&[u8]; 4] = [b"plain", b"", b"\x00\xff\r\n", "é🎈".as_bytes()];
    for (number, value) in values.into_iter().enumerate() {
        let key =
            [odd.clone(), OsString::from(number.to_string())].into_iter().collect::<OsString>();
        let value_file = file(peer.directory.path(), "value", value);
        let put: [OsString; 5] =
            ["put".into(), "data/a".into(), key.clone(), "--file".into(), value_file.into()];
        peer.printed(&put);
        let get: [OsString; 3] = ["get".into(), "data/a".into(), key.clone()];
        assert_eq!(peer.printed(&get), value);
        let delete: [OsString; 3] = ["delete".into(), "data/a".into(), key];
        peer.printed(&delete);
        assert_fails(&peer.run(&get), 1, "is not in the database");
    }
    assert_eq!(code(&peer.piped(&["put", "data/a", "k", "-"], b"from a pipe\n")), 0);
    assert_eq!(peer.printed(&["get", "data/a", "k"]), b"from a pipe\n");
    peer.printed(&["put", "data/a", "AP8=", "AP8A", "--base64"]);
    assert_eq!(peer.printed(&["get", "data/a", "AP8=", "--base64"]), b"\x00\xff\x00");
    let row: Value =
        serde_json::from_slice(&peer.printed(&["get", "data/a", "AP8=", "--base64", "-ojson"]))
            .unwrap();
    assert_eq!(row["key_base64"], "AP8=");
    assert_eq!(row["value_base64"], "AP8A");
}

/// A listing has exactly the keys with the prefix, in order, and says when it stopped early.
#[test]
fn list_and_scan_are_ordered_and_whole() {
    let peer = Peer::start();
    let put =
        |key: &str| json!({"put": {"key": key, "value": format!("value of {key}")}}).to_string();
    let lines: Vec<String> =
        ["user:2", "user:1", "user", "other", "user:10"].into_iter().map(put).collect();
    let output = peer.piped(&["batch", "data/list"], lines.join("\n").as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "5 writes\n", "{}", said(&output));

    let printed = |arguments: &[&str]| String::from_utf8(peer.printed(arguments)).unwrap();
    assert_eq!(printed(&["list", "data/list", "user:"]), "user:1\nuser:10\nuser:2\n");
    assert_eq!(printed(&["list", "data/list", "user:", "--reverse"]), "user:2\nuser:10\nuser:1\n");
    assert_eq!(printed(&["list", "data/list", "o", "--values"]), "other\tvalue of other\n");
    let page = printed(&["list", "data/list", "--limit", "2", "-ojson"]);
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!((&page["truncated"], &page["entries"][1]["key"]), (&json!(true), &json!("user")));
    let cursor = page["cursor"].as_str().unwrap();
    assert_eq!(printed(&["list", "data/list", "--cursor", cursor]), "user:1\nuser:10\nuser:2\n");
    assert_fails(&peer.run(&["list", "data/list", "--limit", "0"]), 2, "0 is not in 1..");
    let output = peer.run(&["list", "data/list", "--limit", "2"]);
    assert!(said(&output).contains("more keys follow"), "{}", said(&output));

    let scanned = printed(&["scan", "data/list", "user:1", "user:2", "-ojsonl"]);
    let keys: Vec<Value> = scanned
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone())
        .collect();
    assert_eq!(keys, ["user:1", "user:10"]);
    let all: Value = serde_json::from_str(&printed(&["scan", "data/list", "-ojson"])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 5);
    assert_eq!(printed(&["list", "data/empty"]), "");
}

/// A watch tells of every change after it began, puts and deletes, with bytes of any kind.
#[test]
fn watch_tells_of_changes() {
    let peer = Peer::start();
    let mut watch =
        tidings(&["watch", "data/w", "k", "--count", "3", "-ojsonl", "--http", &peer.http])
            .spawn()
            .unwrap();
    let mut begun = String::new();
    let mut errors = BufReader::new(watch.stderr.take().unwrap());
    errors.read_line(&mut begun).unwrap();
    assert_eq!(begun, "watching data/w\n");
    peer.printed(&["put", "data/w", "k1", "one"]);
    peer.printed(&["put", "data/w", "other", "unseen"]);
    peer.printed(&["put", "data/w", "azI=", "/w==", "--base64"]);
    peer.printed(&["delete", "data/w", "k1"]);
    wait_for("the end of the watch", || watch.try_wait().unwrap());
    let output = watch.wait_with_output().unwrap();
    let changes: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0]["put"]["value"], "one");
    assert_eq!(changes[1]["put"]["value_base64"], "/w==");
    assert_eq!(changes[2]["delete"]["key"], "k1");
}

/// What was imported is exported as the same bytes, and importing that elsewhere gives them again.
#[test]
fn an_export_of_an_import_is_the_same_file() {
    let peer = Peer::start();
    let mut lines: Vec<String> = (0..5000)
        .map(|number| {
            format!("{{\"key\":\"key/{number:05}\",\"value\":\"value {number} é\\n\"}}\n")
        })
        .collect();
    lines.push("{\"key\":\"large\",\"value\":\"".to_owned() + &"x".repeat(3 << 20) + "\"}\n");
    lines.push("{\"key_base64\":\"/wA=\",\"value_base64\":\"gIE=\"}\n".into());
    let canonical = lines.concat();
    // Out of order, and one key twice: its last line wins.
    lines.reverse();
    lines.insert(0, "{\"value\":\"old\", \"key\": \"key/00007\"}\n".into());
    let import = file(peer.directory.path(), "import", lines.concat());
    let output = peer.run(&["import", "data/i", &import]);
    assert_eq!((code(&output), said(&output).trim()), (0, "5 003 records"));
    let export = peer.directory.path().join("export").display().to_string();
    peer.printed(&["export", "data/i", &export]);
    assert!(std::fs::read_to_string(&export).unwrap() == canonical, "the export differs");
    let output = peer.piped(&["import", "data/again", "-"], canonical.as_bytes());
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(peer.printed(&["export", "data/again"]) == canonical.as_bytes());
}

/// An expiry is exported with its entry and imported again: in a batch of many, alone in a put for its
/// size, and where the last line of a key has none. `--ttl` is for lines without one.
#[test]
fn an_export_keeps_the_expiry() {
    let peer = Peer::start();
    let line = |key: &str, value: &str, expires: &str| {
        format!("{{\"key\":\"{key}\",\"value\":\"{value}\"{expires}}}\n")
    };
    let late = r#","expires":"2100-01-02T03:04:05.006Z""#;
    let lines = [
        line("a", "1", late),
        line("b", "2", ""),
        line("large", &"x".repeat(3 << 20), late),
        line("z", "3", r#","expires":"9999-12-31T23:59:59.999Z""#),
    ];
    let canonical = lines.concat();
    let past = line("past", "4", r#","expires":"2001-01-01T00:00:00Z""#);
    let input = [line("b", "0", late), past, canonical.clone()].concat();
    let output = peer.piped(&["import", "data/i", "-"], input.as_bytes());
    assert_eq!((code(&output), said(&output).trim()), (0, "6 records"));
    let exported = peer.printed(&["export", "data/i"]);
    assert!(exported == canonical.as_bytes(), "the export differs");
    let output = peer.piped(&["import", "data/again", "-", "--ttl", "1h"], &exported);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let again = String::from_utf8(peer.printed(&["export", "data/again"])).unwrap();
    let again: Vec<&str> = again.split_inclusive('\n').collect();
    assert!([0, 2, 3].into_iter().all(|at| again[at] == lines[at]), "the second export differs");
    assert!(again[1].starts_with(r#"{"key":"b","value":"2","expires":"2"#), "{}", again[1]);

    let output =
        peer.piped(&["import", "data/i", "-"], line("a", "1", ",\"expires\":5").as_bytes());
    assert_fails(&output, 2, "line 1: invalid type: integer `5`, expected a moment such as");
}

/// What is printed as JSON says when the entry expires: of one key, of many, and as it changes.
#[test]
fn json_says_when_an_entry_expires() {
    let peer = Peer::start();
    let late = "2100-01-02T03:04:05.006Z";
    let mut watch = tidings(&["watch", "data/e", "--count", "1", "-ojsonl", "--http", &peer.http])
        .spawn()
        .unwrap();
    let mut begun = String::new();
    BufReader::new(watch.stderr.take().unwrap()).read_line(&mut begun).unwrap();
    let put =
        json!({"put": {"key": "k", "value": "v", "expires": "2100-01-02T04:04:05.006+01:00"}});
    let output = peer.piped(&["batch", "data/e"], put.to_string().as_bytes());
    assert_eq!(code(&output), 0, "{}", said(&output));
    wait_for("the end of the watch", || watch.try_wait().unwrap());
    let change = watch.wait_with_output().unwrap().stdout;
    let change: Value = serde_json::from_slice(&change).unwrap();
    assert_eq!(change["put"]["expires"], late);
    for verb in [&["get", "data/e", "k"][..], &["list", "data/e"], &["scan", "data/e"]] {
        let row = peer.printed(&[verb, &["-ojsonl"]].concat());
        let row: Value = serde_json::from_slice(&row).unwrap();
        assert_eq!(row["expires"], late, "{verb:?}");
    }
    peer.printed(&["put", "data/e", "k", "w"]);
    let row: Value =
        serde_json::from_slice(&peer.printed(&["get", "data/e", "k", "-ojson"])).unwrap();
    assert_eq!(row.get("expires"), None, "a plain put clears it");
}

/// A malformed line stops an import: what stands before it is there, and nothing after it.
#[test]
fn an_import_stops_at_a_malformed_line() {
    let peer = Peer::start();
    let text = "{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"c\"}\n{\"key\":\"d\",\"value\":\"4\"}\n";
    let output = peer.piped(&["import", "data/i", "-"], text.as_bytes());
    assert_fails(&output, 2, "line 4: `value` or `value_base64` is missing");
    assert!(said(&output).contains("2 records were written, and nothing after them"));
    assert_eq!(peer.printed(&["list", "data/i"]), b"a\nb\n");
    let text = format!("{{\"key\":\"{}\",\"value\":\"\"}}\n", "k".repeat(1025));
    assert_fails(
        &peer.piped(&["import", "data/i", "-"], text.as_bytes()),
        2,
        "a key of 1025 bytes",
    );
}

/// Everything wrong that a user can hand to a client verb has its sentence and its exit code.
#[test]
fn mistakes_of_client_verbs_are_told() {
    let peer = Peer::start();
    let long_key = "k".repeat(1025);
    let long_path = format!("data/{}", "p".repeat(512));
    let long_value = file(peer.directory.path(), "long", vec![b'x'; (8 << 20) + 1]);
    assert_fails(&peer.run(&["put", "nowhere/a", "k", "v"]), 6, "no definition matches");
    assert_fails(&peer.run(&["get", "nowhere/a", "k"]), 6, "nearest: any: glob:data/*");
    assert_fails(&peer.run(&["put", "data/a", &long_key, "v"]), 2, "a key of 1025 bytes");
    assert_fails(&peer.run(&["get", "data/a", &long_key]), 2, "keys have 1 to 1024 bytes");
    assert_fails(&peer.run(&["put", "data/a", "", "v"]), 2, "a key of 0 bytes");
    assert_fails(&peer.run(&["put", &long_path, "k", "v"]), 2, "it has 517 bytes, at most 512");
    assert_fails(
        &peer.run(&["put", "data/a", "k", "--file", &long_value]),
        2,
        "more than 8388608 bytes",
    );
    assert_fails(&peer.run(&["put", "data/a", "k", "v", "--durability", "firm"]), 2, "\"firm\"");
    let many = peer.run(&["put", "data/a", "k", "v", "--acks", "many"]);
    assert_fails(&many, 2, "'--acks <N|min>': \"many\" is not a number of holders");
    let ever = peer.run(&["put", "data/a", "k", "v", "--ttl", "ever"]);
    assert_fails(&ever, 2, "'--ttl <DURATION>': \"ever\" is not a duration");
    assert_fails(&peer.run(&["put", "data/a", "k", "v", "--ttl", "5"]), 2, "a unit");
    assert_fails(&peer.run(&["put", "data/a", "k"]), 2, "Usage");
    assert_fails(&peer.run(&["get", "data/a", "k%", "--base64"]), 2, "not standard base64");
    let full = "v".repeat(2000);
    assert_fails(&peer.run(&["put", "small/a", "k", &full]), 6, "no space");
    peer.printed(&["put", "data/a", "k", "v", "--acks", "min", "--durability", "synced"]);
    let many = ["put", "data/a", "k", "other", "--acks", "4"];
    assert_fails(&peer.run(&many), 2, "acks=4: the definition \"any\" keeps at most 3 copies");
    let few = ["put", "data/a", "k", "v", "--acks", "3", "--timeout", "200ms"];
    assert_fails(&peer.run(&few), 5, "1 of 3 holders acknowledged");
    assert_eq!(peer.printed(&["get", "data/a", "k"]), b"v", "an under-replicated write is kept");

    let put = json!({"put": {"key": "k", "value": "x".repeat(700_000)}}).to_string();
    let large = format!("{put}\n{}", put.replace("\"k\"", "\"l\""));
    assert_fails(&peer.piped(&["batch", "data/b"], large.as_bytes()), 2, "a batch of 2 writes");
    assert_fails(&peer.piped(&["batch", "data/b"], b"{\"pot\":{}}"), 2, "line 1, column 6");
    assert_eq!(peer.printed(&["list", "data/b"]), b"");

    let line = b"{\"key\":\"k\",\"value\":\"v\"}\n";
    let output = peer.piped(&["import", "nowhere/a", "-"], line);
    assert_fails(&output, 6, "no definition matches");
    assert!(said(&output).contains("0 records were acknowledged"), "{}", said(&output));
    assert_fails(&peer.run(&["import", "data/a", "/none/such"]), 2, "/none/such cannot be used");
    assert_fails(
        &tidings(&["peers", "--http", "https://localhost"]).output().unwrap(),
        2,
        "plain HTTP",
    );
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = tidings(&["get", "a", "b", "--http", &free.to_string()]).output().unwrap();
    assert_fails(&nobody, 3, "no peer answers");
}

/// A file of definitions is applied as a whole or not at all, and mistakes are told with their place.
#[test]
fn definitions_are_applied_from_yaml() {
    let peer = Peer::start();
    let directory = peer.directory.path();
    let entry = |name: &str, matcher: &str| {
        format!("  - name: {name}\n    matcher: {matcher}\n    replication: {{min: 1, max: 2}}\n")
    };
    let good = format!("definitions:\n{}", entry("history", "^profile/history/[a-z]+$"));
    let good = file(directory, "good.yaml", good);
    let printed = |arguments: &[&str]| String::from_utf8(peer.printed(arguments)).unwrap();
    assert_eq!(printed(&["apply", "-f", &good]), "created    history\n");
    assert_eq!(printed(&["apply", "-f", &good]), "unchanged  history\n");
    peer.printed(&["put", "profile/history/ann", "k", "v"]);
    assert_fails(&peer.run(&["put", "profile/history/ANN", "k", "v"]), 6, "no definition matches");
    assert!(printed(&["definitions"]).contains("^profile/history/[a-z]+$"));
    assert!(printed(&["definitions", "check", &good]).contains("regex"));
    let governed = printed(&["definitions", "check", &good, "profile/history/bo", "x", "-ojsonl"]);
    let expected = "{\"definition\":\"history\",\"path\":\"profile/history/bo\"}\n{\"definition\":null,\"path\":\"x\"}\n";
    assert_eq!(governed, expected);

    let bad = format!("definitions:\n{}{}", entry("fine", "x/*"), entry("broken", "'regex:a('"));
    let bad = file(directory, "bad.yaml", bad);
    assert_fails(&peer.run(&["apply", "-f", &bad]), 2, "line 6, column 14: the matcher");
    assert!(!printed(&["definitions", "-ojsonl"]).contains("fine"), "all of them or none");
    let torn = file(directory, "torn.yaml", "definitions:\n  - name: [unclosed\n");
    let output = peer.run(&["apply", "-f", &torn]);
    assert_fails(&output, 2, "line");
    assert!(said(&output).contains("column"), "{}", said(&output));
    let unknown = file(directory, "unknown.yaml", "definitions:\n  - name: a\n    replicas: 3\n");
    assert_fails(&peer.run(&["apply", "-f", &unknown]), 2, "replicas");
    assert_fails(&peer.run(&["definitions", "check", &unknown]), 2, "line 3");
}

/// Statuses have the fields that scripts rely on.
#[test]
fn statuses_are_for_scripts_and_for_people() {
    let peer = Peer::start();
    peer.printed(&["put", "data/s", "k", "value"]);
    let parsed =
        |arguments: &[&str]| -> Value { serde_json::from_slice(&peer.printed(arguments)).unwrap() };
    let status = parsed(&["status", "data/s", "-ojson"]);
    assert_eq!((&status["path"], &status["definition"]), (&json!("data/s"), &json!("any")));
    assert_eq!((&status["entries"], &status["bytes"]), (&json!(1), &json!(6)));
    assert_eq!(status["peer"], peer.ready["peer"]);
    assert_eq!(status["holders"][0]["state"], "active");
    let unwritten = parsed(&["status", "data/new", "-ojson"]);
    assert_eq!((&unwritten["entries"], &unwritten["holders"]), (&json!(0), &json!([])));
    let said_so = unwritten["verdict"][0].as_str().unwrap();
    assert!(said_so.contains("nobody has written to it yet"), "{said_so}");
    assert_fails(&peer.run(&["status", "nowhere/a"]), 6, "no definition matches");
    let node = parsed(&["status", "-ojson"]);
    assert_eq!(node["peer"], peer.ready["peer"]);
    let databases = parsed(&["databases", "-ojson"]);
    assert_eq!(databases[0]["path"], "data/s");
    assert_eq!(parsed(&["peers", "-ojson"]), json!([]));
    for verb in
        [&["status"][..], &["status", "data/s"], &["databases"], &["peers"], &["definitions"]]
    {
        assert!(!peer.printed(verb).is_empty());
    }
    peer.printed(&["sync", "data/s"]);
    assert_fails(&peer.run(&["status", "-oraw"]), 2, "no raw form");
}

/// A reader of the output that has enough ends a command quietly.
#[test]
fn a_closed_pipe_is_no_error() {
    let peer = Peer::start();
    let line =
        |number: u32| format!("{{\"key\":\"{number:06}\",\"value\":\"{}\"}}\n", "x".repeat(50));
    let lines = (0..20_000).map(line).collect::<Vec<_>>().concat();
    assert_eq!(code(&peer.piped(&["import", "data/p", "-"], lines.as_bytes())), 0);
    for verb in [&["scan", "data/p"][..], &["list", "data/p"], &["status"], &["status", "data/p"]] {
        let mut command = tidings(verb).args(["--http", &peer.http]).spawn().unwrap();
        drop(command.stdout.take());
        let output = command.wait_with_output().unwrap();
        assert_eq!((code(&output), said(&output)), (0, String::new()), "{verb:?}");
    }
}

/// A peer that cannot start says why, with what to do, and ends with the right code.
#[test]
fn serve_refuses_what_it_cannot_run_with() {
    let peer = Peer::start();
    let directory = tempfile::tempdir().unwrap();
    let fresh = directory.path().join("fresh").display().to_string();
    let serve = |arguments: &[&str]| {
        // One that runs after all must not outlive the test that fails over it.
        let mut command = tidings(&["serve", "--no-mdns", "--until-stdin-closes"]);
        let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        wait_for("the end of a peer that cannot run", || child.try_wait().unwrap());
        child.wait_with_output().unwrap()
    };
    let any = ["--http", "127.0.0.1:0", "--data"];
    let with = |data: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            any.iter().copied().chain([data]).chain(more.iter().copied()).collect();
        serve(&arguments)
    };
    assert_fails(&serve(&["--http", &peer.http, "--data", &fresh]), 6, "the port is in use");
    assert_fails(&serve(&["--http", "0.0.0.0:0", "--data", &fresh]), 6, "without tokens");
    assert_fails(&serve(&["--http", "127.0.0.1:0"]), 2, "needs a data directory");
    let used = peer.data().display().to_string();
    assert_fails(&with(&used, &[]), 6, "in use by another process");
    assert_fails(&with(&fresh, &["--redis", "0.0.0.0:0"]), 6, "without tokens");
    assert_fails(&with(&fresh, &["--redis", &peer.http]), 6, "choose another with --redis");
    assert_fails(&with(&fresh, &["--redis", "nowhere"]), 2, "write host:port");
    assert_fails(&with(&fresh, &["--listen", "nonsense"]), 2, "no libp2p address");
    assert_fails(&with(&fresh, &["--weight", "0"]), 2, "from 0.01 to 10000");
    assert_fails(&with(&fresh, &["--secret-file", "/none/such"]), 4, "/none/such");
    let short = file(directory.path(), "short", "short");
    set_mode(&short, 0o600);
    assert_fails(&with(&fresh, &["--secret-file", &short]), 4, "at least 16");
    let open = file(directory.path(), "open", "0123456789abcdef");
    set_mode(&open, 0o644);
    assert_fails(
        &with(&fresh, &["--secret-file", &open]),
        4,
        "others may read or change it; run chmod 600",
    );
    let config = file(directory.path(), "tidings.toml", "data = 'x'\nsecert-file = 'y'\n");
    assert_fails(
        &serve(&["--config", &config]),
        2,
        "line 2, column 1: unknown field `secert-file`",
    );
    let yaml = file(directory.path(), "definitions.yaml", "definitions:\n  - nam: x\n");
    assert_fails(&with(&fresh, &["--definitions", &yaml]), 2, "line 2");

    let data = peer.stop().keep().join("data");
    std::fs::write(data.join("VERSION"), "4711\n").unwrap();
    assert_fails(&with(&data.display().to_string(), &[]), 6, "has format 4711");
    std::fs::remove_dir_all(data.parent().unwrap()).unwrap();
}

fn set_mode(file: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What was acknowledged is there after a clean stop and a new start, and the ready file is whole.
#[test]
fn a_peer_stops_cleanly_and_comes_back() {
    let peer = Peer::start();
    peer.printed(&["put", "data/a", "k", "kept"]);
    // An open watch must not hold up the stop; it is told, and ends.
    let mut watch = tidings(&["watch", "data/a", "--http", &peer.http]).spawn().unwrap();
    let mut begun = String::new();
    let mut errors = BufReader::new(watch.stderr.take().unwrap());
    errors.read_line(&mut begun).unwrap();
    let (id, directory) = (peer.ready["peer"].clone(), peer.stop());
    let status = wait_for("the end of the watch", || watch.try_wait().unwrap());
    assert_eq!(status.code(), Some(3));
    let peer = Peer::bare(directory, &["--name", "again"]);
    assert_eq!(peer.ready["peer"], id);
    assert!(peer.ready["pid"].is_number() && peer.ready["listen"].is_array());
    assert_eq!(peer.printed(&["get", "data/a", "k"]), b"kept");
}

/// A termination signal is a clean stop, too.
#[test]
fn a_signal_stops_a_peer_cleanly() {
    let mut peer = Peer::start();
    let killed = Command::new("kill").arg(peer.ready["pid"].to_string()).status().unwrap();
    assert!(killed.success());
    assert_eq!(peer.ended().code(), Some(0));
    assert!(!peer.directory.path().join("ready.json").exists());
}

/// An entry with a time to live is hidden once that has passed.
#[test]
fn an_entry_can_vanish() {
    let peer = Peer::start();
    peer.printed(&["put", "data/t", "k", "v", "--ttl", "300ms"]);
    peer.printed(&["put", "data/t", "stays", "v"]);
    wait_for("the expiry", || (code(&peer.run(&["get", "data/t", "k"])) == 1).then_some(()));
    assert_eq!(peer.printed(&["list", "data/t"]), b"stays\n");
}

/// The help names the exit codes.
#[test]
fn help_names_the_exit_codes() {
    let output = tidings(&["--help"]).stderr(Stdio::null()).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Exit codes:") && help.contains("under-replicated"), "{help}");
}

/// Completions and manual pages are of this program, and name its commands.
#[test]
fn completions_and_manual_pages_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = tidings(&["completions", shell]).output().unwrap();
        assert_eq!(code(&output), 0, "{}", said(&output));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("definitions") && script.contains("token-file"), "{shell}");
    }
    assert_fails(&tidings(&["completions", "csh"]).output().unwrap(), 2, "possible values");
    let page = tidings(&["man"]).output().unwrap().stdout;
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains(".TH tidings 1") && page.contains("tidings\\-watch(1)"), "{page}");
    let directory = tempfile::tempdir().unwrap();
    let output = tidings(&["man", "--dir"]).arg(directory.path()).output().unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    for page in ["tidings.1", "tidings-watch.1", "tidings-token-new.1"] {
        assert!(directory.path().join(page).exists(), "{page}");
    }
    let none = directory.path().join("none");
    let output = tidings(&["man", "--dir"]).arg(none).output().unwrap();
    assert_fails(&output, 2, "cannot be used");
}
