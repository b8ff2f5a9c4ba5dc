//! The formats: every stored row and every message has exactly the bytes it had before, and hostile
//! bytes are refused without a panic.
//!
//! A golden line that differs means that a peer of yesterday cannot read what a peer of today writes.
//! Where that is meant, raise `FORMAT_VERSION` and put the printed lines in place of the old ones.

#![allow(clippy::unwrap_used, reason = "a test's helpers too may panic")]

mod common;
mod samples;

use std::ops::Bound;

use proptest::prelude::*;
use tidings_core::backup::Origin;
use tidings_core::clock::Now;
use tidings_core::definition::{Definition, Durability};
use tidings_core::error::Error;
use tidings_core::filter::Pattern;
use tidings_core::ident::{DatabaseId, Epoch, PeerId, hex};
use tidings_core::interval::Interval;
use tidings_core::message::{
    Change, Condition, Cut, KeyspacesRequest, Message, Operation, PageRequest, Range, RangeSum,
    Refusal, Reply, Span, Write, Written,
};
use tidings_core::name::Path;
use tidings_core::node::{Config, Input, Node, Output, Submission};
use tidings_core::outline::Outline;
use tidings_core::record::{Payload, Record};
use tidings_core::replica::{Base, Counts, State, StateRow};
use tidings_core::rows::{Interned, stored_key};
use tidings_core::stamp::{Dot, Time, Version};
use tidings_core::store::{MemoryStore, Read, Space};
use tidings_core::vector::Vector;
use tidings_core::wire;

use samples::{E, INTERVAL, TARGET, identity, position, record, sent, status, vector};

