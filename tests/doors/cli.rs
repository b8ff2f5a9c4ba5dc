//! The command line.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::Output;

use serde_json::{Value, json};

use super::{ABSENT, Ask, Door, NOWHERE, OK, SMALL, line, refusal};
use crate::support::{Peer, code, said, tidings};

pub struct Cli<'a> {
    peer: &'a Peer,
    path: String,
    versions: HashMap<&'static str, String>,
}

impl<'a> Cli<'a> {
    pub fn new(peer: &'a Peer, path: &str) -> Self {
        Self { peer, path: path.into(), versions: HashMap::new() }
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> Output {
        self.peer.run(&[&[verb, &self.path], arguments].concat())
    }

    fn put(&mut self, key: &'static str, value: &str, rest: &[&str]) -> String {
        let output = self.run("put", &[&[key, value], rest].concat());
        if code(&output) == 0 {
            self.versions.insert(key, printed(&output).trim_end().to_owned());
        }
        done(&output)
    }

    fn rows(&self, verb: &str, arguments: &[&str]) -> Vec<(String, Option<String>)> {
        let output = self.run(verb, &[arguments, &["-o", "jsonl"]].concat());
        printed(&output)
            .lines()
            .map(|row| serde_json::from_str::<Value>(row).expect("a row"))
            .map(|row| (row["key"].as_str().expect("a key").into(), text(&row["value"])))
            .collect()
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(Into::into)
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn done(output: &Output) -> String {
    match code(output) {
        0 => OK.into(),
        1 => ABSENT.into(),
        _ => refusal(&said(output)),
    }
}

fn got(output: &Output) -> String {
    if code(output) == 0 { printed(output).trim_end_matches('\n').into() } else { done(output) }
}

impl Door for Cli<'_> {
    fn name(&self) -> &'static str {
        "cli"
    }

    fn ask(&mut self, ask: &Ask) -> Option<String> {
        Some(match *ask {
            Ask::Get(key) => got(&self.run("get", &[key])),
            // Several keys are several calls.
            Ask::GetMany(_) => return None,
            Ask::Put(key, value) => self.put(key, value, &[]),
            Ask::PutNowhere => Cli::new(self.peer, NOWHERE).put("k", "v", &[]),
            Ask::PutTooMuch => Cli::new(self.peer, SMALL).put("k", &"v".repeat(2000), &[]),
            Ask::PutFor(key, value, seconds) => {
                self.put(key, value, &["--ttl", &format!("{seconds}s")])
            }
            Ask::PutIfAbsent(key, value) => self.put(key, value, &["--if-absent"]),
            Ask::PutIfCurrent(key, value) => {
                let version = self.versions.get(key)?.clone();
                self.put(key, value, &["--if-version", &version])
            }
            Ask::Delete(key) => done(&self.run("delete", &[key])),
            Ask::Batch(writes) => {
                let write = |(key, value): &(&str, Option<&str>)| match value {
                    Some(value) => json!({ "put": { "key": key, "value": value } }).to_string(),
                    None => json!({ "delete": { "key": key } }).to_string(),
                };
                let lines: Vec<String> = writes.iter().map(write).collect();
                done(&self.peer.piped(&["batch", &self.path], lines.join("\n").as_bytes()))
            }
            Ask::List(prefix) => line(self.rows("list", &[prefix])),
            Ask::ListGlob(glob) => line(self.rows("list", &["--glob", glob])),
            Ask::Keyspaces => {
                let output = self.run("keyspaces", &["-o", "json"]);
                let names: Value = serde_json::from_str(&printed(&output)).expect("JSON");
                names.to_string()
            }
            Ask::ListLast(prefix, limit) => {
                line(self.rows("list", &[prefix, "--reverse", "--limit", &limit.to_string()]))
            }
            // It reads all pages by itself.
            Ask::Pages(prefix) => line(self.rows("list", &[prefix, "--values"])),
            Ask::Scan(start, end) => line(self.rows("scan", &[start, end])),
            Ask::Incr(key, by) => got(&self.run("incr", &[key, &by.to_string()])),
            Ask::Ttl(key) => match got(&self.run("ttl", &[key])).as_str() {
                stays @ ("stays" | ABSENT) => stays.into(),
                time if time.ends_with('s') => "expires".into(),
                other => other.into(),
            },
            Ask::Expire(key, seconds) => done(&self.run("expire", &[key, &format!("{seconds}s")])),
            Ask::Persist(key) => done(&self.run("persist", &[key])),
            Ask::DeletePrefix(prefix) => {
                let output = self.run("delete", &["--prefix", prefix, "-o", "json"]);
                let answer: Value = serde_json::from_str(&printed(&output)).expect("JSON");
                answer["deleted"].to_string()
            }
            Ask::PutIn(keyspace, key, value) => self.put(key, value, &["--keyspace", keyspace]),
            Ask::GetIn(keyspace, key) => got(&self.run("get", &[key, "--keyspace", keyspace])),
            Ask::Usage => {
                let output = self.run("usage", &["-o", "json"]);
                let usage: Value = serde_json::from_str(&printed(&output)).expect("JSON");
                usage["entries"].to_string()
            }
            Ask::Sync => done(&self.run("sync", &[])),
            Ask::Watch(prefix, key, value) => {
                let line_of = ["--http", &self.peer.http, "watch", &self.path, prefix];
                let rest = ["--count", "2", "-o", "jsonl"];
                let mut watch = tidings(&[&line_of[..], &rest].concat()).spawn().expect("starts");
                let mut begun = String::new();
                let stderr = watch.stderr.take().expect("piped");
                BufReader::new(stderr).read_line(&mut begun).expect("a line");
                assert!(begun.starts_with("watching"), "{begun}");
                self.put(key, value, &[]);
                self.run("delete", &[key]);
                let output = watch.wait_with_output().expect("ends");
                let changes = printed(&output);
                let changes =
                    changes.lines().map(|row| serde_json::from_str(row).expect("a change"));
                line(changes.map(|change: Value| {
                    let row = change.get("put").or(change.get("delete")).expect("a row");
                    (text(&row["key"]).expect("a key"), text(&row["value"]))
                }))
            }
            Ask::Drop => done(&self.run("drop", &["--yes"])),
        })
    }
}
