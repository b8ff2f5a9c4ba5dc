//! A peer in a process of its own, the command line, and plain HTTP, for black-box tests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub mod lan;
pub mod trio;

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// How many lines of a peer's log are shown when its test failed.
const LOG_LINES: usize = 20;

/// The program with these arguments and none of the caller's settings.
pub fn tidings<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    tidings_on(None, arguments)
}

/// The same in a network namespace.
fn tidings_on<S: AsRef<std::ffi::OsStr>>(namespace: Option<&str>, arguments: &[S]) -> Command {
    let program = env!("CARGO_BIN_EXE_tidings");
    let mut command =
        namespace.map_or_else(|| Command::new(program), |name| lan::within(name, program));
    by_itself(&mut command).args(arguments);
    command
}

/// Lets a command have none of the caller's settings, no input, and its output read.
fn by_itself(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDINGS_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Waits until `look` finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(DEADLINE, what, look)
}

/// Waits until `look` finds something, but not longer than this.
#[track_caller]
pub fn wait_within<T>(deadline: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    let found = found_within(deadline, look);
    found.unwrap_or_else(|| panic!("{what} did not happen within {deadline:?}"))
}

/// What `look` finds until the time is over.
pub fn found_within<T>(deadline: Duration, look: impl FnMut() -> Option<T>) -> Option<T> {
    found_every(Duration::from_millis(10), deadline, look)
}

/// The same with another pause between two looks, for those that cost something.
pub fn found_every<T>(
    pause: Duration,
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if started.elapsed() > deadline {
            return None;
        }
        std::thread::sleep(pause);
    }
}

/// Says something past the capture of output, which would hide it.
pub fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
}

/// A peer alone, on loopback, without a secret and without mDNS. It ends with this value.
pub struct Peer {
    child: Child,
    /// The network namespace that it runs in.
    host: Option<String>,
    pub http: String,
    pub ready: Value,
    pub directory: TempDir,
}

impl Peer {
    /// A peer with the definition `any`: databases `data/*`, and `small/*` of at most 1,000 bytes.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let peer = Self::bare(tempfile::tempdir().unwrap(), arguments);
        let definitions = serde_json::json!({ "definitions": [
            { "name": "any", "matcher": "glob:data/*", "replication": { "min": 1, "max": 3 } },
            { "name": "small", "matcher": "glob:small/*", "replication": { "min": 1, "max": 3 }, "size": 1000 },
        ]});
        let body = definitions.to_string();
        let answer = peer.ask("POST", "/v1/definitions", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        peer
    }

    /// A peer without definitions in a given directory.
    pub fn bare(directory: TempDir, arguments: &[&str]) -> Self {
        Self::on(None, directory, arguments)
    }

    /// The same in a network namespace, if there is one.
    pub fn on(host: Option<&str>, directory: TempDir, arguments: &[&str]) -> Self {
        let ready_file = directory.path().join("ready.json");
        assert!(!ready_file.exists(), "a stopped peer takes its ready file away");
        let mut command = tidings_on(host, &["serve", "--until-stdin-closes", "--no-mdns"]);
        command.args(["--http", "127.0.0.1:0", "--data"]).arg(directory.path().join("data"));
        command.arg("--ready-file").arg(&ready_file).args(arguments);
        let log_file = directory.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(&log_file).unwrap();
        let mut child = command.stdin(Stdio::piped()).stderr(log).spawn().unwrap();
        let text = wait_for("serving", || {
            if let Some(status) = child.try_wait().unwrap() {
                let said = std::fs::read_to_string(&log_file).unwrap();
                panic!("the peer ended with {status}: {said}");
            }
            std::fs::read_to_string(&ready_file).ok()
        });
        let ready: Value = serde_json::from_str(&text).unwrap();
        let http = ready["http"].as_str().unwrap().to_owned();
        Self { child, host: host.map(str::to_owned), http, ready, directory }
    }

    /// Everything that the processes on this directory said.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// Runs a client verb.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Output {
        tidings_on(self.host.as_deref(), arguments).args(["--http", &self.http]).output().unwrap()
    }

    /// Runs a client verb that must succeed, and gives what it printed.
    pub fn printed<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Vec<u8> {
        let output = self.run(arguments);
        assert_eq!(code(&output), 0, "{}", said(&output));
        output.stdout
    }

    /// Runs a client verb with something on standard input.
    pub fn piped(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = tidings_on(self.host.as_deref(), arguments);
        let mut child = command.args(["--http", &self.http]).stdin(Stdio::piped()).spawn().unwrap();
        // The program may refuse before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Sends one HTTP request.
    pub fn ask(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut all = vec![format!("Host: {}", self.http)];
        all.extend(headers.iter().map(|header| (*header).to_owned()));
        let stream = match &self.host {
            Some(host) => lan::connect_within(host, &self.http),
            None => TcpStream::connect(&self.http),
        };
        ask_over(stream.unwrap(), method, target, &all, body).unwrap()
    }

    /// Waits until the process ends.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        wait_for("the end of the peer", || self.child.try_wait().unwrap())
    }

    /// Stops cleanly, as at the end of the parent, and gives back the directory.
    pub fn stop(mut self) -> TempDir {
        drop(self.child.stdin.take());
        let status = self.ended();
        assert!(status.success(), "{status}");
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// Kills it in the middle of whatever it does, and gives back the directory.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(self.directory.path().join("ready.json"));
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(LOG_LINES).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            tell(&format!("--- {} said last:\n{}", self.http, last.join("\n")));
        }
    }
}

/// Copies a directory with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The exit code.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// What was said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts how a command ended and that it said why.
#[track_caller]
pub fn assert_fails(output: &Output, expected: i32, why: &str) {
    let said = said(output);
    assert_eq!(code(output), expected, "{said}");
    assert!(said.contains(why), "{why:?} is not in: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Asserts that it is a problem with this status and code, and gives the sentence.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        let json = self.json();
        assert_eq!((self.status, json["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(json["status"], status);
        json["detail"].as_str().unwrap().to_owned()
    }
}

/// Sends one HTTP request with exactly these headers.
pub fn ask(address: &str, method: &str, target: &str, headers: &[String], body: &[u8]) -> Answer {
    try_ask(address, method, target, headers, body).unwrap()
}

/// Sends one HTTP request to a peer that may not be there, or not be there until the answer.
pub fn try_ask(
    address: &str,
    method: &str,
    target: &str,
    headers: &[String],
    body: &[u8],
) -> std::io::Result<Answer> {
    ask_over(TcpStream::connect(address)?, method, target, headers, body)
}

fn ask_over(
    mut stream: TcpStream,
    method: &str,
    target: &str,
    headers: &[String],
    body: &[u8],
) -> std::io::Result<Answer> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n",
        headers.iter().flat_map(|header| [header.as_str(), "\r\n"]).collect::<String>(),
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // A body that is refused early need not be taken to its end.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let body = answer.get(split + 4..).unwrap_or_default().to_vec();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut answer = Answer { status, head, body };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = joined(&answer.body);
    }
    Ok(answer)
}

/// Joins the chunks of a body.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    whole
}

/// A file with some content in a directory.
pub fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}