/// Every message, and every variant inside one.
fn messages() -> Vec<(String, Message)> {
    let page = PageRequest {
        start: Bound::Included(b"\0a".to_vec()),
        end: Bound::Excluded(b"\0b".to_vec()),
        limit: 9,
        reverse: true,
        keys_only: true,
        filter: Some(Pattern::Glob("a*".into())),
        budget: 10,
    };
    let key = stored_key(b"key");
    let set = Change::Set(Payload::Value(b"v".to_vec(), None));
    let writes = [set, Change::Add(-5), Change::Expire(Some(70_000))];
    let writes = writes.map(|change| Write { key: key.clone(), change }).to_vec();
    let cut = Cut {
        vector: vector(),
        lacks: Some(vec![E]),
        pending: vec![INTERVAL],
        floor: Vector::default(),
        newest_collected: Time(11),
        digest: u128::MAX - 1,
        whole: true,
        lost: vec![INTERVAL],
        found: vec![Interval { epoch: Epoch(1), from: 0, upto: 1 }],
        complete: true,
    };
    let version = Version { time: Time(12), dot: Dot { epoch: E, sequence: 13 } };
    let plain = vec![
        ("hello", Message::Hello { identity: identity(), epoch: E, protocol: 1, features: 0 }),
        ("stale", Message::Stale { incarnation: 5 }),
        ("fragment", Message::Fragment { message: 1, index: 2, last: true, bytes: vec![7; 3] }),
        (
            "push",
            Message::Push {
                target: TARGET,
                interval: INTERVAL,
                records: vec![sent()],
                durability: Durability::Synced,
                unreached: vec![PeerId([2; 32])],
            },
        ),
        (
            "offer",
            Message::Offer { target: TARGET, epoch: E, upto: 300, durability: Durability::Synced },
        ),
        (
            "acknowledge",
            Message::Acknowledge {
                target: TARGET,
                epoch: E,
                upto: 300,
                durability: Durability::Buffered,
            },
        ),
        (
            "pull",
            Message::Pull {
                target: TARGET,
                session: 1,
                vector: Outline::All(vector()),
                floor: None,
                digest: 2,
                whole: true,
                lost: vec![INTERVAL],
            },
        ),
        (
            "pull-outline",
            Message::Pull {
                target: TARGET,
                session: 1,
                vector: Outline::Part { named: vector(), others: 300, sum: 5 },
                floor: Some(6),
                digest: 2,
                whole: true,
                lost: vec![],
            },
        ),
        (
            "chunk",
            Message::Chunk {
                target: TARGET,
                session: 1,
                index: 2,
                records: vec![(E, vec![sent()])],
                cut: Some(cut),
                span: Some(Span { upto: Some(vec![0, 9]), present: vec![(vec![0, 1], 7)] }),
            },
        ),
        ("credit", Message::Credit { session: 1 }),
        ("summary", Message::Summary { system: 1, user: u64::MAX, answer: true }),
        (
            "ranges",
            Message::Ranges(vec![RangeSum { range: Range { bits: 4, prefix: 1 << 60 }, sum: 5 }]),
        ),
        ("items", Message::Items { items: vec![(DatabaseId([3; 16]), 4)] }),
        ("buckets", Message::Buckets { target: TARGET, vector: vector(), sums: vec![1, 2, 300] }),
        (
            "bucket-rows",
            Message::BucketRows {
                target: TARGET,
                buckets: [5; 32],
                start: vec![],
                end: Some(vec![1]),
                rows: vec![(vec![0, 1], 2)],
            },
        ),
        ("bucket-next", Message::BucketNext { target: TARGET, buckets: [5; 32], start: vec![1] }),
        (
            "repair",
            Message::Repair {
                target: TARGET,
                vector: vector(),
                rows: vec![(stored_key(b"key"), record())],
                wanted: vec![vec![0, 1]],
            },
        ),
        (
            "changes",
            Message::Changes {
                request: 1,
                index: 2,
                changes: vec![(vec![0], record())],
                position: Some(position()),
            },
        ),
        ("unwatch", Message::Unwatch { request: 1 }),
        ("bye", Message::Bye),
        ("ask-epoch", Message::AskEpoch { asked: 70_000 }),
        ("tell-epoch", Message::TellEpoch { asked: 70_000, epoch: E }),
        ("ask-share", Message::AskShare { target: TARGET, asked: 1, keep: 70_000 }),
        (
            "tell-share",
            Message::TellShare {
                target: TARGET,
                asked: 1,
                most: 70_000,
                vector: vector(),
                lost: vec![INTERVAL],
            },
        ),
        (
            "ask-leave",
            Message::AskLeave { target: TARGET, asked: 1, vector: vector(), lost: vec![INTERVAL] },
        ),
        ("stay", Message::Stay { target: TARGET, asked: 1 }),
        ("ask-durable", Message::AskDurable { target: TARGET, asked: 1 }),
        (
            "tell-durable",
            Message::TellDurable {
                target: TARGET,
                asked: 1,
                vector: vector(),
                lost: vec![INTERVAL],
            },
        ),
        (
            "ask-deleted",
            Message::AskDeleted {
                target: TARGET,
                asked: 1,
                floor: vector(),
                rows: vec![(stored_key(b"key"), Dot { epoch: E, sequence: 300 })],
            },
        ),
        (
            "tell-deleted",
            Message::TellDeleted { target: TARGET, asked: 1, deleted: vec![Some(true), None] },
        ),
        ("cloned", Message::Cloned { epoch: E }),
    ];
    let refusals = [Refusal::NotHolder, Refusal::Generation(2), Refusal::Busy, Refusal::Outline];
    let operations = [
        Operation::Get { keys: vec![vec![0, 1]], least: Some(version.dot) },
        Operation::Page(page),
        Operation::Write {
            writes,
            durability: Durability::Synced,
            acks: 2,
            timeout: 3,
            condition: Some(Condition::Version(version)),
            generation: 4,
        },
        Operation::Status,
        Operation::Invite,
        Operation::Watch { prefix: vec![0], after: None },
        Operation::Watch { prefix: vec![0], after: Some(position()) },
        Operation::Keyspaces(KeyspacesRequest { start: vec![1, 97], limit: 9 }),
    ];
    let replies = [
        Ok(Reply::Got(vec![None, Some(record())])),
        Ok(Reply::Page(vec![(vec![0, 1], record())], Some(vec![0, 2]))),
        Ok(Reply::Written(vec![Written { version, value: Some(-7) }])),
        Ok(Reply::Status(status().into())),
        Ok(Reply::Done),
        Ok(Reply::Behind),
        Ok(Reply::Watching(vec![(vec![0, 1], record())], position())),
        Ok(Reply::Keyspaces(vec!["k".into()], Some(vec![1, 98]))),
        Err(Error::KeyLength { length: 0 }),
        Err(Error::ValueLength { length: 1 }),
        Err(Error::BatchTooLarge { writes: 1, bytes: 2 }),
        Err(Error::BadPath { path: "p".into(), why: "w".into() }),
        Err(Error::NoMatch { path: "p".into(), nearest: vec!["n".into()] }),
        Err(Error::BadDefinition { name: "n".into(), why: "w".into() }),
        Err(Error::BadArgument("a".into())),
        Err(Error::Unavailable { path: "p".into(), why: "w".into() }),
        Err(Error::OutcomeUnknown { path: "p".into(), why: "w".into() }),
        Err(Error::UnderReplicated { have: 1, want: 2 }),
        Err(Error::NoSpace { used: 1, limit: 2, need: 3 }),
        Err(Error::ConditionFailed("c".into())),
        Err(Error::NotACounter { key: "k".into(), why: "w".into() }),
        Err(Error::ClockSkew { offset_ms: -1, bound_ms: 2 }),
        Err(Error::Cloned),
        Err(Error::TimedOut(1)),
        Err(Error::Closed("c".into())),
        Err(Error::Lagged),
        Err(Error::Storage("s".into())),
        Err(Error::Start("s".into())),
        Err(Error::Internal("i".into())),
    ];
    let mut all: Vec<(String, Message)> =
        plain.into_iter().map(|(name, message)| (name.to_string(), message)).collect();
    for why in refusals {
        all.push((format!("refuse {why:?}"), Message::Refuse { target: TARGET, session: 1, why }));
    }
    for operation in operations {
        let name = format!("{operation:?}");
        let name = name.split([' ', '(']).next().unwrap().to_string();
        let request = Message::Request { request: 1, path: "a/b".into(), operation, again: None };
        all.push((format!("request {name}"), request));
    }
    for result in replies {
        let name = match &result {
            Ok(reply) => format!("{reply:?}").split(['(']).next().unwrap().to_string(),
            Err(error) => error.code().to_string(),
        };
        all.push((format!("response {name}"), Message::Response { request: 1, result }));
    }
    all
}

