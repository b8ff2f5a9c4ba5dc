//! What a healed network costs. Two peers are cut off from each other, both go on writing, and when
//! the cable is back each gets what it misses once: one pull in each direction, hardly more bytes
//! than the records have, and soon.
//!
//! Needs network namespaces; where there are none, it says loudly that it is skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::lan::{Lan, Serving, address};
use support::{code, file, found_within, said, tell, wait_within};

const SECRET: &str = "the secret of the cluster under test";
const PORT: u16 = 4077;
const PATH: &str = "data/cut";
/// Records that both have before the cut.
const SHARED: usize = 1_000;
/// Records that each side writes behind the cut.
const APART: usize = 10_000;
const VALUE_BYTES: usize = 100;
/// Bytes that a record takes on the wire beside its key and its value: dot, stamp, lengths. The same
/// as the protocol reckons with.
const RECORD_BYTES: usize = 24;
/// What may be sent beside the records: a quarter of their bytes, and this.
const SLACK: usize = 4096;
/// How long until both sides know that the other one is gone, and until all is well again.
const NOTICE: Duration = Duration::from_mins(1);
const HEALING: Duration = Duration::from_mins(1);

/// Writes records through a peer, and gives the bytes they should take on the wire.
fn write(peer: &Serving, name: &str, records: usize) -> usize {
    let value = "v".repeat(VALUE_BYTES);
    let mut lines = String::new();
    let mut bytes = 0;
    for number in 0..records {
        let key = format!("{name}/{number:06}");
        bytes += key.len() + value.len() + RECORD_BYTES;
        lines += &json!({ "key": key, "value": value }).to_string();
        lines.push('\n');
    }
    let directory = tempfile::tempdir().unwrap();
    let output = peer.run(&["import", PATH, &file(directory.path(), "lines", lines)]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    bytes
}

fn status(peer: &Serving) -> Value {
    peer.json(&["status", PATH])
}

fn counters(peer: &Serving) -> BTreeMap<String, u64> {
    serde_json::from_value(peer.json(&["status"])["counters"].clone()).unwrap()
}

/// How much each counter rose.
fn risen(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let by = |name: &String| after[name] - before.get(name).unwrap_or(&0);
    after.keys().map(|name| (name.clone(), by(name))).filter(|(_, by)| *by > 0).collect()
}

/// Two peers with a shared base that were cut off from each other until each says this of the other:
/// its state, and whether there is a connection.
struct Apart {
    lan: Lan,
    peers: [Serving; 2],
}

impl Apart {
    fn new(until: &(String, bool)) -> Option<Self> {
        let lan = Lan::new(2)?;
        let listen = |host| format!("/ip4/{}/tcp/{PORT}", address(host));
        let mut peers = [1, 2].map(|host: u8| {
            let arguments = ["--no-mdns", "--listen", &listen(host), "--peer", &listen(3 - host)];
            lan.serve(host, SECRET, &arguments)
        });
        for peer in &mut peers {
            peer.ready();
        }
        let apart = Self { lan, peers };
        apart.wait_until(NOTICE, &("alive".to_owned(), true));
        write(&apart.peers[0], "shared", SHARED);
        wait_within(NOTICE, "a shared base", || apart.agree(SHARED).then_some(()));
        // Both look after each other by now, which two that have just met may not do yet.
        for _ in 0..2 {
            let heard = || apart.peers.each_ref().map(|p| p.counter("probe_bytes_received"));
            let before = heard();
            wait_within(NOTICE, "probes", || {
                heard().iter().zip(before).all(|(now, before)| *now > before).then_some(())
            });
        }
        apart.lan.cut(2);
        let noticed = apart.wait_until(NOTICE, until);
        tell(&format!("heal: {until:?} {noticed:?} after the cut"));
        Some(apart)
    }

    fn wait_until(&self, deadline: Duration, state: &(String, bool)) -> Duration {
        let started = Instant::now();
        let mut last = [None, None];
        let found = found_within(deadline, || {
            last = self.peers.each_ref().map(Serving::other);
            last.iter().all(|other| other.as_ref() == Some(state)).then_some(())
        });
        assert!(found.is_some(), "not {state:?} at both within {deadline:?}, but {last:?}");
        started.elapsed()
    }

    /// Whether both copies are the same and have this many entries.
    fn agree(&self, entries: usize) -> bool {
        let [one, two] = self.peers.each_ref().map(status);
        one["entries"] == entries
            && one["peer"] != two["peer"]
            && ["digest", "vector", "entries"].iter().all(|name| one[name] == two[name])
    }

    /// Writes on both sides, heals the network, waits for agreement, and checks what it cost. Gives
    /// how the counters of each side rose.
    fn heal(&self) -> [BTreeMap<String, u64>; 2] {
        let before_writes = self.peers.each_ref().map(counters);
        let missed = [write(&self.peers[0], "left", APART), write(&self.peers[1], "right", APART)];
        let entries = self.peers.each_ref().map(|peer| status(peer)["entries"].clone());
        assert_eq!(entries, [json!(SHARED + APART), json!(SHARED + APART)]);
        let before = self.peers.each_ref().map(counters);

        self.lan.heal(2);
        let started = Instant::now();
        let all = SHARED + 2 * APART;
        let healed = found_within(HEALING, || self.agree(all).then(|| started.elapsed()));
        let after = self.peers.each_ref().map(counters);
        let while_cut = [0, 1].map(|side| risen(&before_writes[side], &before[side]));
        let costs = [0, 1].map(|side| risen(&before_writes[side], &after[side]));
        let Some(healed) = healed else {
            let said = self.peers.each_ref().map(status);
            panic!("no agreement within {HEALING:?}: {said:?}; {costs:#?}");
        };
        let sent = costs.each_ref().map(|cost| cost["frame_bytes_sent"] as usize);
        tell(&format!(
            "heal: agreement {healed:?} after the cable was back; bytes sent {sent:?} for records \
             of {missed:?}; counters from before the writes until the cable was back: \
             {while_cut:?}, until agreement: {costs:?}"
        ));
        for (sent, missed) in sent.into_iter().zip(missed) {
            let bound = missed + missed / 4 + SLACK;
            assert!(sent <= bound, "{sent} bytes were sent, {bound} are allowed: {costs:#?}");
        }
        costs
    }
}

/// Each side lost its connection before it wrote: every record is pulled once, none is pushed, and no
/// more bytes travel than the records need.
#[test]
fn a_healed_cut_costs_what_was_missed() {
    let Some(apart) = Apart::new(&("down".to_owned(), false)) else { return };
    let costs = apart.heal();
    for cost in &costs {
        assert_eq!(cost["records_pulled"], APART as u64, "{costs:#?}");
        assert_eq!(cost["records_answered"], APART as u64, "{costs:#?}");
        assert_eq!(cost["pulls"], 1, "one exchange for the pair: {costs:#?}");
        assert_eq!(cost.get("records_pushed"), None, "pushed as well as pulled: {costs:#?}");
    }
}

/// The cable is back before the connection is given up, but after each side took the other for dead:
/// what was written meanwhile waited in the connection, and arrives once.
#[test]
fn a_short_cut_costs_no_more() {
    let Some(apart) = Apart::new(&("down".to_owned(), true)) else { return };
    let costs = apart.heal();
    for cost in &costs {
        let got = ["records_pulled", "records_received"].map(|name| cost.get(name).unwrap_or(&0));
        assert_eq!(got[0] + got[1], APART as u64, "{costs:#?}");
    }
}

/// Two peers that took each other for dead are alive to each other again, whether their connection
/// outlived the cut or is a new one.
#[test]
fn the_dead_are_alive_again() {
    for connected in [true, false] {
        let Some(apart) = Apart::new(&("down".to_owned(), connected)) else { return };
        apart.lan.heal(2);
        let took = apart.wait_until(HEALING, &("alive".to_owned(), true));
        tell(&format!("heal: alive again {took:?} after the cable was back"));
    }
}
