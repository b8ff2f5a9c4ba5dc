//! Whole peers on a network of their own: real sockets, real multicast, real strangers. Each test
//! builds a switch and hosts from network namespaces; where that is not possible, it says loudly
//! that it is skipped (and fails if `TIDINGS_NAMESPACES=required`).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::lan::{Lan, Serving, address};
use support::{code, said, wait_for};

/// Peers in the cluster.
const PEERS: u8 = 5;
/// How long they may take to find each other once all of them serve.
const DISCOVERY: Duration = Duration::from_secs(5);
const SECRET: &str = "the secret of the cluster under test";
/// The port for peers where a test needs to know it.
const PORT: u16 = 4077;

/// Starts a peer on each of the first hosts and waits until all serve; gives their ids.
fn cluster(lan: &Lan, arguments: impl Fn(u8) -> Vec<String>) -> (Vec<Serving>, Vec<String>) {
    let mut peers: Vec<_> = (1..=PEERS)
        .map(|host| {
            let arguments = arguments(host);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            lan.serve(host, SECRET, &arguments)
        })
        .collect();
    let ids = peers.iter_mut().map(|peer| peer.ready()["peer"].as_str().unwrap().to_owned());
    let ids = ids.collect();
    (peers, ids)
}

/// Waits until everyone is connected to everyone else, and to nobody besides; gives how long.
fn mesh(peers: &[Serving], ids: &[String]) -> Duration {
    let started = Instant::now();
    for (peer, own) in peers.iter().zip(ids) {
        let mut others: Vec<_> = ids.iter().filter(|id| *id != own).cloned().collect();
        others.sort();
        wait_for("a full mesh", || {
            let mut connected = peer.connected();
            connected.sort();
            (connected == others).then_some(())
        });
    }
    started.elapsed()
}

/// Writes through one peer and reads through every other.
fn data_flows(peers: &[Serving], key: &str) {
    for (from, peer) in peers.iter().enumerate() {
        let value = format!("{key} from {from}");
        let key = format!("{key}-{from}");
        let put = peer.run(&["put", "data/shared", &key, &value]);
        assert_eq!(code(&put), 0, "{}", said(&put));
        for other in peers {
            wait_for("the value at every peer", || {
                let got = other.run(&["get", "data/shared", &key]);
                (code(&got) == 0 && got.stdout == value.as_bytes()).then_some(())
            });
        }
    }
}

fn listening(host: u8) -> Vec<String> {
    vec!["--no-mdns".into(), "--listen".into(), format!("/ip4/{}/tcp/{PORT}", address(host))]
}

fn known(host: u8) -> [String; 2] {
    ["--peer".into(), format!("/ip4/{}/tcp/{PORT}", address(host))]
}

/// What a peer says of where it listens is all of it: others are told to look there.
#[test]
fn all_addresses_are_told() {
    let Some(lan) = Lan::new(1) else { return };
    for number in 100..140 {
        let address = format!("{}/24", address(number));
        let added = lan.on(1, "ip").args(["addr", "add", &address, "dev", "eth0"]).output();
        assert!(added.unwrap().status.success());
    }
    for _ in 0..10 {
        let mut peer = lan.serve(1, SECRET, &["--no-mdns"]);
        let ready = peer.ready();
        let told = ready["listen"].as_array().unwrap();
        for carrier in ["tcp", "udp"] {
            for number in (100..140).chain([1]) {
                let start = format!("/ip4/{}/{carrier}/", address(number));
                let found = told.iter().any(|told| told.as_str().unwrap().starts_with(&start));
                assert!(found, "nothing starts with {start}: {ready}");
            }
        }
    }
}

/// Five peers that are told nothing but the secret find each other by mDNS within five seconds.
#[test]
fn peers_find_each_other_by_mdns() {
    let Some(lan) = Lan::new(PEERS) else { return };
    let (peers, ids) = cluster(&lan, |_| Vec::new());
    let took = mesh(&peers, &ids);
    assert!(took < DISCOVERY, "the mesh took {took:?}");
    data_flows(&peers, "mdns");
}

/// Without mDNS, the address of one peer is enough to find all.
#[test]
fn one_address_is_enough() {
    let Some(lan) = Lan::new(PEERS) else { return };
    let (peers, ids) = cluster(&lan, |host| {
        let mut arguments = listening(host);
        if host > 1 {
            arguments.extend(known(1));
        }
        arguments
    });
    let took = mesh(&peers, &ids);
    assert!(took < DISCOVERY, "the mesh took {took:?}");
    data_flows(&peers, "bootstrap");
}

