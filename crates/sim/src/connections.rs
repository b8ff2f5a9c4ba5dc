//! How connections come and go, and what the drivers at their ends tell their nodes.
//!
//! Processes look for each other every second: all of them where the network has discovery, else
//! the first one and those their node asked to dial. A process keeps one connection per identity; a
//! newer one takes the place of one that broke without a word. Two processes under one identity take
//! turns at the others.

use tidings_core::ident::PeerId;
use tidings_core::node::Input;

use crate::faults::Act;
use crate::network::{Connection, Parcel, SILENCE};
use crate::scenario::{Link, MILLISECOND, SECOND};
use crate::world::{Event, World};

/// How long a connection lasts before another process under the same identity takes its place, at
/// least: as in the network driver.
const TURN: u64 = 3 * SECOND;

impl World {
    /// Sends on the connection that the node was told of; what finds none is dropped.
    pub(crate) fn send(&mut self, index: usize, peer: PeerId, parcel: Parcel) {
        let Some(&connection) = self.processes[index].known.get(&peer) else { return };
        self.trace.note("send", &[index as u64, connection]);
        self.trace.bytes(parcel.bytes());
        self.measures.sent(&parcel);
        let before = self.network.traffic;
        for at in self.network.send(connection, index, parcel, self.now).into_iter().flatten() {
            self.schedule(at, Event::Deliver(connection, index));
        }
        let after = self.network.traffic;
        self.sometimes.add("queue overflow", after.overflows - before.overflows);
        self.sometimes.add("frame lost", after.lost - before.lost);
        self.sometimes.add("frame duplicated", after.duplicated - before.duplicated);
        self.sometimes.add("frame reordered", after.reordered - before.reordered);
    }

    /// A process tries to connect to everyone it knows of and has no connection to.
    pub(crate) fn seek(&mut self, index: usize, life: u64) {
        let process = &self.processes[index];
        if process.life != life || process.node.is_none() {
            return;
        }
        let pause = SECOND / 2 + self.processes[index].random.below(SECOND);
        self.schedule(self.now + pause, Event::Seek(index, life));
        if !self.processes[index].is_awake(self.now) || self.processes[index].stopping {
            return;
        }
        // A connection is taken down with the process at its other end.
        if self.network.count_of(index) + 1 >= self.running {
            return;
        }
        let connected = self.network.ends_of(index);
        let mut connected = connected.iter().copied().peekable();
        for other in 0..self.processes.len() {
            while connected.next_if(|end| *end < other).is_some() {}
            if connected.peek() == Some(&other) || !self.processes[other].is_awake(self.now) {
                continue;
            }
            let (one, two) = (&self.processes[index], &self.processes[other]);
            let known = self.scenario.links.discovery
                || other == 0
                || index == 0
                || one.dials.contains(&two.peer);
            if known && self.can_connect(index, other) {
                let at = self.now + 3 * self.news_time(index, other);
                let (ends, lives) = ([index, other], [life, self.processes[other].life]);
                self.schedule(at, Event::Connect(ends, lives));
            }
        }
    }

    /// The link between two processes while nothing is wrong.
    fn link(&self, one: usize, other: usize) -> Link {
        let zone = |index: usize| self.processes[index].zone.as_str();
        *self.scenario.links.between(zone(one), zone(other))
    }

    /// How long it takes until one process hears what became of its connection to another; setting
    /// one up takes three times that: a handshake and a proof of the secret.
    fn news_time(&mut self, from: usize, to: usize) -> u64 {
        let link = self.link(from, to);
        self.network.news_time(&link, from, to, self.now)
    }

    /// Whether two processes could connect, and are not connected.
    fn can_connect(&self, one: usize, other: usize) -> bool {
        let (a, b) = (&self.processes[one], &self.processes[other]);
        let joined = |from: usize, to: usize| {
            let known = self.known_connection(from, self.processes[to].peer);
            known.is_some_and(|(_, connection)| {
                connection.other(from) == to || self.now < connection.since + TURN
            })
        };
        one != other
            && a.peer != b.peer
            && a.is_awake(self.now)
            && b.is_awake(self.now)
            && !a.stopping
            && !b.stopping
            && !self.network.is_blocked(one, other)
            && !self.network.is_blocked(other, one)
            && !joined(one, other)
            && !joined(other, one)
    }

