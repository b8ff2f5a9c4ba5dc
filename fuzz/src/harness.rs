//! A real node over a store in memory, with clocks that stand until they are moved: what the targets
//! feed, and what must be true of it whatever it is fed.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use tidings_core::clock::Now;
use tidings_core::definition::{Definition, Durability};
use tidings_core::error::Error;
use tidings_core::ident::PeerId;
use tidings_core::message::{Change, Message, Write};
use tidings_core::name::Path;
use tidings_core::node::{Config, Input, MAX_CLOCK_SKEW, Node, Output, Submission};
use tidings_core::record::{Fingerprint, Payload, Sent};
use tidings_core::replica::Derived;
use tidings_core::rows::{self, stored_key};
use tidings_core::store::{MemorySnapshot, MemoryStore, Store as _};
use tidings_core::wire;
use tidings_sim::look::Copies;

/// The peer under test.
pub const OWN: PeerId = PeerId([0xaa; 32]);
/// Those who talk to it.
pub const OTHERS: [PeerId; 2] = [PeerId([1; 32]), PeerId([2; 32])];
/// Paths of databases: the first is there from the start, the last is that of no definition.
pub const PATHS: [&str; 4] = ["notes/ann", "notes/bob", "log/1", "none"];
/// Keys that are written to.
pub const KEYS: [&[u8]; 4] = [b"kept", b"ends", b"gone", b"k"];

/// Of all simulated clusters, so that their reader of disks knows it.
const CLUSTER: [u8; 32] = [7; 32];
/// Largest frame and probe that the network takes.
const FRAME_MAX: usize = 1 << 20;
const PROBE_MAX: usize = 8 << 10;
/// Most timers that may fire at one moment, and most answers to one input.
const AT_ONCE_MAX: usize = 10_000;
/// Milliseconds since the Unix epoch, at the start.
const BEGIN: u64 = 1_750_000_000_000;

/// How a peer is set up: it is short of patience, so that little time takes it everywhere.
pub fn config(peer: PeerId) -> Config {
    Config {
        peer,
        name: "ann".into(),
        zone: "z".into(),
        weight: 100,
        cluster_key: CLUSTER,
        expects_peers: false,
        max_clock_skew: MAX_CLOCK_SKEW,
        replacement_delay: 2_000,
        stability_window: 2_000,
        rebalance_delay: 3_000,
        trash: 2_000,
        tombstone_grace: 2_000,
        holder_ttl: 3_000,
        sweep_interval: 1_000,
    }
}

/// The definitions that the cluster has.
pub fn definitions() -> [Definition; 2] {
    let mut notes = Definition::new("notes", "notes/*", 2, 3);
    notes.durability = Durability::Synced;
    notes.size = Some(1 << 20);
    [notes, Definition::new("log", "log/[0-9]", 1, 1)]
}

/// One write.
pub fn write(key: &[u8], payload: Payload) -> Write {
    Write { key: stored_key(key), change: Change::Set(payload) }
}

/// A frame of some messages.
pub fn frame(messages: &[Message]) -> Vec<u8> {
    let mut bytes = vec![wire::FORMAT_VERSION];
    for message in messages {
        wire::append_sized(&mut bytes, message);
    }
    bytes
}

/// The messages of a frame that a node sent.
///
/// # Panics
/// When it is not well-formed.
pub fn messages(frame: &[u8]) -> Vec<Message> {
    let mut rest = wire::body(frame).expect("a frame of this version");
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let bytes = wire::take_sized(&mut rest).expect("whole messages");
        let message: Message = wire::decode_bare(bytes).expect("well-formed messages");
        let mut again = Vec::new();
        wire::append(&mut again, &message);
        assert_eq!(again, bytes, "a message has one form");
        messages.push(message);
    }
    messages
}

/// What a node sends is nothing that it would refuse itself.
fn check_sent(message: &Message) {
    let sane = |epoch, records: &[Sent]| {
        let records = records.iter().map(|sent| sent.clone().into_record(epoch));
        records.into_iter().all(|(key, record)| !key.is_empty() && !record.is_malformed(&key))
    };
    assert!(
        match message {
            Message::Push { interval, records, .. } => sane(interval.epoch, records),
            Message::Chunk { records, .. } => records.iter().all(|(epoch, own)| sane(*epoch, own)),
            Message::Repair { rows, .. } =>
                rows.iter().all(|(key, record)| !record.is_malformed(key)),
            Message::Hello { identity, .. } => identity.is_sane(),
            _ => true,
        },
        "it would refuse {message:?}"
    );
}

/// A peer that was started, knows definitions, wrote, and deleted.
fn prepared() -> MemorySnapshot {
    static PREPARED: OnceLock<MemorySnapshot> = OnceLock::new();
    let make = || {
        let mut harness = Harness::start(MemoryStore::new(), OWN).expect("an empty store");
        harness.node.apply(&definitions(), harness.now).expect("definitions");
        for (key, payload) in [
            (KEYS[0], Payload::Value(b"value".to_vec(), None)),
            (KEYS[1], Payload::Value(Vec::new(), Some(BEGIN + 1_000))),
            (KEYS[2], Payload::Tombstone),
        ] {
            harness.write(PATHS[0], vec![write(key, payload)]);
        }
        harness.node.stop(harness.now).expect("a clean stop");
        harness.store.snapshot()
    };
    PREPARED.get_or_init(make).clone()
}

