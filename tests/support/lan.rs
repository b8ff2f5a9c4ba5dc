//! Hosts on one Ethernet, as network namespaces: each with an address of its own and nothing else
//! in reach. The switch is a namespace too, so that the machine's own network is left alone.
//!
//! Needs root and `ip` of iproute2. Everything lies in namespaces whose names begin with
//! `tidings-` and the process id; they go when the value goes, and what a killed test left behind
//! goes at the start of the next.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;
use tempfile::TempDir;

use super::{by_itself, wait_for};

/// What the names of all namespaces begin with.
const NAME: &str = "tidings-";
/// Where every host's HTTP door is, on its own loopback.
pub const HTTP: &str = "127.0.0.1:7380";
/// What peers are told of databases unless a test says otherwise.
const DEFINITIONS: &str = "{name: any, matcher: data/*, replication: {min: 3, max: 5}}";

/// A switch and the hosts on it. One exists at a time: the machine is small.
pub struct Lan {
    switch: String,
    hosts: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Lan {
    /// Hosts with the addresses 10.77.0.1, 10.77.0.2, …; `None`, and a loud line, where this
    /// cannot be done.
    pub fn new(hosts: u8) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if let Err(why) = possible() {
            // Around the capture of output, which would hide it.
            let line = format!(
                "\n*** SKIPPED: the test of real networks needs root and iproute2: {why} ***\n"
            );
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
            assert!(
                std::env::var_os("TIDINGS_NAMESPACES").is_none_or(|v| v != "required"),
                "{line}"
            );
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sweep();
        let prefix =
            format!("{NAME}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut lan = Self { switch: format!("{prefix}-switch"), hosts: Vec::new(), _alone: alone };
        ip(&format!("netns add {}", lan.switch));
        let switch = lan.switch.clone();
        ip(&format!("-n {switch} link add bridge0 type bridge"));
        ip(&format!("-n {switch} link set bridge0 up"));
        for number in 1..=hosts {
            let host = format!("{prefix}-{number}");
            ip(&format!("netns add {host}"));
            lan.hosts.push(host.clone());
            ip(&format!("-n {switch} link add port{number} type veth peer name eth0 netns {host}"));
            ip(&format!("-n {switch} link set port{number} master bridge0 up"));
            ip(&format!("-n {host} addr add {}/24 dev eth0", address(number)));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {host} link set eth0 up"));
        }
        Some(lan)
    }

    /// Takes a host's cable out of the switch.
    pub fn cut(&self, host: u8) {
        ip(&format!("-n {} link set port{host} down", self.switch));
    }

    /// Puts it back.
    pub fn heal(&self, host: u8) {
        ip(&format!("-n {} link set port{host} up", self.switch));
    }

    /// Lets nothing of a host through the switch. Its cable stays in, so that it does not notice.
    pub fn silence(&self, host: u8) {
        ip(&format!("-n {} link set port{host} nomaster", self.switch));
    }

    /// Lets everything through again.
    pub fn unsilence(&self, host: u8) {
        ip(&format!("-n {} link set port{host} master bridge0", self.switch));
    }

    /// Puts some hosts on a switch of their own: nothing goes between them and the others.
    pub fn split(&self, hosts: &[u8]) {
        let switch = &self.switch;
        ip(&format!("-n {switch} link add bridge1 type bridge"));
        ip(&format!("-n {switch} link set bridge1 up"));
        for host in hosts {
            ip(&format!("-n {switch} link set port{host} master bridge1"));
        }
    }

    /// Puts them back.
    pub fn unite(&self, hosts: &[u8]) {
        let switch = &self.switch;
        for host in hosts {
            ip(&format!("-n {switch} link set port{host} master bridge0"));
        }
        ip(&format!("-n {switch} link del bridge1"));
    }

    /// The namespace of a host, counted from 1.
    pub fn host(&self, number: u8) -> &str {
        &self.hosts[usize::from(number) - 1]
    }

    /// A command on a host.
    pub fn on(&self, host: u8, program: &str) -> Command {
        let mut command = within(self.host(host), program);
        by_itself(&mut command);
        command
    }

    /// Starts `tidings serve` on a host; [`Serving::ready`] waits for it.
    pub fn serve(&self, host: u8, secret: &str, arguments: &[&str]) -> Serving {
        self.serve_defined(host, secret, DEFINITIONS, arguments)
    }

    /// The same with other definitions.
    pub fn serve_defined(
        &self,
        host: u8,
        secret: &str,
        definitions: &str,
        arguments: &[&str],
    ) -> Serving {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        write_private(&place("secret"), secret);
        std::fs::write(place("definitions.yaml"), definitions).unwrap();
        let mut command = self.on(host, env!("CARGO_BIN_EXE_tidings"));
        command
            .args(["serve", "--until-stdin-closes", "--http", HTTP, "--data"])
            .arg(place("data"));
        command.arg("--secret-file").arg(place("secret"));
        command.arg("--definitions").arg(place("definitions.yaml"));
        command.arg("--ready-file").arg(place("ready.json")).args(arguments);
        let child = spawn(&mut command, directory.path());
        let host = self.host(host).to_owned();
        Serving { child, command, host, directory }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().chain([&self.switch]) {
            let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        }
    }
}

/// A command in a namespace.
pub fn within(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

/// A connection from within a namespace.
#[cfg(target_os = "linux")]
pub fn connect_within(namespace: &str, address: &str) -> std::io::Result<TcpStream> {
    use std::os::fd::AsFd as _;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    let connect = || {
        let namespace = std::fs::File::open(format!("/run/netns/{namespace}"))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpStream::connect(address)
    };
    // A socket stays where it was made, and so does the thread.
    std::thread::scope(|scope| scope.spawn(connect).join().unwrap())
}

#[cfg(not(target_os = "linux"))]
pub fn connect_within(_namespace: &str, _address: &str) -> std::io::Result<TcpStream> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The address of a host.
pub fn address(host: u8) -> String {
    format!("10.77.0.{host}")
}

/// A running peer on a host; killed when dropped.
pub struct Serving {
    child: Child,
    command: Command,
    host: String,
    directory: TempDir,
}

impl Serving {
    /// Waits until it serves, and gives what it says about itself.
    pub fn ready(&mut self) -> Value {
        let file = self.directory.path().join("ready.json");
        let text = wait_for("serving", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the peer ended with {status}: {}", self.log());
            }
            std::fs::read_to_string(&file).ok()
        });
        serde_json::from_str(&text).unwrap()
    }

    /// Kills it, without a word.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(self.directory.path().join("ready.json")).unwrap();
    }

