//! One connected peer: its frames in and out, hello, clocks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Event, Node, Output};
use crate::clock::Now;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::message::{
    FRAGMENT_BYTES, FRAME_MAX, FRAME_TARGET, Message, Operation, PROTOCOL_VERSION, REASSEMBLY_MAX,
};
use crate::planted::{Planted, planted};
use crate::stamp::Millis;
use crate::store::{Store, StoreError};
use crate::wire;

/// Requests of one peer remembered by number: far more than overtake each other in one stream.
const REQUESTS_KEPT: usize = 1024;

/// What the node keeps of one connected peer.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// The frame under construction.
    frame: Vec<u8>,
    /// Fragmented messages sent so far.
    fragmented: u64,
    /// Fragments of messages that are not whole yet.
    parts: BTreeMap<u64, (u32, Vec<u8>)>,
    /// The live epoch the peer told.
    pub(super) epoch: Option<Epoch>,
    /// The live epoch the peer told when it was last asked, and when that was.
    pub(super) told: Option<(u64, Epoch)>,
    /// Whether this peer's system databases have been compared with ours since it connected.
    pub(super) in_step: bool,
    /// Whether they are to be compared once more.
    pub(super) anew: bool,
    /// System databases still to be pulled before that is so.
    pub(super) to_step: BTreeSet<DatabaseId>,
    /// Whether a difference has been looked into since it connected.
    pub(super) compared: bool,
    /// The latest requests to read that arrived: one that arrives twice is done once.
    requests: BTreeSet<u64>,
    /// The latest of its pulls that was answered.
    pub(super) pulled: u64,
    /// Round trip in microseconds.
    pub(super) round_trip: Option<u64>,
    /// Its clock minus ours, in milliseconds.
    pub(super) clock_offset: Option<i64>,
}

impl Link {
    /// Whether the system databases are still to be compared.
    pub(super) fn is_stepping(&self) -> bool {
        !self.in_step || self.anew
    }

    /// They have been.
    pub(super) fn stepped(&mut self) {
        (self.in_step, self.anew) = (true, false);
        self.to_step.clear();
    }
}

/// What travels in the probe stream beside SWIM.
#[derive(Debug, Serialize, Deserialize)]
enum ProbeMessage {
    /// A packet of the membership.
    Swim(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The sender's monotonic clock, to be returned.
    Ping(u64),
    /// The returned clock, and the sender's wall clock.
    Pong(u64, Millis),
}

/// Wraps a packet of the membership.
pub(super) fn probe_packet(packet: &[u8]) -> Vec<u8> {
    wire::encode(&ProbeMessage::Swim(packet.to_vec()))
}

impl<S: Store> Node<S> {
    pub(super) fn connected(&mut self, peer: PeerId, now: Now) -> Result<(), StoreError> {
        if self.links.contains_key(&peer) {
            self.disconnected(peer, now)?;
        }
        self.links.insert(peer, Link::default());
        self.note_acquaintance(peer);
        self.compare_soon(peer);
        let hello = self.own_hello();
        self.send(peer, &hello);
        self.send_ping(peer, now);
        self.send_summary(peer);
        Ok(())
    }

    pub(super) fn disconnected(&mut self, peer: PeerId, now: Now) -> Result<(), StoreError> {
        let epoch = self.links.remove(&peer).and_then(|link| link.epoch);
        self.note_acquaintance(peer);
        self.guard.forget(peer);
        self.clones.disconnected(peer);
        self.forget_pushes(peer);
        self.abort_pulls_from(peer, now)?;
        self.forget_calls(peer, epoch, now);
        self.watch.forget(peer);
        Ok(())
    }

    pub(super) fn own_hello(&self) -> Message {
        let identity = self.membership.identity().clone();
        Message::Hello { identity, epoch: self.epoch, protocol: PROTOCOL_VERSION, features: 0 }
    }

    pub(super) fn broadcast_hello(&mut self) {
        let hello = self.own_hello();
        self.broadcast(&hello);
    }

    pub(super) fn send(&mut self, peer: PeerId, message: &Message) {
        let mut bytes = Vec::with_capacity(64);
        wire::append_sized(&mut bytes, message);
        self.send_encoded(peer, &bytes);
    }