    /// The connection to a peer that a process knows of, unless it is broken.
    fn known_connection(&self, from: usize, to: PeerId) -> Option<(u64, &Connection)> {
        let known = *self.processes[from].known.get(&to)?;
        self.network.connection(known).map(|connection| (known, connection))
    }

    pub(crate) fn connect(&mut self, ends: [usize; 2], lives: [u64; 2]) {
        let alive = (0..2).all(|end| self.processes[ends[end]].life == lives[end]);
        let pending = self.network.between(ends[0], ends[1]).is_some();
        if !alive || pending || !self.can_connect(ends[0], ends[1]) {
            return;
        }
        let [one, other] = ends;
        for (from, to) in [(one, other), (other, one)] {
            // That to another process under the same identity, which has had its turn.
            let peer = self.processes[to].peer;
            if let Some((displaced, _)) = self.known_connection(from, peer) {
                self.break_connection(displaced, false);
            }
        }
        let times = [self.now + self.news_time(one, other), self.now + self.news_time(other, one)];
        let mut sorted = ends;
        sorted.sort_unstable();
        let link = self.link(one, other);
        let id = self.network.open(sorted, link, times[0].max(times[1]));
        for end in 0..2 {
            self.schedule(times[end], Event::Up(ends[end], lives[end], id));
        }
    }

    pub(crate) fn up(&mut self, index: usize, life: u64, connection: u64) {
        let Some(found) = self.network.connection(connection) else { return };
        let peer = self.processes[found.other(index)].peer;
        if self.processes[index].life != life || self.processes[index].node.is_none() {
            return;
        }
        if self.processes[index].known.insert(peer, connection).is_some() {
            self.feed(index, Input::Disconnected(peer));
        }
        self.feed(index, Input::Connected(peer));
    }

    pub(crate) fn down(&mut self, index: usize, life: u64, connection: u64) {
        let process = &mut self.processes[index];
        if process.life != life || process.node.is_none() {
            return;
        }
        let known = process.known.iter().find(|(_, known)| **known == connection);
        let Some(peer) = known.map(|(peer, _)| *peer) else { return };
        process.known.remove(&peer);
        self.feed(index, Input::Disconnected(peer));
    }

    pub(crate) fn deliver(&mut self, connection: u64, from: usize) {
        let Some(found) = self.network.connection(connection) else { return };
        let to = found.other(from);
        let peer = self.processes[from].peer;
        let process = &self.processes[to];
        if process.known.get(&peer) != Some(&connection) {
            if process.node.is_some() {
                // It has not heard of the connection yet.
                self.schedule(self.now + MILLISECOND, Event::Deliver(connection, from));
            }
            return;
        }
        let mut frames = Vec::new();
        let mut probes = Vec::new();
        for parcel in self.network.receive(connection, from, self.now) {
            match parcel {
                Parcel::Frame(frame) => frames.push(frame),
                Parcel::Probe(packet) => probes.push(packet),
            }
        }
        if !frames.is_empty() {
            self.feed(to, Input::Frames(peer, frames));
        }
        for packet in probes {
            self.feed(to, Input::Probe(peer, packet));
        }
    }

    /// Breaks a connection; its ends hear of it soon, or, if `silent`, only after a while.
    pub fn break_connection(&mut self, connection: u64, silent: bool) {
        let Some(closed) = self.network.close(connection) else { return };
        for end in closed.ends {
            let other = closed.other(end);
            let time = if silent { SILENCE } else { self.news_time(end, other) };
            let life = self.processes[end].life;
            self.schedule(self.now + time, Event::Down(end, life, connection));
        }
    }

    /// Breaks every connection of a process that ended.
    pub(crate) fn break_all(&mut self, index: usize, silent: bool) {
        for connection in self.network.connections_of(index) {
            self.break_connection(connection, silent);
        }
    }

    /// A block has ended: what waited behind it is delivered once it is sent again.
    pub(crate) fn reopen(&mut self, from: usize, to: usize) {
        let Some(id) = self.network.between(from, to) else { return };
        let (at, silent) = self.network.resume(id, from, self.now);
        self.schedule(at, Event::Deliver(id, from));
        if let Some(silent) = silent {
            self.schedule(silent, Event::Act(Act::GiveUp(id, from)));
        }
    }
}
