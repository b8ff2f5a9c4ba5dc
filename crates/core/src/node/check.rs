//! Finding differences: summaries of what two peers both hold, and the self-check of a copy.
//!
//! Idle costs one small message per peer pair, however many databases there are. Unequal sums are
//! narrowed down by ranges of database ids to the databases that differ, and those are pulled.
//! Equal vectors with different digests are a divergence: it is compared by bucket, then by key, and
//! what is missing is put back. The self-check never drops a row.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use super::work::Work;
use super::{Event, Node, SECOND};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::limits::PAGE_BYTES_MAX;
use crate::message::{Message, Range, RangeSum, Target};
use crate::planted::{Planted, planted};
use crate::record::{Record, bucket_of};
use crate::rows::{self, Transaction};
use crate::store::{Space, Store, StoreError};
use crate::vector::Vector;

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
/// Most rows told in one page of a self-check, and most rows read for one.
const CHECK_PAGE: usize = 4096;
const CHECK_READS: usize = 4 * CHECK_PAGE;

/// Stored keys and shortened elements, ascending.
type Elements = Vec<(Vec<u8>, u64)>;

/// One page of the live rows in some buckets.
#[derive(Debug)]
pub(super) struct RowsPage {
    pub(super) buckets: [u8; 32],
    pub(super) start: Vec<u8>,
    pub(super) end: Option<Vec<u8>>,
    pub(super) rows: Vec<(Vec<u8>, u64)>,
}

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
        self.is_in_step(now)
            && now.monotonic >= self.started.monotonic + STEP_GRACE
            && self.links.values().all(|link| link.in_step)
            && self.members.keys().all(|peer| self.links.contains_key(peer))
    }

    /// The databases of a range that both hold, with their fingerprints.
    fn items(&mut self, peer: PeerId, range: Range) -> Vec<(DatabaseId, u64)> {
        self.shared_items(peer, range.first()..=range.last())
    }

    pub(super) fn send_summary(&mut self, peer: PeerId) {
        let answer = self.links.get(&peer).is_some_and(|link| !link.in_step);
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
                link.in_step = true;
                link.to_step.clear();
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
        let stepping = !link.in_step;
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
                link.in_step = link.to_step.is_empty();
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

    /// Begins the self-check of a copy with a peer whose vector is equal and whose digest is not: at
    /// once if the bucket sums are known, or else when they have been counted.
    pub(super) fn send_buckets(&mut self, peer: PeerId, id: DatabaseId, now: Now) {
        let Some(held) = self.held.get(&id) else { return };
        let Some(buckets) = held.replica.buckets() else {
            self.scrub_for(id, peer, now);
            return;
        };
        let sums = buckets.iter().map(|&sum| sum as u64).collect();
        let vector = held.replica.state.progress.vector.clone();
        let target = Target { database: id, generation: held.replica.state.generation };
        self.count("divergences", 1);
        self.send(peer, &Message::Buckets { target, vector, sums });
    }

    /// Whether a copy with this vector is here. It may have rows above it: what a compare finds of
    /// those is merged as any record is.
    fn is_comparable(&mut self, target: Target, vector: &Vector) -> bool {
        self.is_ours(target)
            && self
                .held
                .get(&target.database)
                .is_some_and(|held| held.replica.state.progress.vector == *vector)
    }

    pub(super) fn buckets_arrived(
        &mut self,
        peer: PeerId,
        target: Target,
        vector: &Vector,
        sums: &[u64],
        now: Now,
    ) -> Result<(), StoreError> {
        if sums.len() != 256 {
            self.misbehaved(peer, "not 256 bucket sums");
            return Ok(());
        }
        if !self.is_comparable(target, vector) {
            return Ok(());
        }
        let Some(held) = self.held.get(&target.database) else { return Ok(()) };
        let Some(own) = held.replica.buckets() else {
            // The peer is told them once they are counted, and goes on from there.
            self.scrub_for(target.database, peer, now);
            return Ok(());
        };
        let mut buckets = [0_u8; 32];
        let ignored = |bucket: usize| planted(Planted::BucketIgnored) && bucket % 8 == 7;
        for (bucket, _) in
            own.iter().zip(sums).enumerate().filter(|(_, (own, sum))| **own as u64 != **sum)
        {
            buckets[bucket / 8] |= u8::from(!ignored(bucket)) << (bucket % 8);
        }
        if buckets == [0; 32] {
            Ok(())
        } else {
            self.send_bucket_rows(peer, target, buckets, Vec::new())
        }
    }

    /// Tells one page of rows; the peer asks for the next one.
    pub(super) fn send_bucket_rows(
        &mut self,
        peer: PeerId,
        target: Target,
        buckets: [u8; 32],
        start: Vec<u8>,
    ) -> Result<(), StoreError> {
        if self.is_ours(target) {
            let (rows, end) = self.live_rows(target.database, &buckets, &start)?;
            self.send(peer, &Message::BucketRows { target, buckets, start, end, rows });
        }
        Ok(())
    }

    /// Live rows in some buckets above a stored key, and the last key of a page that is not the last.
    fn live_rows(
        &self,
        id: DatabaseId,
        buckets: &[u8; 32],
        start: &[u8],
    ) -> Result<(Elements, Option<Vec<u8>>), StoreError> {
        let mut page = Vec::new();
        let Some(held) = self.held.get(&id) else { return Ok((page, None)) };
        let prefix = held.replica.prefix;
        let first = rows::data_key(prefix, start);
        let end = rows::data_key(prefix + 1, &[]);
        let lower =
            if start.is_empty() { Bound::Included(&*first) } else { Bound::Excluded(&*first) };
        let rows = self.store.range(Space::Data, lower, Bound::Excluded(&end));
        for (read, row) in rows.enumerate() {
            let (key, bytes) = row?;
            let stored = &key[4..];
            if has_bucket(buckets, bucket_of(stored)) {
                let record = crate::replica::decode_record(&bytes)?;
                if record.is_live() {
                    let element = self.fingerprint.element(stored, &record) as u64;
                    page.push((stored.to_vec(), element));
                }
            }
            if page.len() == CHECK_PAGE || read + 1 == CHECK_READS {
                return Ok((page, Some(stored.to_vec())));
            }
        }
        Ok((page, None))
    }

    pub(super) fn bucket_rows_arrived(
        &mut self,
        peer: PeerId,
        target: Target,
        page: RowsPage,
    ) -> Result<(), StoreError> {
        let id = target.database;
        if page.rows.len() > CHECK_PAGE {
            self.misbehaved(peer, "a page of more rows than allowed");
            return Ok(());
        }
        if !self.is_ours(target) {
            return Ok(());
        }
        let theirs: BTreeMap<Vec<u8>, u64> = page.rows.into_iter().collect();
        let Some(prefix) = self.held.get(&id).map(|held| held.replica.prefix) else {
            return Ok(());
        };
        let (mut missing, mut bytes) = (Vec::new(), 0);
        let mut wanted = Vec::new();
        let nothing = Transaction::default();
        for (stored, element) in &theirs {
            let Some(held) = self.held.get(&id) else { break };
            match held.replica.record(&nothing, &self.store, stored)? {
                None => wanted.push(stored.clone()),
                Some(record) => {
                    if !record.is_live()
                        || self.fingerprint.element(stored, &record) as u64 != *element
                    {
                        // Either may be the newer one: the merge on both sides decides.
                        if missing.is_empty() || bytes + record.payload().len() <= PAGE_BYTES_MAX {
                            bytes += record.payload().len();
                            missing.push((stored.clone(), record));
                        }
                        wanted.push(stored.clone());
                    }
                }
            }
        }
        let first = rows::data_key(prefix, &page.start);
        let end = match &page.end {
            Some(end) => Bound::Included(rows::data_key(prefix, end)),
            None => Bound::Excluded(rows::data_key(prefix + 1, &[])),
        };
        let lower =
            if page.start.is_empty() { Bound::Included(&*first) } else { Bound::Excluded(&*first) };
        for row in self.store.range(Space::Data, lower, end.as_ref().map(|key| &**key)) {
            let (key, data) = row?;
            let stored = &key[4..];
            if has_bucket(&page.buckets, bucket_of(stored)) && !theirs.contains_key(stored) {
                let record = crate::replica::decode_record(&data)?;
                if record.is_live() {
                    bytes += record.payload().len();
                    if !missing.is_empty()
                        && (bytes > PAGE_BYTES_MAX || missing.len() >= CHECK_PAGE)
                    {
                        break;
                    }
                    missing.push((stored.to_vec(), record));
                    // The peer may have a tombstone for it, which its live rows do not show.
                    wanted.push(stored.to_vec());
                }
            }
        }
        if !missing.is_empty() || !wanted.is_empty() {
            self.send(peer, &Message::Repair { target, rows: missing, wanted });
        }
        if let Some(start) = page.end.filter(|end| *end > page.start) {
            self.send(peer, &Message::BucketNext { target, buckets: page.buckets, start });
        }
        Ok(())
    }

    /// Rows that a compare found missing here. They are exempt from I5: their dots are covered, and
    /// exist to put back what should be here.
    pub(super) fn repair_arrived(
        &mut self,
        peer: PeerId,
        target: Target,
        rows: Vec<(Vec<u8>, Record)>,
        wanted: Vec<Vec<u8>>,
        now: Now,
    ) -> Result<(), StoreError> {
        let id = target.database;
        // A page of each side, at most.
        let malformed = rows.iter().any(|(stored, record)| {
            record.is_malformed() || stored.is_empty() || stored.len() > super::push::STORED_KEY_MAX
        });
        if malformed || wanted.len() > 2 * CHECK_PAGE {
            self.misbehaved(peer, "a repair with rows out of bounds");
            return Ok(());
        }
        if !self.is_ours(target) {
            return Ok(());
        }
        let own = rows.iter().map(|(_, record)| record.dot());
        let heard = own.filter(|dot| dot.epoch == self.epoch).map(|dot| dot.sequence).max();
        self.check_own_epoch(id, self.epoch, heard.unwrap_or(0))?;
        let mut work = Work::default();
        let tell = self.wants_changes(id);
        let mut repaired = 0;
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        work.touched.insert(id);
        for (stored, record) in rows {
            if planted(Planted::RepairSkipsCovered) && held.replica.covers(record.dot()) {
                continue;
            }
            held.replica.state.progress.applied(record.dot());
            let copy = record.clone();
            let transaction = &mut work.transaction;
            let applied =
                held.replica.apply(transaction, &self.store, &self.fingerprint, &stored, record)?;
            repaired += u64::from(applied == crate::replica::Applied::Won);
            work.tell(id, tell, &stored, &copy, applied);
        }
        self.commit_work(work, now)?;
        if repaired > 0 {
            self.count("rows_repaired", repaired);
            let path = self.path_of(id);
            self.event(Event::Repaired(path, repaired));
        }
        let (mut found, mut bytes) = (Vec::new(), 0);
        let nothing = Transaction::default();
        for stored in wanted {
            let Some(held) = self.held.get(&id) else { break };
            if let Some(record) = held.replica.record(&nothing, &self.store, &stored)? {
                bytes += record.payload().len() + stored.len();
                if !found.is_empty() && bytes > PAGE_BYTES_MAX {
                    break;
                }
                found.push((stored, record));
            }
        }
        if !found.is_empty() {
            self.send(peer, &Message::Repair { target, rows: found, wanted: Vec::new() });
        }
        Ok(())
    }
}

fn has_bucket(buckets: &[u8; 32], bucket: u8) -> bool {
    buckets[usize::from(bucket / 8)] & (1 << (bucket % 8)) != 0
}