/// A peer with another secret, on the same network, with mDNS and the address of a member: it is
/// turned away, lists nobody, is listed by nobody, and no data reaches it or comes from it.
#[test]
fn another_secret_shares_nothing() {
    let Some(lan) = Lan::new(PEERS + 1) else { return };
    let (peers, ids) = cluster(&lan, |host| {
        let mut arguments = listening(host);
        arguments.remove(0);
        if host > 1 {
            arguments.extend(known(1));
        }
        arguments
    });
    let to_member = known(1);
    let mut stranger =
        lan.serve(PEERS + 1, "quite another secret", &[&to_member[0], &to_member[1]]);
    let stranger_id = stranger.ready()["peer"].as_str().unwrap().to_owned();
    mesh(&peers, &ids);
    data_flows(&peers, "private");
    let put = stranger.run(&["put", "data/shared", "strange", "value"]);
    assert_eq!(code(&put), 0, "{}", said(&put));
    // They have met, and more than once. Its own counter shows it: it has no friends whose dials
    // could have crossed its own.
    wait_for("the stranger being turned away", || {
        (stranger.counter("authentication_failures") >= 3).then_some(())
    });
    data_flows(&peers, "later");

    assert_eq!(stranger.connected(), Vec::<String>::new());
    let listed = stranger.listed();
    assert!(ids.iter().all(|id| !listed.contains(id)), "the stranger lists {listed}");
    for key in ["private-0", "later-4"] {
        assert_eq!(code(&stranger.run(&["get", "data/shared", key])), 1, "{key} reached it");
    }
    for peer in &peers {
        let listed = peer.listed();
        assert!(!listed.contains(&stranger_id), "the stranger is listed: {listed}");
        assert_eq!(code(&peer.run(&["get", "data/shared", "strange"])), 1, "its data came in");
    }
    assert_eq!(peers[0].connected().len(), usize::from(PEERS) - 1);
}

/// Garbage, HTTP, half a handshake and a flood of connections at a peer's port: the cluster goes on
/// serving meanwhile, and afterwards nothing is lost or kept.
#[test]
fn vandals_do_no_harm() {
    let Some(lan) = Lan::new(PEERS + 1) else { return };
    let (mut peers, ids) = cluster(&lan, |host| {
        let mut arguments = listening(host);
        if host > 1 {
            arguments.extend(known(1));
        }
        arguments
    });
    mesh(&peers, &ids);
    data_flows(&peers, "before");
    let (memory, files) = peers[0].weight();

    let program = std::env::current_exe().unwrap();
    let mut command = lan.on(PEERS + 1, program.to_str().unwrap());
    command.args(["vandal", "--exact", "--ignored", "--nocapture"]);
    let target = format!("{}:{PORT}", address(1));
    let mut vandal = command.env("VANDALISE", target).spawn().unwrap();
    let mut rounds = 0;
    while vandal.try_wait().unwrap().is_none() {
        data_flows(&peers, &format!("during-{rounds}"));
        rounds += 1;
    }
    let ended = vandal.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    assert!(rounds > 0, "the vandal was done before anything could be tried");

    assert!(peers[0].runs());
    mesh(&peers, &ids);
    data_flows(&peers, "after");
    assert!(!peers[0].log().contains("panicked"), "{}", peers[0].log());
    let (now, _) = peers[0].weight();
    assert!(now < memory + 128 * 1024, "resident memory went from {memory} to {now} KiB");
    wait_for("the connections being closed", || (peers[0].weight().1 < files + 50).then_some(()));
}

/// The vandal, run on a host of its own by the test above.
#[test]
#[ignore = "started by `vandals_do_no_harm` in a namespace"]
fn vandal() {
    let Ok(target) = std::env::var("VANDALISE") else { return };
    let target: SocketAddr = target.parse().unwrap();
    let connect = || TcpStream::connect_timeout(&target, Duration::from_secs(2));
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()
    };
    let http = b"GET /v1/peers HTTP/1.1\r\nHost: x\r\n\r\n";
    let hello = b"\x13/multistream/1.0.0\n";
    for round in 0..200 {
        // A peer that is flooded may turn a connection away, or drop it in the middle.
        let Ok(mut stream) = connect() else { continue };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
        let _ = match round % 5 {
            0 => stream.write_all(http),
            1 => stream.write_all(hello),
            2 => stream.write_all(hello).and_then(|()| stream.write_all(b"\x07/noise\n")),
            3 => stream.write_all(&vec![0xff; 70_000]),
            _ => (0..5000).try_for_each(|_| stream.write_all(&random())),
        };
        if round % 2 == 0 {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = stream.read(&mut [0; 1024]);
        }
    }
    // Many at once, all of which say nothing, then many that come and go.
    let held: Vec<_> = (0..1500).map_while(|_| connect().ok()).collect();
    for _ in 0..3000 {
        let _ = connect();
    }
    assert!(held.len() > 200, "only {} connections came about", held.len());
}