const NOW: Now = Now { monotonic: 0, wall: 1_750_000_000_000 };

fn node(store: &MemoryStore, now: Now) -> Node<MemoryStore> {
    let config = Config { zone: "z".into(), ..common::config(PeerId([0xaa; 32])) };
    Node::new(config, store.clone(), [7; 32], now).unwrap()
}

fn drain(node: &mut Node<MemoryStore>) -> Vec<Output> {
    std::iter::from_fn(|| node.poll_output()).collect()
}

/// A peer that met another one, knows a definition, and wrote, deleted and stopped: it has every
/// kind of row. Returns the probes it sent on the way.
fn busy_store() -> (MemoryStore, Vec<Vec<u8>>) {
    let store = MemoryStore::new();
    let mut node = node(&store, NOW);
    let mut definition = Definition::new("notes", "notes/*", 1, 2);
    (definition.id, definition.ttl) = (Some("id".into()), Some(1000));
    (definition.description, definition.tags) = ("d".into(), vec!["t".into()]);
    (definition.size, definition.priority) = (Some(1 << 20), -1);
    definition.durability = Durability::Synced;
    node.apply(&[definition], NOW).unwrap();
    for (key, change) in [
        (b"kept".as_slice(), Change::Set(Payload::Value(b"value".to_vec(), None))),
        (b"ends", Change::Set(Payload::Value(Vec::new(), Some(1_750_000_001_000)))),
        (b"gone", Change::Set(Payload::Tombstone)),
        (b"sums", Change::Add(-7)),
    ] {
        let writes = vec![Write { key: stored_key(key), change }];
        let path = Path::new("notes/ann").unwrap();
        let submission =
            Submission { path, writes, durability: None, acks: 1, timeout: 0, condition: None };
        node.write(vec![submission], NOW);
    }
    let other = PeerId([1; 32]);
    node.handle(Input::Connected(other), NOW);
    let (identity, epoch) = (identity(), Epoch(5));
    let hello = frame(&Message::Hello { identity, epoch, protocol: 1, features: 0 });
    node.handle(Input::Frames(other, vec![hello]), NOW);
    node.stop(NOW).unwrap();
    let probes = drain(&mut node).into_iter().filter_map(|output| match output {
        Output::Probe(_, packet) => Some(packet),
        _ => None,
    });
    (store, probes.collect())
}