    /// Sends a message that was encoded once for several peers.
    pub(super) fn send_encoded(&mut self, peer: PeerId, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let Some(link) = self.links.get_mut(&peer) else { return };
        if link.frame.is_empty() {
            self.unsent.push(peer);
        }
        if bytes.len() < FRAME_MAX {
            link.append(peer, bytes, &mut self.outputs);
            return;
        }
        let message = link.fragmented;
        link.fragmented += 1;
        let parts = bytes.chunks(FRAGMENT_BYTES);
        let count = parts.len();
        for (index, part) in parts.enumerate() {
            let fragment = Message::Fragment {
                message,
                index: index as u32,
                last: index + 1 == count,
                bytes: part.to_vec(),
            };
            let mut encoded = Vec::with_capacity(part.len() + 16);
            wire::append_sized(&mut encoded, &fragment);
            link.append(peer, &encoded, &mut self.outputs);
        }
    }

    /// Sends a message to every connected peer.
    pub(super) fn broadcast(&mut self, message: &Message) {
        let peers: Vec<PeerId> = self.links.keys().copied().collect();
        for peer in peers {
            self.send(peer, message);
        }
    }

    pub(super) fn flush_links(&mut self) {
        let mut unsent = core::mem::take(&mut self.unsent);
        unsent.sort_unstable();
        for peer in unsent.drain(..) {
            if let Some(link) = self.links.get_mut(&peer) {
                link.flush(peer, &mut self.outputs);
            }
        }
        // Its room is used again.
        self.unsent = unsent;
    }

    pub(super) fn receive(
        &mut self,
        peer: PeerId,
        frames: Vec<Vec<u8>>,
        now: Now,
    ) -> Result<(), StoreError> {
        if !self.links.contains_key(&peer) {
            return Ok(());
        }
        let mut arrived = super::push::Arrived::default();
        for frame in frames {
            let Ok(mut rest) = wire::body(&frame) else {
                self.misbehaved(peer, "a frame of another version");
                continue;
            };
            while !rest.is_empty() {
                let Ok(bytes) = wire::take_sized(&mut rest) else {
                    self.misbehaved(peer, "a truncated message");
                    break;
                };
                let Ok(message) = wire::decode_bare::<Message>(bytes) else {
                    self.misbehaved(peer, "a malformed message, or one of a later version");
                    continue;
                };
                self.receive_message(peer, message, &mut arrived, now)?;
            }
        }
        self.commit_arrived(peer, &mut arrived, now)
    }

    fn receive_message(
        &mut self,
        peer: PeerId,
        message: Message,
        arrived: &mut super::push::Arrived,
        now: Now,
    ) -> Result<(), StoreError> {
        match message {
            Message::Push { target, interval, records, durability, unreached } => {
                let push = super::push::Push { target, interval, records, durability, unreached };
                self.push_arrived(peer, push, arrived, now)
            }
            Message::Fragment { message, index, last, bytes } => {
                match self.reassemble(peer, message, index, last, &bytes) {
                    Some(Message::Fragment { .. }) => {
                        self.misbehaved(peer, "a fragment of a fragment");
                        Ok(())
                    }
                    Some(whole) => self.receive_message(peer, whole, arrived, now),
                    None => Ok(()),
                }
            }
            message => {
                self.commit_arrived(peer, arrived, now)?;
                // What came before may say that a copy here is of a database that was dropped.
                while self.placement_step(now)? {}
                self.act_on(peer, message, now)
            }
        }
    }

