//! Finding differences: summaries of what two peers both hold.
//!
//! Idle costs one small message per peer pair, however many databases there are. Unequal sums are
//! narrowed down by ranges of database ids to the databases that differ, and those are pulled.

use alloc::vec::Vec;

use super::link::Link;
use super::{Node, SECOND};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::message::{Message, Range, RangeSum};
use crate::store::Store;

/// A range with at most this many databases is told item by item: 24 bytes each.
const ITEMS_MAX: usize = 48;
/// Bits by which one step narrows a range.
const RANGE_STEP: u8 = 4;
/// Most ranges and items taken from one message.
const PARTS_MAX: usize = 4096;
/// A database changed within this time is not compared: its pushes are still on their way.
const BUSY: u64 = SECOND;
/// A database that stays busy is compared all the same after this many rounds.
const BUSY_ROUNDS: u8 = 5;
/// How long a peer that expects others waits for the first of them before it takes its own directory
/// for all there is: mDNS answers within a second or two.
const STEP_GRACE: u64 = 3 * SECOND;

impl Range {
    const ALL: Self = Self { bits: 0, prefix: 0 };

    fn first(self) -> DatabaseId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.prefix.to_be_bytes());
        DatabaseId(id)
    }

    fn last(self) -> DatabaseId {
        let rest = u64::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
        let mut id = [0xff; 16];
        id[..8].copy_from_slice(&(self.prefix | rest).to_be_bytes());
        DatabaseId(id)
    }

    fn children(self) -> impl Iterator<Item = Self> {
        let bits = self.bits + RANGE_STEP;
        (0..1_u64 << RANGE_STEP).map(move |index| Self {
            bits,
            prefix: self.prefix | (index << (64 - u32::from(bits))),
        })
    }

    fn is_known(self) -> bool {
        self.bits <= 64 && self.bits.is_multiple_of(RANGE_STEP)
    }

    fn is_sane(self) -> bool {
        self.bits <= 64 - RANGE_STEP && self.bits.is_multiple_of(RANGE_STEP)
    }
}

impl<S: Store> Node<S> {
    /// Whether the directories of a majority of the live peers, this one included, have been compared
    /// with ours, or nobody who may know more is expected.
    pub(super) fn is_in_step(&self, now: Now) -> bool {
        if self.links.is_empty() {
            let expected = self.config.expects_peers || !self.remembered.is_empty();
            let grace = if expected { STEP_GRACE } else { 0 };
            return now.monotonic >= self.started.monotonic + grace;
        }
        let in_step = self.links.values().filter(|link| link.in_step).count();
        let live = self.links.len().max(self.members.len());
        2 * (in_step + 1) > live + 1
    }

    /// Whether the directories of all live peers have been compared with ours, and those that this peer
    /// may not know of had time to be told of. A majority is not enough where this peer itself, or
    /// another one of it, has lost its disk: what it had said may be known to one other peer only.
    pub(super) fn is_in_step_with_all(&self, now: Now) -> bool {
        self.is_in_step_with_connected(now)
            && now.monotonic >= self.started.monotonic + STEP_GRACE
            && self.members.keys().all(|peer| self.links.contains_key(peer))
    }

    /// The same of the peers that are connected.
    pub(super) fn is_in_step_with_connected(&self, now: Now) -> bool {
        self.is_in_step(now) && !self.links.values().any(Link::is_stepping)
    }

