//! Peers that find each other by mDNS, each in a network namespace of its own on one bridge.
//!
//! Needs root and `ip`, so it is asked for by name: `cargo test --test net_mdns -- --ignored
//! peers_on_a_bridge`. Everything it creates lies in namespaces that it deletes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![allow(
    clippy::print_stdout,
    reason = "figures and the lines of other processes are for a reader"
)]

mod net_support;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use libp2p::identity::Keypair;
use net_support::Memory;
use tidings::net::{BACKOFF_LONGEST, Network, NetworkConfig, SILENCE_LIMIT};

/// Says to a process of this test that it is one of the peers.
const PEER: &str = "TIDINGS_TEST_PEER";

/// The process of one peer: prints how many others are connected whenever that changes, until its
/// input ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by peers_on_a_bridge"]
async fn one_peer() {
    if std::env::var_os(PEER).is_none() {
        return;
    }
    let told = Arc::new(Memory::default());
    let config = NetworkConfig {
        keypair: Keypair::generate_ed25519(),
        cluster_key: [7; 32],
        listen: ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"]
            .map(|address| address.parse().unwrap())
            .to_vec(),
        bootstrap: vec![],
        mdns: true,
    };
    let network = Network::start(config, told.clone()).await.unwrap();
    println!("started {:?}", network.listen_addresses());
    let watching = tokio::spawn(async move {
        let mut connected = 0;
        loop {
            told.forever(|told| told.connected.len() != connected).await;
            connected = told.state.lock().unwrap().connected.len();
            println!("connected {connected}.");
        }
    });
    let input_ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let _ = input_ended.await;
    watching.abort();
    network.shutdown().await;
}

/// A set of namespaces around one bridge, deleted when dropped.
struct Bridge {
    prefix: String,
    namespaces: Vec<String>,
}

impl Bridge {
    fn new() -> Self {
        let prefix = format!("tidings-{}", std::process::id());
        let hub = format!("{prefix}-hub");
        ip(&["netns", "add", &hub]);
        ip(&["-n", &hub, "link", "add", "bridge0", "type", "bridge", "mcast_snooping", "0"]);
        ip(&["-n", &hub, "link", "set", "bridge0", "up"]);
        Self { prefix, namespaces: vec![hub] }
    }

    /// A namespace with one interface on the bridge, down and without address.
    fn add(&mut self) -> usize {
        let n = self.namespaces.len();
        let namespace = format!("{}-{n}", self.prefix);
        let (hub, port) = (self.namespaces[0].clone(), format!("port{n}"));
        ip(&["netns", "add", &namespace]);
        self.namespaces.push(namespace.clone());
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        ip(&[
            "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns",
            &namespace,
        ]);
        ip(&["-n", &hub, "link", "set", &port, "master", "bridge0", "up"]);
        n
    }

    fn up(&self, n: usize) {
        let namespace = &self.namespaces[n];
        ip(&["-n", namespace, "addr", "add", &format!("10.213.0.{n}/24"), "dev", "eth0"]);
        ip(&["-n", namespace, "link", "set", "eth0", "up"]);
    }

    /// Pulls the far end of an interface's cable, or puts it back.
    fn cable(&self, n: usize, state: &str) {
        ip(&["-n", &self.namespaces[0], "link", "set", &format!("port{n}"), state]);
    }

    fn run(&self, n: usize) -> Process {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.namespaces[n]])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "one_peer", "--nocapture"])
            .env(PEER, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                println!("{n}: {line}");
                let _ = sender.send(line);
            }
        });
        Process { input: child.stdin.take(), child, lines }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Process {
    fn until(&self, what: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            assert!(line.is_ok(), "waited in vain for {what:?}");
            if line.is_ok_and(|line| line.contains(what)) {
                return;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}

/// Five peers find each other within five seconds; a sixth, whose interface gets its address only
/// after the peer has started, within five seconds from then. A link that dies without a word is
/// noticed on both sides, and used again when it is back.
#[test]
#[ignore = "needs root"]
fn peers_on_a_bridge() {
    let mut bridge = Bridge::new();
    let members: Vec<usize> = (0..6).map(|_| bridge.add()).collect();
    let late = members[5];
    let limit = Duration::from_secs(5);
    for n in &members[..5] {
        bridge.up(*n);
    }
    let processes: Vec<Process> = members[..5].iter().map(|n| bridge.run(*n)).collect();
    for process in &processes {
        process.until("started", limit);
    }
    let begin = Instant::now();
    for process in &processes {
        process.until("connected 4.", limit.saturating_sub(begin.elapsed()));
    }
    println!("five peers met within {:?}", begin.elapsed());

    let sixth = bridge.run(late);
    sixth.until("started", limit);
    bridge.up(late);
    let begin = Instant::now();
    sixth.until("connected 5.", limit);
    println!("the late one met all within {:?}", begin.elapsed());

    // A cable is pulled: nothing says so but silence. When it is back, so is the peer.
    for process in &processes {
        process.until("connected 5.", limit);
    }
    bridge.cable(late, "down");
    let begin = Instant::now();
    for process in &processes {
        process.until("connected 4.", SILENCE_LIMIT + limit);
    }
    sixth.until("connected 0.", SILENCE_LIMIT + limit);
    println!("the silence was noticed after {:?}", begin.elapsed());
    bridge.cable(late, "up");
    let begin = Instant::now();
    sixth.until("connected 5.", BACKOFF_LONGEST);
    println!("all were back after {:?}", begin.elapsed());
}