/// Every golden line: a name and the bytes.
fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for (name, message) in messages() {
        lines.push(format!("message {name}: {}", hex(&wire::encode(&message))));
    }
    for payload in [
        Payload::Counter { since: Time(5), start: -6, expires: Some(70_000) },
        Payload::Sum(-(1 << 70)),
        Payload::Expired(Time(7)),
    ] {
        lines.push(format!("payload {payload:?}: {}", hex(&wire::encode(&payload))));
    }
    let interned = Interned { prefix: 7, path: "a/b".into() };
    lines.push(format!("row interned: {}", hex(&wire::encode(&interned))));
    lines.push(format!("row record: {}", hex(&wire::encode(&record()))));
    let mut state = State { generation: 1, floor: vector(), digest: 1 << 100, ..State::default() };
    state.newest_collected = Time(6);
    state.counts = Counts { entries: 7, bytes: 9, tombstones: 8, expiring: 6 };
    state.progress.reflect(Interval { epoch: E, from: 0, upto: 3 });
    state.progress.reflect(INTERVAL);
    lines.push(format!("row state: {}", hex(&wire::encode(&StateRow { base: 2, state }))));
    let base = Base { mark: 2, vector: vector(), floor: vector() };
    lines.push(format!("row base: {}", hex(&wire::encode(&base))));
    let origin = Origin { peer: PeerId([1; 32]), cluster: 5, reserved: Time(9) };
    lines.push(format!("backup origin: {}", hex(&wire::encode(&origin))));
    for (_, key, value) in origin.rows().writes {
        lines.push(format!("restored {}: {}", hex(&key), hex(&value.unwrap())));
    }
    let (store, probes) = busy_store();
    for (index, probe) in probes.iter().enumerate() {
        lines.push(format!("probe {index}: {}", hex(probe)));
    }
    for space in Space::ALL {
        for row in store.range(space, Bound::Unbounded, Bound::Unbounded) {
            let (key, value) = row.unwrap();
            lines.push(format!("stored {} {}: {}", space.name(), hex(&key), hex(&value)));
        }
    }
    lines
}

/// Every message, every row of a peer that did everything, and its probes have the bytes that they
/// had when this was committed.
#[test]
fn the_formats_are_what_they_were() {
    let golden = include_str!("golden.txt");
    let now = lines();
    let then: Vec<&str> = golden.lines().collect();
    let changed: Vec<&String> = now.iter().filter(|line| !then.contains(&line.as_str())).collect();
    let gone: Vec<&&str> = then.iter().filter(|line| !now.iter().any(|n| n == **line)).collect();
    assert!(
        changed.is_empty() && gone.is_empty(),
        "the format changed; the lines are now:\n{}\n\nwhich differ in {changed:#?}\nfrom {gone:#?}",
        now.join("\n")
    );
}

/// Every message comes back from its bytes as it was.
#[test]
fn messages_come_back() {
    for (name, message) in messages() {
        let bytes = wire::encode(&message);
        assert_eq!(wire::decode::<Message>(&bytes).unwrap(), message, "{name}");
        for length in 0..bytes.len() {
            assert!(wire::decode::<Message>(&bytes[..length]).is_err(), "{name} cut at {length}");
        }
    }
}

/// Feeds bytes to a node that holds a copy, as frames and as probes, and lets time pass.
fn feed(bytes: &[Vec<u8>]) {
    let (store, _) = busy_store();
    let later = Now { monotonic: 1, wall: NOW.wall + 1 };
    let mut node = node(&store, later);
    let other = PeerId([1; 32]);
    node.handle(Input::Connected(other), later);
    for bytes in bytes {
        node.handle(Input::Frames(other, vec![bytes.clone()]), later);
        node.handle(Input::Probe(other, bytes.clone()), later);
        drain(&mut node);
    }
    node.handle(Input::Disconnected(other), later);
    let after = Now { monotonic: 40_000_000, wall: NOW.wall + 40_000 };
    node.handle(Input::Timer, after);
    drain(&mut node);
    assert!(node.failure().is_none(), "{:?}", node.failure());
}

/// A frame of one message.
fn frame(message: &Message) -> Vec<u8> {
    let mut bytes = vec![wire::FORMAT_VERSION];
    wire::append_sized(&mut bytes, message);
    bytes
}

/// Valid frames with a few bytes changed, cut off or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let count = messages().len();
    (
        0..count,
        proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8), 0..5),
    )
        .prop_map(|(which, changes)| {
            let (store, probes) = busy_store();
            drop(store);
            let mut bytes = match probes.get(which) {
                Some(probe) if which % 2 == 0 => probe.clone(),
                _ => frame(&messages().swap_remove(which).1),
            };
            for (index, byte, kind) in changes {
                if bytes.len() < 2 {
                    break;
                }
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, byte),
                }
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Random bytes never panic, neither in the decoders nor in a node that is fed with them.
    #[test]
    fn random_bytes_do_no_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::decode::<Message>(&bytes);
        let _ = wire::decode::<Record>(&bytes);
        let _ = wire::decode::<StateRow>(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = wire::FORMAT_VERSION;
        }
        let _ = wire::decode::<Message>(&bytes);
        let _ = wire::decode::<Record>(&bytes);
        let _ = wire::decode::<StateRow>(&bytes);
        feed(&[bytes]);
    }

    /// Valid messages and probes with a few bytes wrong never panic, and never stop a node.
    #[test]
    fn mutated_bytes_do_no_harm(bytes in proptest::collection::vec(mutated(), 1..4)) {
        feed(&bytes);
    }
}
