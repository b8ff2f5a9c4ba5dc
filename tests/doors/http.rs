//! The HTTP door.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::{Value, json};

use super::{ABSENT, Ask, Door, NOWHERE, OK, SMALL, line, refusal};
use crate::support::trio::encoded;
use crate::support::{Answer, Peer};

pub struct Http<'a> {
    peer: &'a Peer,
    path: String,
    versions: HashMap<&'static str, String>,
}

impl<'a> Http<'a> {
    pub fn new(peer: &'a Peer, path: &str) -> Self {
        Self { peer, path: path.into(), versions: HashMap::new() }
    }

    fn target(&self, rest: &str) -> String {
        format!("/v1/databases/{}{rest}", encoded(&self.path))
    }

    fn key(key: &str, rest: &str) -> String {
        format!("/keys/{}{rest}", encoded(key))
    }

    fn send(&self, method: &str, rest: &str, body: &str) -> Answer {
        self.peer.ask(method, &self.target(rest), &[], body.as_bytes())
    }

    fn put(&mut self, key: &'static str, rest: &str, headers: &[&str], value: &str) -> String {
        let target = self.target(&Self::key(key, rest));
        let answer = self.peer.ask("PUT", &target, headers, value.as_bytes());
        if answer.status < 300 {
            let version = answer.header("etag").expect("a version").to_owned();
            self.versions.insert(key, version);
        }
        done(&answer)
    }

    fn entries(&self, rest: &str) -> (Vec<(String, Option<String>)>, Option<String>) {
        let page = self.send("GET", rest, "").json();
        let entries = page["entries"].as_array().expect("entries").iter().map(entry).collect();
        (entries, page["cursor"].as_str().map(Into::into))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(Into::into)
}

fn entry(row: &Value) -> (String, Option<String>) {
    (text(&row["key"]).expect("a key"), text(&row["value"]))
}

fn done(answer: &Answer) -> String {
    match answer.status {
        200..300 => OK.into(),
        404 => ABSENT.into(),
        _ => refusal(answer.json()["code"].as_str().expect("a code")),
    }
}

impl Door for Http<'_> {
    fn name(&self) -> &'static str {
        "http"
    }

    fn ask(&mut self, ask: &Ask) -> Option<String> {
        let got = |answer: Answer| match answer.status {
            200 => String::from_utf8(answer.body).expect("text"),
            _ => done(&answer),
        };
        Some(match *ask {
            Ask::Get(key) => got(self.send("GET", &Self::key(key, ""), "")),
            // Several keys are several requests.
            Ask::GetMany(_) => return None,
            Ask::Put(key, value) => self.put(key, "", &[], value),
            Ask::PutNowhere => Http::new(self.peer, NOWHERE).put("k", "", &[], "v"),
            Ask::PutTooMuch => Http::new(self.peer, SMALL).put("k", "", &[], &"v".repeat(2000)),
            Ask::PutFor(key, value, seconds) => {
                self.put(key, &format!("?ttl={seconds}s"), &[], value)
            }
            Ask::PutIfAbsent(key, value) => self.put(key, "", &["If-None-Match: *"], value),
            Ask::PutIfCurrent(key, value) => {
                let version = format!("If-Match: {}", self.versions.get(key)?);
                self.put(key, "", &[&version], value)
            }
            Ask::Delete(key) => done(&self.send("DELETE", &Self::key(key, ""), "")),
            Ask::Batch(writes) => {
                let write = |(key, value): &(&str, Option<&str>)| match value {
                    Some(value) => json!({ "put": { "key": key, "value": value } }).to_string(),
                    None => json!({ "delete": { "key": key } }).to_string(),
                };
                let lines: Vec<String> = writes.iter().map(write).collect();
                let kind = &["Content-Type: application/x-ndjson"];
                let body = lines.join("\n");
                done(&self.peer.ask("POST", &self.target("/batch"), kind, body.as_bytes()))
            }
            Ask::List(prefix) => line(self.entries(&format!("/keys?prefix={prefix}")).0),
            Ask::ListGlob(glob) => line(self.entries(&format!("/keys?glob={}", encoded(glob))).0),
            Ask::Keyspaces => {
                let page = self.send("GET", "/keyspaces", "").json();
                page["keyspaces"].to_string()
            }
            Ask::ListLast(prefix, limit) => {
                let rest = format!("/keys?prefix={prefix}&limit={limit}&reverse=true");
                line(self.entries(&rest).0)
            }
            Ask::Pages(prefix) => {
                let (mut all, mut cursor) = (Vec::new(), String::new());
                loop {
                    let rest = format!("/keys?prefix={prefix}&limit=2&values=true{cursor}");
                    let (entries, next) = self.entries(&rest);
                    all.extend(entries);
                    let Some(next) = next else { break line(all) };
                    cursor = format!("&cursor={next}");
                }
            }
            Ask::Scan(start, end) => {
                let answer = self.send("GET", &format!("/scan?start={start}&end={end}"), "");
                let rows = String::from_utf8(answer.body).expect("text");
                let rows = rows.lines().map(|row| serde_json::from_str(row).expect("a row"));
                line(rows.map(|row: Value| entry(&row)))
            }
            Ask::Incr(key, by) => {
                let answer = self.send("POST", &Self::key(key, &format!("/incr?by={by}")), "");
                match answer.status {
                    200 => answer.json()["value"].to_string(),
                    _ => done(&answer),
                }
            }
            Ask::Ttl(key) => {
                let answer = self.send("GET", &Self::key(key, ""), "");
                match answer.status {
                    200 if answer.header("tidings-expires").is_some() => "expires".into(),
                    200 => "stays".into(),
                    _ => done(&answer),
                }
            }
            Ask::Expire(key, seconds) => {
                done(&self.send("POST", &Self::key(key, &format!("/expire?ttl={seconds}s")), ""))
            }
            Ask::Persist(key) => done(&self.send("POST", &Self::key(key, "/persist"), "")),
            Ask::DeletePrefix(prefix) => {
                let answer = self.send("DELETE", &format!("/keys?prefix={prefix}"), "");
                answer.json()["deleted"].to_string()
            }
            Ask::PutIn(keyspace, key, value) => {
                self.put(key, &format!("?keyspace={keyspace}"), &[], value)
            }
            Ask::GetIn(keyspace, key) => {
                got(self.send("GET", &Self::key(key, &format!("?keyspace={keyspace}")), ""))
            }
            Ask::Usage => self.send("GET", "/status", "").json()["entries"].to_string(),
            Ask::Sync => done(&self.send("POST", "/sync", "")),
            Ask::Watch(prefix, key, value) => {
                let address = self.peer.http.strip_prefix("http://").unwrap_or(&self.peer.http);
                let mut stream = std::net::TcpStream::connect(address).expect("connects");
                stream.set_read_timeout(Some(crate::support::DEADLINE)).expect("a timeout");
                let target = self.target(&format!("/watch?prefix={prefix}"));
                write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("sends");
                let mut data = BufReader::new(stream)
                    .lines()
                    .map(|line| line.expect("a line"))
                    .filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
                assert_eq!(data.next().as_deref(), Some("{}"), "the watch is ready");
                self.put(key, "", &[], value);
                self.send("DELETE", &Self::key(key, ""), "");
                let mut change = || -> Value {
                    serde_json::from_str(&data.next().expect("a change")).expect("JSON")
                };
                let (put, delete) = (change(), change());
                line([entry(&put["put"]), entry(&delete["delete"])])
            }
            Ask::Drop => done(&self.send("DELETE", "", "")),
        })
    }
}