/// A node, its store and its clocks.
pub struct Harness {
    /// The store.
    pub store: MemoryStore,
    /// The node.
    pub node: Node<MemoryStore>,
    /// The clocks.
    pub now: Now,
    /// The latest request for a sync.
    pub ticket: u64,
    /// Frames and probes that it sent since they were last taken.
    pub sent: Vec<Input>,
    /// How often it was started.
    lives: u8,
    peer: PeerId,
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Harness {
    /// A peer that has something already.
    pub fn prepared() -> Self {
        Self::start(MemoryStore::from(prepared()), OWN).expect("what was stored can be read")
    }

    /// A store like that of [`Harness::prepared`].
    pub fn prepared_store() -> MemoryStore {
        MemoryStore::from(prepared())
    }

    /// Starts a peer.
    ///
    /// # Errors
    /// When the rows are damaged.
    pub fn start(store: MemoryStore, peer: PeerId) -> Result<Self, Error> {
        let now = Now { monotonic: 1_000_000, wall: BEGIN };
        let node = Node::new(config(peer), store.clone(), [peer.0[0]; 32], now)?;
        let mut harness = Self { store, node, now, ticket: 0, sent: Vec::new(), lives: 1, peer };
        harness.drain();
        Ok(harness)
    }

    /// Starts the peer again on the same store.
    ///
    /// # Errors
    /// When the rows are damaged.
    pub fn restart(&mut self, cleanly: bool) -> Result<(), Error> {
        if cleanly {
            let _ = self.node.stop(self.now);
            self.drain();
        }
        self.lives = self.lives.wrapping_add(1);
        let mut seed = [self.peer.0[0]; 32];
        seed[0] = self.lives;
        self.node = Node::new(config(self.peer), self.store.clone(), seed, self.now)?;
        self.drain();
        Ok(())
    }

    /// Feeds one input.
    pub fn feed(&mut self, input: Input) {
        self.node.handle(input, self.now);
        self.drain();
    }

    /// Takes what the node wants done.
    pub fn drain(&mut self) {
        let mut count = 0;
        while let Some(output) = self.node.poll_output() {
            count += 1;
            assert!(count < AT_ONCE_MAX, "answers without end");
            match output {
                Output::Send(peer, frame) => {
                    assert!(frame.len() <= FRAME_MAX, "a frame of {} bytes", frame.len());
                    messages(&frame).iter().for_each(check_sent);
                    self.sent.push(Input::Frames(peer, vec![frame]));
                }
                Output::Probe(peer, packet) => {
                    assert!(packet.len() <= PROBE_MAX, "a probe of {} bytes", packet.len());
                    self.sent.push(Input::Probe(peer, packet));
                }
                Output::Sync(ticket) => self.ticket = ticket,
                _ => {}
            }
        }
        // Only who wants to pass it on takes it.
        let kept = self.sent.len().min(AT_ONCE_MAX);
        self.sent.truncate(kept);
    }

    /// Writes as a user does.
    pub fn write(&mut self, path: &str, writes: Vec<Write>) {
        let path = Path::new(path).expect("a path");
        let (durability, acks, timeout, condition) = (None, 1, 0, None);
        let submission = Submission { path, writes, durability, acks, timeout, condition };
        self.node.write(vec![submission], self.now);
        self.drain();
    }

    /// Lets so many milliseconds pass, with at most so many timers.
    pub fn pass(&mut self, millis: u64, timers: usize) {
        let end = self.now.monotonic + millis * 1_000;
        let mut at_once = 0;
        for _ in 0..timers {
            let due = self.node.poll_timeout();
            if due > end {
                break;
            }
            at_once = if due <= self.now.monotonic { at_once + 1 } else { 0 };
            assert!(at_once < AT_ONCE_MAX, "timers without end");
            self.move_to(due.max(self.now.monotonic));
            self.feed(Input::Timer);
        }
        self.move_to(end);
    }

    fn move_to(&mut self, monotonic: u64) {
        self.now.wall += (monotonic - self.now.monotonic) / 1_000;
        self.now.monotonic = monotonic;
    }

    /// What must be true whatever was fed: the node serves, and what is derived from the rows is what
    /// they say.
    pub fn check(&self) {
        assert!(self.node.failure().is_none(), "{:?}", self.node.failure());
        let fingerprint = Fingerprint::new(&CLUSTER);
        let copies = Copies::read(&self.store).expect("the disk can be read");
        for (_, copy) in copies.iter() {
            let mut found = Derived::default();
            for (stored, record) in copy.records() {
                found.add(&fingerprint, stored, record);
            }
            assert_eq!(copy.state.derived(), found, "what is derived of {:?}", copy.path);
            // A liar may give two writes one name: the log has one row for both.
            let names: BTreeSet<_> =
                copy.records().map(|(_, own)| rows::log_key(copy.prefix, own.dot())).collect();
            if names.len() == copy.records().count() {
                assert!(copy.log_fits(&self.store), "the log of {:?}", copy.path);
            }
        }
    }
}