    /// Starts it again, with its disk.
    pub fn restart(&mut self) {
        self.child = spawn(&mut self.command, self.directory.path());
        self.ready();
    }

    /// Runs a client verb on its host.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = within(&self.host, env!("CARGO_BIN_EXE_tidings"));
        command.args(arguments).args(["--http", HTTP]).stdin(Stdio::null()).output().unwrap()
    }

    /// What a client verb prints as JSON; `Null` when it fails.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        serde_json::from_slice(&self.run(&all).stdout).unwrap_or(Value::Null)
    }

    /// The ids of the peers it is connected to and holds for alive.
    pub fn connected(&self) -> Vec<String> {
        let listed = self.json(&["peers"]);
        let peers = listed.as_array().or_else(|| listed["peers"].as_array()).cloned();
        let alive = |peer: &Value| peer["connected"] == true && peer["state"] == "alive";
        let found = peers.unwrap_or_default().into_iter().filter(alive);
        found.filter_map(|peer| Some(peer["peer"].as_str()?.to_owned())).collect()
    }

    /// What it says of the only other peer: its state, and whether there is a connection.
    pub fn other(&self) -> Option<(String, bool)> {
        let listed = self.json(&["peers"]);
        let [peer] = listed.as_array()?.as_slice() else { return None };
        Some((peer["state"].as_str()?.to_owned(), peer["connected"].as_bool()?))
    }

    /// Every peer it lists at all, whatever the state.
    pub fn listed(&self) -> String {
        String::from_utf8(self.run(&["peers", "-o", "json"]).stdout).unwrap()
    }

    /// A counter of its status, 0 when it is not there.
    pub fn counter(&self, name: &str) -> u64 {
        self.json(&["status"])["counters"][name].as_u64().unwrap_or(0)
    }

    /// Resident memory in KiB and the number of open files.
    pub fn weight(&self) -> (u64, usize) {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = std::fs::read_to_string(process.join("status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib = resident.split_whitespace().next().unwrap().parse().unwrap();
        (kib, std::fs::read_dir(process.join("fd")).unwrap().count())
    }

    /// Whether the process still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Everything it said.
    pub fn log(&self) -> String {
        let mut said = String::new();
        if let Ok(mut file) = std::fs::File::open(self.directory.path().join("log")) {
            let _ = file.read_to_string(&mut said);
        }
        said
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut text = String::new();
            let _ = write!(text, "--- {} said:\n{}", self.host, self.log());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
    }
}

/// Whether namespaces can be made here, or why not.
fn possible() -> Result<(), String> {
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let name = format!("{NAME}{}-try", std::process::id());
    let run = |arguments: &[&str]| match Command::new("ip").args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("ip does not run: {error}")),
    };
    let _guard = ONE_BY_ONE.lock();
    let tried = run(&["netns", "add", &name])
        .and_then(|()| run(&["-n", &name, "link", "add", "bridge0", "type", "bridge"]));
    let _ = run(&["netns", "del", &name]);
    tried
}

/// Deletes what tests left behind whose process is gone.
fn sweep() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let Some(rest) = name.strip_prefix(NAME) else { continue };
        let process = rest.split('-').next().and_then(|id| id.parse::<u32>().ok());
        if process.is_some_and(|id| !PathBuf::from(format!("/proc/{id}")).exists()) {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn spawn(command: &mut Command, directory: &std::path::Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log"));
    // Should this process be killed, the pipe closes and the peer stops.
    command.stdin(Stdio::piped()).stderr(log.unwrap()).spawn().unwrap()
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
}

pub fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
