//! The network between processes: connections that are set up, carry frames in order, stall, drop
//! and break.
//!
//! A connection joins two processes. Each direction delivers its frames in order, after a latency
//! and as fast as the bandwidth allows; a frame that finds the queue full is dropped whole, as the
//! real driver does. A blocked direction holds its frames back, as TCP does: when the block has ended
//! they get through with the next attempt of the sender, which pauses twice as long each time, unless
//! the silence breaks the connection first. Loss, duplication and reordering of frames inside a
//! connection are faults that the real driver does not have; the core survives them all the same.

use std::collections::{BTreeMap, VecDeque};

use crate::random::{Quick, Random};
use crate::scenario::{Distribution, Link, MILLISECOND, SECOND, WHOLE};

/// A connection that carries nothing in one direction for this long is broken.
pub const SILENCE: u64 = 15 * SECOND;

/// How long TCP waits for an answer, beside the round trip, until it sends again for the first time: its
/// least patience, and a little for answers that are held back.
const SENT_AGAIN: u64 = 220 * MILLISECOND;

/// However narrow a link becomes, it carries this many bytes in a second.
const NARROWEST: u64 = 20_000;

/// What goes wrong with frames now; parts per million, and microseconds.
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
#[derive(Debug)]
struct Direction {
    /// By arrival, then order of sending.
    inbox: BTreeMap<(u64, u64), Parcel>,
    free_at: u64,
    last_arrival: u64,
    last_probe: u64,
    waiting: VecDeque<(u64, u64)>,
    waiting_bytes: u64,
    /// Nothing gets through before.
    resumes: u64,
    /// Nothing that is sent from now on arrives.
    cut: bool,
    random: Quick,
}

/// What a connection lost that broke in the middle of what was on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Frames that never arrive.
    pub frames: u64,
    /// When the last of those arrives that do.
    pub until: u64,
}

/// A connection between two processes.
#[derive(Debug)]
pub struct Connection {
    /// The two processes, the lower one first.
    pub ends: [usize; 2],
    /// When both ends have heard of it, in the world's time.
    pub since: u64,
    link: Link,
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
    /// Frames lost.
    pub lost: u64,
    /// Frames duplicated.
    pub duplicated: u64,
    /// Frames overtaken.
    pub reordered: u64,
}

/// All connections and everything that is wrong with them.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    connections: BTreeMap<u64, Connection>,
    /// The connections of each process, by the other end.
    of: BTreeMap<usize, BTreeMap<usize, u64>>,
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

/// How long a frame takes on a link; each link draws from a stream of its own.
fn latency(link: &Link, delay: u64, random: &mut Quick) -> u64 {
    let jitter = match link.distribution {
        Distribution::Uniform => random.below(link.jitter + 1),
        Distribution::Exponential => random.exponential(link.jitter),
    };
    let drawn = link.latency + jitter;
    if random.share(link.tail) { drawn * link.tail_factor } else { drawn + delay }
}

