//! Eight peers, 300 databases, ten minutes: three are killed and restarted, the network is cut in two, two
//! peers are added, one is drained, and users write all the time, each at the peer of their host. In the
//! end every database has between `min` and `max` copies, and every acknowledged write is there.
//!
//! It takes some thirteen minutes and needs network namespaces, so it runs when it is asked for:
//! `TIDINGS_PLOT=docs/eight-peers.svg cargo test --test eight_peers -- --ignored --nocapture`
//! The variable names the file for a picture of the copies over time; without it there is none.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod eight;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use eight::plot::{Moment, plot};
use eight::user::{Acknowledged, Sample, now};
use support::lan::{Lan, Serving};
use support::{tell, wait_within};
use tidings_sim::random::Random;

const SECRET: &str = "the secret of the cluster under test";
/// Name, the least and the most copies.
const DEFINITIONS: [(&str, u64, u64); 5] =
    [("one", 1, 1), ("pair", 1, 2), ("few", 2, 3), ("some", 3, 5), ("all", 8, 8)];
const DATABASES: usize = 60;
const PEERS: u8 = 8;
const ADDED: [u8; 2] = [9, 10];
/// On the small side of the cut.
const CUT_OFF: [u8; 3] = [6, 7, 8];
const DRAINED: u8 = 2;
/// What happens when, in seconds after the users began.
const KILLED: u64 = 60;
const RESTARTED: u64 = 130;
const CUT: u64 = 210;
const HEALED: u64 = 300;
const GROWN: u64 = 400;
const DRAINS: u64 = 470;
const END: u64 = 600;
/// How long the copies may take to be as many as wanted, and everywhere the same.
const REST_WITHIN: Duration = Duration::from_mins(4);

fn yaml() -> String {
    let one = |(name, min, max): &(&str, u64, u64)| {
        format!(
            "- {{name: {name}, matcher: 'glob:{name}/*', replication: {{min: {min}, max: {max}}}}}\n"
        )
    };
    DEFINITIONS.iter().map(one).collect()
}

fn paths() -> Vec<String> {
    let of = |(name, ..): &(&str, u64, u64)| {
        let name = (*name).to_owned();
        (0..DATABASES).map(move |number| format!("{name}/{number}"))
    };
    DEFINITIONS.iter().flat_map(of).collect()
}

/// What a peer says of a database's copies: how many are live and active.
fn copies(peer: &Serving) -> BTreeMap<String, u64> {
    let listed = peer.json(&["databases"]);
    let databases = listed.as_array().or_else(|| listed["databases"].as_array()).cloned();
    let known = databases.unwrap_or_default();
    let copies = known.iter().filter_map(|database| {
        Some((database["path"].as_str()?.to_owned(), database["copies"].as_u64()?))
    });
    copies.collect()
}

/// The databases whose copies are too few or too many, as a peer sees it.
fn astray(peer: &Serving) -> Vec<String> {
    let copies = copies(peer);
    let mut astray = Vec::new();
    for path in paths() {
        let name = path.split('/').next().unwrap();
        let (_, min, max) = DEFINITIONS.iter().find(|(known, ..)| *known == name).unwrap();
        let have = copies.get(&path).copied().unwrap_or(0);
        if !(*min..=*max).contains(&have) {
            astray.push(format!("{path} has {have} copies"));
        }
    }
    astray
}