    /// Compares the directories of all connected peers with ours once more.
    pub(super) fn step_anew(&mut self) {
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            if let Some(link) = self.links.get_mut(&peer) {
                link.anew = true;
                link.to_step.clear();
            }
            self.compare_soon(peer);
        }
    }

    /// The databases of a range that both hold, with their fingerprints.
    fn items(&mut self, peer: PeerId, range: Range) -> Vec<(DatabaseId, u64)> {
        self.shared_items(peer, range.first()..=range.last())
    }

    pub(super) fn send_summary(&mut self, peer: PeerId) {
        let answer = self.links.get(&peer).is_some_and(Link::is_stepping);
        self.tell_summary(peer, answer);
    }

    fn tell_summary(&mut self, peer: PeerId, answer: bool) {
        let (system, user) = self.sums(peer);
        self.send(peer, &Message::Summary { system, user, answer });
    }

    pub(super) fn summary_arrived(&mut self, peer: PeerId, system: u64, user: u64, answer: bool) {
        let (own_system, own_user) = self.sums(peer);
        if answer {
            self.tell_summary(peer, false);
        }
        if system == own_system {
            if let Some(link) = self.links.get_mut(&peer) {
                link.stepped();
            }
        } else {
            self.compare_soon(peer);
            let items = self.system_items();
            self.send(peer, &Message::Items { items });
        }
        if user != own_user {
            self.compare_soon(peer);
            self.narrow(peer, &[Range::ALL]);
        }
    }

    fn system_items(&mut self) -> Vec<(DatabaseId, u64)> {
        let ids: Vec<DatabaseId> = self.directory.system_ids().collect();
        let mut items = Vec::new();
        for id in ids {
            if let Some(held) = self.held.get_mut(&id) {
                items.push((id, held.replica.summary(&self.fingerprint)));
            }
        }
        items
    }

    /// Tells what is in ranges that differ: items of small ones, sums of the parts of large ones.
    fn narrow(&mut self, peer: PeerId, ranges: &[Range]) {
        let (mut told, mut sums) = (Vec::new(), Vec::new());
        for range in ranges {
            let items = self.items(peer, *range);
            if items.len() <= ITEMS_MAX || !range.is_sane() {
                told.extend(items);
                continue;
            }
            for child in range.children() {
                let inside = child.first()..=child.last();
                let within = items.iter().filter(|(id, _)| inside.contains(id));
                let sum = within.fold(0_u64, |sum, (_, item)| sum.wrapping_add(*item));
                sums.push(RangeSum { range: child, sum });
            }
        }
        for items in told.chunks(PARTS_MAX) {
            self.send(peer, &Message::Items { items: items.to_vec() });
        }
        for sums in sums.chunks(PARTS_MAX) {
            self.send(peer, &Message::Ranges(sums.to_vec()));
        }
    }

    pub(super) fn ranges_arrived(&mut self, peer: PeerId, sums: &[RangeSum]) {
        let ascending = sums.windows(2).all(|pair| pair[0].range.last() < pair[1].range.first());
        if sums.len() > PARTS_MAX || !ascending || !sums.iter().all(|sum| sum.range.is_known()) {
            self.misbehaved(peer, "ranges out of bounds");
            return;
        }
        let mut differ = Vec::new();
        for RangeSum { range, sum } in sums {
            let items = self.items(peer, *range);
            if items.iter().fold(0_u64, |sum, (_, item)| sum.wrapping_add(*item)) != *sum {
                differ.push(*range);
            }
        }
        if !differ.is_empty() {
            self.compare_soon(peer);
        }
        self.narrow(peer, &differ);
    }

    /// A peer told its fingerprints of databases: those that differ are pulled.
    pub(super) fn items_arrived(&mut self, peer: PeerId, items: &[(DatabaseId, u64)], now: Now) {
        if items.len() > PARTS_MAX {
            self.misbehaved(peer, "more items than allowed");
            return;
        }
        let Some(link) = self.links.get_mut(&peer) else { return };
        let fresh = !core::mem::replace(&mut link.compared, true);
        let stepping = link.is_stepping();
        let mut differ = Vec::new();
        let mut system_seen = false;
        for (id, theirs) in items {
            let system = self.directory.is_system(*id);
            system_seen |= system;
            let Some(held) = self.held.get_mut(id) else { continue };
            if held.replica.summary(&self.fingerprint) == *theirs {
                held.busy_rounds = 0;
                continue;
            }
            let busy = held.touched + BUSY > now.monotonic;
            if busy && !fresh && !stepping && held.busy_rounds < BUSY_ROUNDS {
                held.busy_rounds += 1;
                continue;
            }
            held.busy_rounds = 0;
            differ.push((*id, system));
        }
        if stepping && system_seen {
            let to_step = differ.iter().filter(|(_, system)| *system).map(|(id, _)| *id).collect();
            if let Some(link) = self.links.get_mut(&peer) {
                link.to_step = to_step;
                if link.to_step.is_empty() {
                    link.stepped();
                }
            }
        }
        self.count("differences", differ.len() as u64);
        if !differ.is_empty() {
            self.compare_soon(peer);
        }
        for (id, _) in differ {
            // What is on its way already is not asked for twice; the next compare sees what is left.
            if !self.is_pulling(id, peer) {
                self.pull_all(id, peer, now);
            }
        }
    }
}