impl Network {
    /// A network without connections.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            connections: BTreeMap::new(),
            of: BTreeMap::new(),
            next: 0,
            parcels: 0,
            blocked: BTreeMap::new(),
            trouble: Trouble::default(),
            slow_readers: BTreeMap::new(),
            traffic: Traffic::default(),
        }
    }

    /// How long the news of a connection (that it is set up, or broke) takes from one process to
    /// another at a time.
    pub fn news_time(&mut self, link: &Link, from: usize, to: usize, now: u64) -> u64 {
        latency(
            link,
            self.trouble.delay,
            &mut Quick::new(self.seed, &[from as u64, to as u64, now]),
        )
    }

    /// Opens a connection whose ends hear of it by the given time.
    pub fn open(&mut self, ends: [usize; 2], link: Link, heard: u64) -> u64 {
        self.next += 1;
        let direction = |from: usize, to: usize| Direction {
            inbox: BTreeMap::new(),
            free_at: 0,
            last_arrival: heard,
            last_probe: heard,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            resumes: 0,
            cut: false,
            random: Quick::new(self.seed, &[from as u64, to as u64, heard]),
        };
        let directions = [direction(ends[0], ends[1]), direction(ends[1], ends[0])];
        self.connections.insert(self.next, Connection { ends, since: heard, link, directions });
        for (one, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            self.of.entry(one).or_default().insert(other, self.next);
        }
        self.next
    }

    /// A connection, while it lasts.
    pub fn connection(&self, id: u64) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// The connection between two processes.
    pub fn between(&self, one: usize, other: usize) -> Option<u64> {
        self.of.get(&one)?.get(&other).copied()
    }

    /// The connections of a process, by the other end.
    pub fn connections_of(&self, process: usize) -> Vec<u64> {
        self.of.get(&process).into_iter().flat_map(BTreeMap::values).copied().collect()
    }

    /// The other ends of the connections of a process, ascending.
    pub fn ends_of(&self, process: usize) -> Vec<usize> {
        self.of.get(&process).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }

    /// How many connections a process has.
    pub fn count_of(&self, process: usize) -> usize {
        self.of.get(&process).map_or(0, BTreeMap::len)
    }

    /// Breaks a connection; what is in flight is lost.
    pub fn close(&mut self, id: u64) -> Option<Connection> {
        let closed = self.connections.remove(&id)?;
        for end in closed.ends {
            if let Some(of) = self.of.get_mut(&end) {
                of.remove(&closed.other(end));
            }
        }
        Some(closed)
    }

    /// Cuts off the end of what is on its way in both directions of a connection, and all that is sent
    /// from now on: it is about to break.
    pub fn truncate(&mut self, id: u64, random: &mut Random) -> CutOff {
        let mut lost = CutOff::default();
        let Some(connection) = self.connections.get_mut(&id) else { return lost };
        for direction in &mut connection.directions {
            let kept = random.index(direction.inbox.len() + 1);
            if let Some(first) = direction.inbox.keys().nth(kept).copied() {
                let rest = direction.inbox.split_off(&first);
                let frames = rest.values().filter(|parcel| matches!(parcel, Parcel::Frame(_)));
                lost.frames += frames.count() as u64;
            }
            let last = direction.inbox.last_key_value();
            lost.until = lost.until.max(last.map_or(0, |((arrival, _), _)| arrival + 1));
            direction.cut = true;
        }
        lost
    }

    /// Sends a parcel; returns when to look for arrivals: never, once, or twice.
    pub fn send(&mut self, id: u64, from: usize, parcel: Parcel, now: u64) -> [Option<u64>; 2] {
        let trouble = self.trouble;
        let is_frame = matches!(parcel, Parcel::Frame(_));
        let size = parcel.bytes().len() as u64;
        let Some(connection) = self.connections.get_mut(&id) else { return [None; 2] };
        let (link, to) = (connection.link, connection.other(from));
        let gulp = self.slow_readers.get(&to).copied().unwrap_or(0);
        let direction = connection.direction(from);
        let latency = latency(&link, trouble.delay, &mut direction.random);
        let share = |own: u64, fault: u64| own + fault - own * fault / WHOLE;
        let (lost, twice, late) = (
            direction.random.share(share(link.loss, trouble.loss)),
            is_frame && direction.random.share(share(link.duplication, trouble.duplicate)),
            is_frame && direction.random.share(share(link.reordering, trouble.reorder)),
        );
        let lag = direction.random.below(20 * MILLISECOND + 4 * latency);
        let bandwidth = (link.bandwidth / trouble.narrow.max(1)).max(NARROWEST);
        if is_frame {
            self.traffic.frames += 1;
            self.traffic.bytes += size;
        }
        if direction.cut {
            return [None; 2];
        }
        if lost {
            self.traffic.lost += 1;
            return [None; 2];
        }
        while direction.waiting.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, bytes)) = direction.waiting.pop_front() {
                direction.waiting_bytes -= bytes;
            }
        }
        if is_frame && direction.waiting_bytes + size > link.queue {
            self.traffic.overflows += 1;
            return [None; 2];
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
        let again = twice.then_some(arrival + lag);
        if let Some(again) = again {
            self.traffic.duplicated += 1;
            self.parcels += 1;
            direction.inbox.insert((again, self.parcels), parcel.clone());
        }
        self.parcels += 1;
        direction.inbox.insert((arrival, self.parcels), parcel);
        [Some(arrival), again]
    }

    /// Takes what has arrived at the other end of `from`; nothing while the direction is blocked.
    pub fn receive(&mut self, id: u64, from: usize, now: u64) -> Vec<Parcel> {
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let to = connection.other(from);
        if self.blocked.contains_key(&(from, to)) {
            return Vec::new();
        }
        let direction = connection.direction(from);
        if direction.resumes > now {
            return Vec::new();
        }
        let inbox = &mut direction.inbox;
        let mut arrived = Vec::new();
        while let Some(first) = inbox.first_entry().filter(|first| first.key().0 <= now) {
            arrived.push(first.remove());
        }
        arrived
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

    /// When a connection carries on in a direction that is open again: what waits there since some
    /// time gets through when it is sent again. Then, if that is too late, when its ends give up.
    pub fn resume(&mut self, id: u64, from: usize, now: u64) -> (u64, Option<u64>) {
        let Some(connection) = self.connections.get_mut(&id) else { return (now, None) };
        let mut pause = SENT_AGAIN + 2 * connection.link.latency;
        let direction = connection.direction(from);
        let Some(((first, _), _)) = direction.inbox.first_key_value() else { return (now, None) };
        let (mut attempt, silent) = (*first, *first + SILENCE);
        while attempt < now {
            attempt += pause;
            pause *= 2;
        }
        direction.resumes = attempt;
        (attempt, (attempt > silent).then_some(silent))
    }

    /// Whether a direction of a connection waits for its sender to send again.
    pub fn is_stalled(&self, id: u64, from: usize, now: u64) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        connection.directions[usize::from(connection.ends[0] != from)].resumes > now
    }

    /// Whether a direction is blocked.
    pub fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains_key(&(from, to))
    }

    /// Ends every trouble and every block.
    pub fn heal(&mut self) {
        self.trouble = Trouble::default();
        self.slow_readers.clear();
        self.blocked.clear();
    }

    /// Lets what stands in the queues travel at the full bandwidth from now on; returns when to look
    /// for arrivals, and on which connection from which process.
    pub fn speed_up(&mut self, now: u64) -> Vec<(u64, usize, u64)> {
        let mut arrivals = Vec::new();
        for (id, connection) in &mut self.connections {
            let Link { latency, bandwidth, .. } = connection.link;
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
                direction.resumes = 0;
            }
        }
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was sent into a block gets through when it is sent again after the block, not at its end,
    /// and what waits longer than the ends do never does.
    #[test]
    fn what_waited_is_sent_again() {
        let link = Link { latency: 0, jitter: 0, tail: 0, ..Link::LAN };
        for (seconds, resumes, silent) in
            [(1, 1_540, false), (10, 13_860, false), (14, 27_940, true)]
        {
            let mut network = Network::new(1);
            let id = network.open([0, 1], link, 0);
            network.block(0, 1);
            assert!(network.send(id, 0, Parcel::Frame(Vec::new()), SECOND)[0].is_some());
            let open = SECOND + seconds * SECOND;
            assert_eq!(network.receive(id, 0, open), []);
            assert!(network.unblock(0, 1));
            let sent = SECOND;
            let wanted = (resumes * MILLISECOND + sent, silent.then_some(sent + SILENCE));
            assert_eq!(network.resume(id, 0, open), wanted);
            assert!(network.is_stalled(id, 0, open) && !network.is_stalled(id, 1, open));
            assert_eq!(network.receive(id, 0, wanted.0 - 1), []);
            assert_eq!(network.receive(id, 0, wanted.0).len(), 1);
            assert_eq!(network.resume(id, 1, open), (open, None), "nothing waits there");
        }
    }
}