#[test]
#[ignore = "thirteen minutes; run by hand"]
fn eight_peers_keep_their_copies() {
    let Some(lan) = Lan::new(PEERS + ADDED.len() as u8) else { return };
    let serve = |host: u8| lan.serve_defined(host, SECRET, &yaml(), &[]);
    let mut peers: BTreeMap<u8, Serving> = (1..=PEERS).map(|host| (host, serve(host))).collect();
    for peer in peers.values_mut() {
        peer.ready();
    }
    for peer in peers.values() {
        wait_within(Duration::from_secs(30), "a full mesh", || {
            (peer.connected().len() + 1 == usize::from(PEERS)).then_some(())
        });
    }
    // Every database is written to once before the users begin.
    for (number, path) in paths().iter().enumerate() {
        let host = number as u8 % PEERS + 1;
        let output = peers[&host].run(&["put", path, "first", "value"]);
        assert!(output.status.success(), "{output:?}");
    }
    wait_within(Duration::from_mins(1), "all copies", || {
        astray(&peers[&1]).is_empty().then_some(())
    });

    let meeting = tempfile::tempdir().unwrap();
    let began = now();
    let mut users = BTreeMap::new();
    let start = |host: u8| eight::user::start(&lan, host, meeting.path(), began, END, &paths());
    for host in 1..=PEERS {
        users.insert(host, start(host));
    }
    let until = |second: u64| eight::user::until(began + second * 1_000);
    let mut random = Random::new(support::trio::seed("TIDINGS_EIGHT_SEED"), "eight peers");
    // The first peer draws the picture, and stays.
    let mut killed = BTreeSet::new();
    while killed.len() < 3 {
        killed.insert(2 + random.index(usize::from(PEERS) - 1) as u8);
    }
    until(KILLED);
    tell(&format!("kills the peers {killed:?}"));
    for host in &killed {
        peers.get_mut(host).unwrap().kill();
    }
    until(RESTARTED - 5);
    let verdict = peers[&1].json(&["status", "all/0"])["verdict"].to_string();
    assert!(verdict.contains("under-replicated"), "{verdict}");
    until(RESTARTED);
    for host in &killed {
        peers.get_mut(host).unwrap().restart();
    }
    until(CUT);
    tell("cuts the network in two");
    lan.split(&CUT_OFF);
    until(HEALED);
    lan.unite(&CUT_OFF);
    until(GROWN);
    tell("adds two peers");
    for host in ADDED {
        let mut peer = serve(host);
        peer.ready();
        peers.insert(host, peer);
        users.insert(host, start(host));
    }
    until(DRAINS);
    tell("drains a peer");
    let output = peers[&DRAINED].run(&["drain", "--no-wait"]);
    assert!(output.status.success(), "{output:?}");
    until(END);
    for (_, mut user) in users {
        assert!(user.wait().unwrap().success());
    }
    tell("the users are done");
    let drained = || peers[&DRAINED].json(&["status"])["databases_held"].as_u64();
    let mut last = Vec::new();
    let rest = support::found_within(REST_WITHIN, || {
        last = astray(&peers[&1]);
        (last.is_empty() && drained() == Some(0)).then(|| now() - began - END * 1_000)
    });
    let Some(rest) = rest else {
        panic!("not at rest: the drained peer holds {:?}; {last:?}", drained());
    };
    tell(&format!("at rest {:.1} s after the last write", rest as f64 / 1e3));

    let mut samples: Vec<Sample> = Vec::new();
    let mut acknowledged = Acknowledged::default();
    for host in (1..=PEERS).chain(ADDED) {
        let seen = eight::user::seen(meeting.path(), host);
        if host == 1 {
            samples = seen.samples;
        }
        acknowledged.add(seen.acknowledged);
    }
    tell(&format!(
        "{} writes were acknowledged, {} were not",
        acknowledged.keys, acknowledged.failed
    ));
    assert!(acknowledged.keys > 10_000, "the users hardly wrote");
    if let Ok(file) = std::env::var("TIDINGS_PLOT") {
        let moments = [
            Moment::new("three killed", KILLED, RESTARTED),
            Moment::new("cut in two", CUT, HEALED),
            Moment::new("two more", GROWN, GROWN),
            Moment::new("one drains", DRAINS, DRAINS),
        ];
        std::fs::write(file, plot(&DEFINITIONS, &samples, &moments, END)).unwrap();
    }
    let mut missing = Vec::new();
    for (path, keys) in &acknowledged.by_path {
        for reader in [1, 8] {
            let here = eight::user::keys(&peers[&reader], path);
            missing.extend(
                keys.iter()
                    .filter(|key| !here.contains(*key))
                    .map(|key| format!("{key} of {path} at the peer {reader}")),
            );
        }
    }
    assert!(
        missing.is_empty(),
        "{} writes are lost: {:?}",
        missing.len(),
        &missing[..20.min(missing.len())]
    );
    let verdict = peers[&1].json(&["status"])["verdict"].to_string();
    assert!(verdict.contains("all is well"), "{verdict}");
}

/// The users are this test under another name, on the hosts of their peers.
#[test]
fn a_user() {
    eight::user::run_if_asked();
}
