//! One process: a node, its disk, its clocks, and what its driver remembers.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::clock::Now;
use tidings_core::ident::{DatabaseId, Epoch, PeerId};
use tidings_core::node::Node;
use tidings_core::record::Record;
use tidings_core::stamp::Stamp;

use crate::disk::{Disk, FaultyStore, Image};
use crate::faults::Hostile;
use crate::random::Random;
use crate::scenario::MILLISECOND;

/// The wall clock of the world at its beginning: milliseconds since the Unix epoch.
pub const WALL_START: u64 = 1_750_000_000_000;

/// What a call that is answered later was.
#[derive(Clone, Debug)]
pub enum Waiting {
    /// Writes with these numbers; and how many losses there were when they were submitted.
    Write(Vec<usize>, u64),
    /// A read of a key at a holder.
    Read(DatabaseId, Vec<u8>),
    /// A deleted counter that was added to in the same batch.
    Tally(u64),
    /// Something whose answer does not matter.
    Other,
}

/// One process.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub struct Process {
    /// Its identity.
    pub peer: PeerId,
    /// Its disk.
    pub disk: Disk,
    /// Its failure domain.
    pub zone: String,
    /// Its share of the databases, in hundredths.
    pub weight: u32,
    /// What its driver draws.
    pub random: Random,
    /// The node, while it runs.
    pub node: Option<Node<FaultyStore>>,
    /// Counts its starts: what was meant for an earlier one is dropped.
    pub life: u64,
    /// When it started, in the world's time.
    pub born: u64,
    /// It stands still until then.
    pub paused_until: u64,
    /// What its wall clock is ahead, in milliseconds.
    pub wall_offset: i64,
    /// What its wall clock was ahead at most, in milliseconds.
    pub(crate) ahead: u64,
    /// Since which look it knows its clock to be far off.
    pub(crate) off_since: Option<u64>,
    /// What its wall clock gains, in parts per million.
    pub drift: i64,
    /// What its wall clock says while it stands still.
    pub frozen: Option<u64>,
    /// How long it stays down after it was killed in a storage operation; `None`: until faults end.
    pub killed_for: Option<u64>,
    /// The connection to each peer, as the node was told.
    pub known: BTreeMap<PeerId, u64>,
    /// Peers it was asked to dial.
    pub dials: BTreeSet<PeerId>,
    /// For when its timer is set.
    pub timer_at: u64,
    /// Timer inputs in the second that begins at the given time.
    pub fired: (u64, u64),
    /// The last ticket that wants a sync, and the one being synced.
    pub sync_wanted: u64,
    /// See [`Process::sync_wanted`].
    pub syncing: Option<u64>,
    /// Since when it is known to have a complete copy of a database, in this life.
    pub active: BTreeMap<DatabaseId, u64>,
    /// Calls to be answered later, by token.
    pub calls: BTreeMap<u64, Waiting>,
    /// What the watches of this life saw last, by key.
    pub watched: BTreeMap<(DatabaseId, Vec<u8>), Stamp>,
    /// An older image of its disk.
    pub image: Option<Image>,
    /// Rows vanished since it was last whole: what is derived from them is not to be believed.
    pub tainted: bool,
    /// Its disk holds a directory that was copied from another peer's.
    pub cloned: bool,
    /// It does not start again.
    pub dead: bool,
    /// It was told to stop and goes on a little.
    pub stopping: bool,
    /// The epoch under which it writes, or wrote last.
    pub(crate) epoch: Epoch,
    /// A user wants it to hand over everything.
    pub(crate) drains: bool,
    /// When databases that it had were dropped last.
    pub(crate) dropped: BTreeMap<DatabaseId, u64>,
    /// It does harm in this life.
    pub(crate) hostile: Option<Hostile>,
}

impl Process {
    /// A process that does not run yet.
    pub fn new(peer: PeerId, disk: Disk, random: Random) -> Self {
        Self {
            peer,
            disk,
            zone: String::new(),
            weight: 100,
            random,
            node: None,
            life: 0,
            born: 0,
            paused_until: 0,
            wall_offset: 0,
            ahead: 0,
            off_since: None,
            drift: 0,
            frozen: None,
            killed_for: None,
            known: BTreeMap::new(),
            dials: BTreeSet::new(),
            timer_at: u64::MAX,
            fired: (0, 0),
            sync_wanted: 0,
            syncing: None,
            active: BTreeMap::new(),
            calls: BTreeMap::new(),
            watched: BTreeMap::new(),
            image: None,
            tainted: false,
            cloned: false,
            dead: false,
            stopping: false,
            epoch: Epoch(0),
            drains: false,
            dropped: BTreeMap::new(),
            hostile: None,
        }
    }

    /// Both of its clocks.
    pub fn clocks(&self, now: u64) -> Now {
        let passed = (now / MILLISECOND).cast_signed();
        let gained = passed * self.drift / 1_000_000;
        let wall = WALL_START.cast_signed() + passed + gained + self.wall_offset;
        let wall = self.frozen.unwrap_or(wall.max(0) as u64);
        Now { monotonic: now - self.born, wall }
    }

    /// The wall clock gains this much from now on, in parts per million, and does not jump.
    pub fn set_drift(&mut self, now: u64, drift: i64) {
        let passed = (now / MILLISECOND).cast_signed();
        self.wall_offset += passed * self.drift / 1_000_000 - passed * drift / 1_000_000;
        self.drift = drift;
    }

    /// Whether it runs and does not stand still.
    pub fn is_awake(&self, now: u64) -> bool {
        self.node.is_some() && self.paused_until <= now
    }

    /// Forgets what a process forgets when it ends.
    pub fn end(&mut self) {
        self.node = None;
        self.life += 1;
        self.paused_until = 0;
        self.known.clear();
        self.dials.clear();
        self.active.clear();
        self.calls.clear();
        self.watched.clear();
        self.timer_at = u64::MAX;
        self.sync_wanted = 0;
        self.syncing = None;
        self.stopping = false;
        self.hostile = None;
    }

    /// Notes that a watch is over.
    pub fn watch_lost(&mut self, id: DatabaseId) {
        self.watched.retain(|(watched, _), _| *watched != id);
    }

    /// Notes a change told by a watch; false: it is not newer than the one before.
    pub fn watch_told(&mut self, id: DatabaseId, key: &[u8], record: &Record) -> bool {
        let last = self.watched.insert((id, key.to_vec()), record.stamp());
        // A counter may change by an increment that is older than the newest one.
        last.is_none_or(|last| last < record.stamp()) || crate::counting::is_counter(key)
    }
}