    fn act_on(&mut self, peer: PeerId, message: Message, now: Now) -> Result<(), StoreError> {
        match message {
            Message::Hello { identity, epoch, .. } => self.hello(peer, identity, epoch, now),
            Message::Stale { incarnation } => {
                let own = self.membership.identity().incarnation;
                // Not where it is just this one: that is an answer to an earlier hello, and every answer to
                // what is said now would come late in the same way.
                if incarnation > own && incarnation < u64::MAX / 2 {
                    self.describe_anew(|identity| identity.incarnation = incarnation, now);
                    self.broadcast_hello();
                }
            }
            Message::Offer { target, epoch, upto, durability } => {
                self.offered(peer, target, (epoch, upto), durability, now);
            }
            Message::Acknowledge { target, epoch, upto, durability } => {
                self.acknowledged(peer, target, epoch, upto, durability);
            }
            Message::Pull { target, session, vector, floor, digest, whole, lost } => {
                let ask = super::pull::Ask { target, session, vector, floor, digest, whole, lost };
                return self.asked(peer, ask, now);
            }
            Message::Chunk { target, session, index, records, cut, span } => {
                let chunk = super::pull::Part { target, session, index, records, cut, span };
                return self.chunk(peer, chunk, now);
            }
            Message::Credit { session } => return self.credit(peer, session, now),
            Message::Refuse { target, session, why } => {
                return self.refused(peer, target, session, why, now);
            }
            Message::Summary { system, user, answer } => {
                self.summary_arrived(peer, system, user, answer);
            }
            Message::Ranges(sums) => self.ranges_arrived(peer, &sums),
            Message::Items { items } => self.items_arrived(peer, &items, now),
            Message::Buckets { target, vector, sums } => {
                return self.buckets_arrived(peer, target, &vector, &sums, now);
            }
            Message::BucketRows { target, buckets, start, end, rows } => {
                let page = super::repair::RowsPage { buckets, start, end, rows };
                return self.bucket_rows_arrived(peer, target, page);
            }
            Message::BucketNext { target, buckets, start } => {
                return self.send_bucket_rows(peer, target, buckets, start);
            }
            Message::Repair { target, vector, rows, wanted } => {
                return self.repair_arrived(peer, target, (&vector, rows), wanted, now);
            }
            Message::Request { request, path, operation, again } => {
                let is_write = matches!(operation, Operation::Write { .. });
                if is_write || self.is_new_request(peer, request) {
                    return self.request_arrived(peer, request, (&path, operation), again, now);
                }
                self.count("requests_repeated", 1);
            }
            Message::Response { request, result } => {
                self.response_arrived(peer, request, result, now);
            }
            Message::Changes { request, index, changes, position } => {
                self.changes_arrived(peer, request, index, changes, position);
            }
            Message::AskEpoch { asked } => {
                let epoch = self.epoch;
                self.send(peer, &Message::TellEpoch { asked, epoch });
            }
            Message::TellEpoch { asked, epoch } => self.epoch_told(peer, asked, epoch, now),
            Message::Cloned { epoch } => self.cloned(peer, epoch, now),
            Message::AskLeave { target, asked, vector, lost } => {
                self.leave_asked(peer, target, asked, (&vector, &lost), now);
            }
            Message::Stay { target, asked } => return self.stays(peer, target, asked, now),
            Message::AskDurable { target, asked } => self.durable_asked(peer, target, asked),
            Message::TellDurable { target, asked, vector, lost } => {
                self.durable_told(peer, target, asked, (vector, &lost));
            }
            Message::AskShare { target, asked, keep } => {
                self.share_asked(peer, target, asked, keep);
            }
            Message::TellShare { target, asked, most, vector, lost } => {
                self.share_told(peer, (target, asked), most, (vector, &lost), now);
            }
            Message::AskDeleted { target, asked, floor, rows } => {
                return self.deleted_asked(peer, target, asked, (&floor, &rows));
            }
            Message::TellDeleted { target, asked, deleted } => {
                return self.deleted_told(peer, target.database, asked, &deleted, now);
            }
            Message::Unwatch { request } => self.watch.unwatch(peer, request),
            Message::Push { .. } | Message::Fragment { .. } | Message::Bye => {}
        }
        Ok(())
    }

    /// Whether a request has not arrived on this connection before. Requests are numbered, so one
    /// below everything that is remembered is old.
    fn is_new_request(&mut self, peer: PeerId, request: u64) -> bool {
        let Some(link) = self.links.get_mut(&peer) else { return false };
        let forgotten = link.requests.len() >= REQUESTS_KEPT;
        if forgotten && link.requests.first().is_some_and(|first| request < *first) {
            return false;
        }
        if forgotten {
            link.requests.pop_first();
        }
        link.requests.insert(request)
    }

    fn hello(
        &mut self,
        peer: PeerId,
        identity: crate::membership::Identity,
        epoch: Epoch,
        now: Now,
    ) {
        if identity.peer != peer || !identity.is_sane() {
            self.misbehaved(peer, "a hello under another name or out of bounds");
            return;
        }
        if epoch == self.epoch {
            self.misbehaved(peer, "a hello with this peer's epoch");
            return;
        }
        // Also where it is thought down: else it would climb there one renewal at a time.
        let known = self.members.get(&peer) == Some(&identity);
        if !known
            && let Some(incarnation) = self.membership.incarnation_of(peer)
            && incarnation > identity.incarnation
        {
            self.send(peer, &Message::Stale { incarnation });
        }
        if let Some(link) = self.links.get_mut(&peer) {
            link.epoch = Some(epoch);
        }
        self.ask_again(peer, epoch);
        self.heard_epoch(peer, epoch, now);
        self.membership.met(identity, known, now.monotonic);
    }

