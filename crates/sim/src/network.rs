//! The network between processes: connections that are set up, carry frames in order, stall, drop
//! and break.
//!
//! A connection joins two processes. Each direction delivers its frames in order, after a latency
//! and as fast as the bandwidth allows; a frame that finds the queue full is dropped whole, as the
//! real driver does. A blocked direction holds its frames back, as TCP does, until the block ends or
//! the silence breaks the connection. Loss, duplication and reordering of frames inside a
//! connection are faults that the real driver does not have; the core survives them all the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::random::Random;
use crate::scenario::{Links, MILLISECOND, SECOND};

/// A connection that carries nothing in one direction for this long is broken.
pub const SILENCE: u64 = 15 * SECOND;

/// However narrow a link becomes, it carries this many bytes in a second.
const NARROWEST: u64 = 20_000;

/// What goes wrong with frames now; per thousand, and microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Frames dropped.
    pub loss: u64,
    /// Frames that arrive twice.
    pub duplicate: u64,
    /// Frames that are overtaken.
    pub reorder: u64,
    /// Added to every latency.
    pub delay: u64,
    /// Divides the bandwidth; 0 is 1.
    pub narrow: u64,
}

/// A frame or a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// A frame of the ordered stream.
    Frame(Vec<u8>),
    /// A probe packet.
    Probe(Vec<u8>),
}

impl Parcel {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(bytes) | Self::Probe(bytes) => bytes,
        }
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Direction {
    /// By arrival, then order of sending.
    inbox: BTreeMap<(u64, u64), Parcel>,
    free_at: u64,
    last_arrival: u64,
    last_probe: u64,
    waiting: VecDeque<(u64, u64)>,
    waiting_bytes: u64,
}

/// A connection between two processes.
#[derive(Debug)]
pub struct Connection {
    /// The two processes, the lower one first.
    pub ends: [usize; 2],
    directions: [Direction; 2],
}

impl Connection {
    /// The other end.
    pub fn other(&self, end: usize) -> usize {
        if self.ends[0] == end { self.ends[1] } else { self.ends[0] }
    }

    fn direction(&mut self, from: usize) -> &mut Direction {
        &mut self.directions[usize::from(self.ends[0] != from)]
    }
}

/// What the network did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames sent.
    pub frames: u64,
    /// Bytes of frames sent.
    pub bytes: u64,
    /// Frames dropped by full queues.
    pub overflows: u64,
    /// Frames dropped by the fault.
    pub lost: u64,
    /// Frames duplicated by the fault.
    pub duplicated: u64,
    /// Frames overtaken by the fault.
    pub reordered: u64,
}

/// All connections and everything that is wrong with them.
#[derive(Debug)]
pub struct Network {
    links: Links,
    random: Random,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    parcels: u64,
    /// Directions that are blocked, with the number of reasons.
    blocked: BTreeMap<(usize, usize), u32>,
    /// What is wrong with frames everywhere.
    pub trouble: Trouble,
    /// Processes that read in gulps, and how far apart these are.
    pub slow_readers: BTreeMap<usize, u64>,
    /// What was done.
    pub traffic: Traffic,
}

impl Network {
    /// A network without connections.
    pub fn new(links: Links, random: Random) -> Self {
        Self {
            links,
            random,
            connections: BTreeMap::new(),
            next: 0,
            parcels: 0,
            blocked: BTreeMap::new(),
            trouble: Trouble::default(),
            slow_readers: BTreeMap::new(),
            traffic: Traffic::default(),
        }
    }

    fn latency(&mut self) -> u64 {
        let Links { latency, jitter, tail_per_mille, .. } = self.links;
        let drawn = latency + self.random.below(jitter + 1);
        let slow = self.random.chance(tail_per_mille);
        if slow { drawn * 20 } else { drawn + self.trouble.delay }
    }

    /// How long setting up a connection takes: a handshake and a proof of the secret.
    pub fn setup_time(&mut self) -> u64 {
        3 * self.latency()
    }

    /// How long the news that a connection broke takes to reach an end.
    pub fn news_time(&mut self) -> u64 {
        self.latency()
    }

    /// Opens a connection whose ends hear of it by the given time.
    pub fn open(&mut self, ends: [usize; 2], heard: u64) -> u64 {
        self.next += 1;
        let direction =
            || Direction { last_arrival: heard, last_probe: heard, ..Direction::default() };
        let connection = Connection { ends, directions: [direction(), direction()] };
        self.connections.insert(self.next, connection);
        self.next
    }

    /// A connection, while it lasts.
    pub fn connection(&self, id: u64) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// The connections of a process.
    pub fn connections_of(&self, process: usize) -> Vec<u64> {
        let of = |c: &Connection| c.ends.contains(&process);
        self.connections.iter().filter(|(_, c)| of(c)).map(|(id, _)| *id).collect()
    }