    pub(super) fn misbehaved(&mut self, peer: PeerId, what: &'static str) {
        self.count("peer_mistakes", 1);
        self.event(Event::Misbehaved(peer, what));
    }

    fn reassemble(
        &mut self,
        peer: PeerId,
        message: u64,
        index: u32,
        last: bool,
        bytes: &[u8],
    ) -> Option<Message> {
        let link = self.links.get_mut(&peer)?;
        let kept: usize = link.parts.values().map(|(_, bytes)| bytes.len()).sum();
        if kept + bytes.len() > REASSEMBLY_MAX {
            link.parts.clear();
            self.misbehaved(peer, "more fragments than are kept");
            return None;
        }
        // Messages are sent whole one after the other, so an older unfinished one lost a part.
        link.parts.retain(|&other, _| other >= message);
        let (next, parts) = link.parts.entry(message).or_default();
        if *next != index && !planted(Planted::FragmentLost) {
            // A part was dropped on the way: what the message said is pulled later.
            link.parts.remove(&message);
            self.count("broken_fragments", 1);
            return None;
        }
        *next += 1;
        parts.extend_from_slice(bytes);
        if !last {
            return None;
        }
        let (_, whole) = link.parts.remove(&message)?;
        let mut rest = whole.as_slice();
        let message = wire::take_sized(&mut rest).and_then(wire::decode_bare);
        if message.is_err() || !rest.is_empty() {
            self.misbehaved(peer, "a malformed message in fragments");
            return None;
        }
        message.ok()
    }

    pub(super) fn probed(&mut self, peer: PeerId, packet: &[u8], now: Now) {
        match wire::decode(packet) {
            Ok(ProbeMessage::Swim(packet)) => {
                if !self.membership.receive(&packet, now.monotonic) {
                    self.misbehaved(peer, "a malformed probe");
                }
            }
            Ok(ProbeMessage::Ping(sent)) => {
                let pong = wire::encode(&ProbeMessage::Pong(sent, now.wall));
                self.outputs.push_back(Output::Probe(peer, pong));
            }
            Ok(ProbeMessage::Pong(sent, wall)) => self.ponged(peer, sent, wall, now),
            Err(_) => self.misbehaved(peer, "a malformed probe"),
        }
    }

    fn ponged(&mut self, peer: PeerId, sent: u64, wall: Millis, now: Now) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let Some(round_trip) = now.monotonic.checked_sub(sent) else { return };
        link.round_trip = Some(round_trip);
        let then = wall.saturating_add(round_trip / 2_000);
        let offset = i64::try_from(i128::from(then) - i128::from(now.wall)).unwrap_or(i64::MAX);
        link.clock_offset = Some(offset);
        self.guard.note(peer, offset);
        let off = self.clock_off();
        // Where too few clocks are left to tell, what was last known of this one stands.
        if self.guard.own_offset().is_some() {
            self.sweeps.note_clock(off.is_some());
        }
        if off.is_some() != self.clock_was_off {
            self.clock_was_off = off.is_some();
            if let Some(offset) = off {
                self.event(Event::ClockOff(offset));
            }
        }
    }

    pub(super) fn send_ping(&mut self, peer: PeerId, now: Now) {
        let ping = wire::encode(&ProbeMessage::Ping(now.monotonic));
        self.outputs.push_back(Output::Probe(peer, ping));
    }

    /// Follows a remote stamp, noting one that is too far ahead.
    pub(super) fn follow(&mut self, time: crate::stamp::Time, path: &str, now: Now) {
        if !self.clock.follow(time, now.wall, self.config.max_clock_skew) {
            self.count("stamps_ahead", 1);
            if self.counters.get("stamps_ahead") == Some(&1) {
                self.event(Event::StampAhead(path.into()));
            }
        }
    }
}

impl Link {
    fn append(
        &mut self,
        peer: PeerId,
        bytes: &[u8],
        outputs: &mut alloc::collections::VecDeque<Output>,
    ) {
        if !self.frame.is_empty() && self.frame.len() + bytes.len() > FRAME_TARGET {
            self.flush(peer, outputs);
        }
        if self.frame.is_empty() {
            self.frame.push(wire::FORMAT_VERSION);
        }
        self.frame.extend_from_slice(bytes);
    }

    fn flush(&mut self, peer: PeerId, outputs: &mut alloc::collections::VecDeque<Output>) {
        if !self.frame.is_empty() {
            outputs.push_back(Output::Send(peer, core::mem::take(&mut self.frame)));
        }
    }
}