    /// Every connection.
    pub fn all(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    /// Breaks a connection; what is in flight is lost.
    pub fn close(&mut self, id: u64) -> Option<Connection> {
        self.connections.remove(&id)
    }

    /// Sends a parcel; returns when to look for arrivals.
    #[expect(clippy::needless_pass_by_value, reason = "a parcel that is sent is gone")]
    pub fn send(&mut self, id: u64, from: usize, parcel: Parcel, now: u64) -> Vec<u64> {
        let latency = self.latency();
        let trouble = self.trouble;
        let is_frame = matches!(parcel, Parcel::Frame(_));
        let (lost, twice, late) = (
            self.random.chance(trouble.loss),
            is_frame && self.random.chance(trouble.duplicate),
            is_frame && self.random.chance(trouble.reorder),
        );
        let lag = self.random.below(20 * MILLISECOND + 4 * latency);
        let size = parcel.bytes().len() as u64;
        let bandwidth = (self.links.bandwidth / trouble.narrow.max(1)).max(NARROWEST);
        let queue = self.links.queue;
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let to = connection.other(from);
        let gulp = self.slow_readers.get(&to).copied().unwrap_or(0);
        let direction = connection.direction(from);
        if is_frame {
            self.traffic.frames += 1;
            self.traffic.bytes += size;
        }
        if lost {
            self.traffic.lost += 1;
            return Vec::new();
        }
        while direction.waiting.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, bytes)) = direction.waiting.pop_front() {
                direction.waiting_bytes -= bytes;
            }
        }
        if is_frame && direction.waiting_bytes + size > queue {
            self.traffic.overflows += 1;
            return Vec::new();
        }
        direction.free_at = direction.free_at.max(now) + size * SECOND / bandwidth;
        let mut arrival = direction.free_at + latency;
        direction.waiting.push_back((direction.free_at, size));
        direction.waiting_bytes += size;
        if late {
            self.traffic.reordered += 1;
            arrival = arrival.max(direction.last_arrival) + lag;
        } else if is_frame {
            arrival = arrival.max(direction.last_arrival + 1);
            direction.last_arrival = arrival;
        } else {
            arrival = arrival.max(direction.last_probe + 1);
            direction.last_probe = arrival;
        }
        if gulp > 0 {
            arrival = arrival.next_multiple_of(gulp);
        }
        let mut arrivals = vec![arrival];
        if twice {
            self.traffic.duplicated += 1;
            arrivals.push(arrival + lag);
        }
        for at in &arrivals {
            self.parcels += 1;
            direction.inbox.insert((*at, self.parcels), parcel.clone());
        }
        arrivals
    }

    /// Takes what has arrived at the other end of `from`; nothing while the direction is blocked.
    pub fn receive(&mut self, id: u64, from: usize, now: u64) -> Vec<Parcel> {
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let to = connection.other(from);
        if self.blocked.contains_key(&(from, to)) {
            return Vec::new();
        }
        let inbox = &mut connection.direction(from).inbox;
        let later = inbox.split_off(&(now + 1, 0));
        std::mem::replace(inbox, later).into_values().collect()
    }

    /// Blocks one direction, for one more reason.
    pub fn block(&mut self, from: usize, to: usize) {
        *self.blocked.entry((from, to)).or_default() += 1;
    }

    /// Takes one reason for a block away. True: the direction is open again.
    pub fn unblock(&mut self, from: usize, to: usize) -> bool {
        let Some(reasons) = self.blocked.get_mut(&(from, to)) else { return false };
        *reasons -= 1;
        if *reasons == 0 {
            self.blocked.remove(&(from, to));
        }
        !self.blocked.contains_key(&(from, to))
    }

    /// Whether a direction is blocked.
    pub fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains_key(&(from, to))
    }

    /// Ends every trouble and every block; returns the directions that were blocked.
    pub fn heal(&mut self) -> BTreeSet<(usize, usize)> {
        self.trouble = Trouble::default();
        self.slow_readers.clear();
        std::mem::take(&mut self.blocked).into_keys().collect()
    }

    /// Lets what stands in the queues travel at the full bandwidth from now on; returns when to look
    /// for arrivals, and on which connection from which process.
    pub fn speed_up(&mut self, now: u64) -> Vec<(u64, usize, u64)> {
        let Links { latency, bandwidth, .. } = self.links;
        let mut arrivals = Vec::new();
        for (id, connection) in &mut self.connections {
            for (from, direction) in connection.ends.into_iter().zip(&mut connection.directions) {
                let (mut free_at, mut arrival) = (now, now);
                for ((_, order), parcel) in std::mem::take(&mut direction.inbox) {
                    free_at += parcel.bytes().len() as u64 * SECOND / bandwidth;
                    arrival = (free_at + latency).max(arrival + 1);
                    direction.inbox.insert((arrival, order), parcel);
                    arrivals.push((*id, from, arrival));
                }
                direction.free_at = direction.free_at.min(free_at);
                direction.last_arrival = arrival;
                direction.last_probe = arrival;
            }
        }
        arrivals
    }

    /// The links while nothing is wrong.
    pub fn links(&self) -> &Links {
        &self.links
    }
}
