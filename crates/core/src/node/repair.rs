//! The self-check of a copy: equal vectors with different digests are a divergence. It is compared by
//! bucket, then by key, and what is missing is put back. The self-check never drops a row.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::work::Work;
use super::{Event, Node};
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::limits::PAGE_BYTES_MAX;
use crate::message::{Message, Target};
use crate::planted::{Planted, planted};
use crate::record::{Record, bucket_of};
use crate::rows::{self, Transaction};
use crate::stamp::Dot;
use crate::store::{Store, StoreError};
use crate::vector::Vector;

/// Most rows told in one page of a self-check, and most rows read for one.
pub(super) const CHECK_PAGE: usize = 4096;
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

impl<S: Store> Node<S> {
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
        let rows = rows::data_rows(&self.store, prefix, start, None);
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
        for row in rows::data_rows(&self.store, prefix, &page.start, page.end.as_deref()) {
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
            self.send_repair(peer, target, missing, wanted);
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
        (vector, rows): (&Vector, Vec<(Vec<u8>, Record)>),
        wanted: Vec<Vec<u8>>,
        now: Now,
    ) -> Result<(), StoreError> {
        let id = target.database;
        // A page of each side, at most.
        let malformed = rows.iter().any(|(stored, record)| {
            record.is_malformed(stored)
                || stored.is_empty()
                || stored.len() > super::push::STORED_KEY_MAX
        });
        if malformed || wanted.len() > 2 * CHECK_PAGE {
            self.misbehaved(peer, "a repair with rows out of bounds");
            return Ok(());
        }
        if !self.is_ours(target) || self.is_handed_over(id) {
            return Ok(());
        }
        let own = rows.iter().map(|(_, record)| record.dot());
        let heard = own.filter(|dot| dot.epoch == self.epoch).map(|dot| dot.sequence).max();
        self.check_own_epoch(id, self.epoch, heard.unwrap_or(0))?;
        let mut work = Work::default();
        let tell = self.wants_changes(id);
        let (mut repaired, mut untold) = (0, false);
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        work.touched.insert(id);
        // Who does not reflect the floor may send what was deleted and collected here.
        let collected = held.replica.state.newest_collected;
        let suspect = held.replica.is_below_floor(vector, &[]);
        for (stored, record) in rows {
            let old_news = record.stamp().time <= collected;
            if suspect
                && old_news
                && held.replica.record(&work.transaction, &self.store, &stored)?.is_none()
            {
                continue;
            }
            if planted(Planted::RepairSkipsCovered) && held.replica.covers(record.dot()) {
                continue;
            }
            held.replica.state.progress.applied(record.dot());
            let copy = record.clone();
            let transaction = &mut work.transaction;
            let applied =
                held.replica.apply(transaction, &self.store, &self.fingerprint, &stored, record)?;
            repaired += u64::from(applied == crate::replica::Applied::Won);
            untold |= old_news && copy.is_live();
            // Who watches may have been told of a delete that is forgotten by now.
            work.tell(id, tell && !old_news, &stored, &copy, applied);
        }
        self.commit_work(work, now)?;
        if untold {
            self.end_watches(id);
        }
        if repaired > 0 {
            self.count("rows_repaired", repaired);
            let path = self.path_of(id);
            self.event(Event::Repaired(path, repaired));
        }
        let found = self.page_of(id, wanted.into_iter().map(|stored| (stored, None)))?;
        if !found.is_empty() {
            self.send_repair(peer, target, found, Vec::new());
        }
        Ok(())
    }

    /// The records of some stored keys, or of those that still carry a dot: as many as fit one page.
    pub(super) fn page_of(
        &self,
        id: DatabaseId,
        keys: impl Iterator<Item = (Vec<u8>, Option<Dot>)>,
    ) -> Result<Vec<(Vec<u8>, Record)>, StoreError> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let Some(held) = self.held.get(&id) else { return Ok(page) };
        let nothing = Transaction::default();
        for (stored, dot) in keys {
            let found = held.replica.record(&nothing, &self.store, &stored)?;
            let wanted = |record: &Record| dot.is_none_or(|dot| record.dot() == dot);
            let Some(record) = found.filter(wanted) else { continue };
            bytes += record.payload().len() + stored.len();
            if !page.is_empty() && bytes > PAGE_BYTES_MAX {
                break;
            }
            page.push((stored, record));
        }
        Ok(page)
    }

    /// Puts back what a peer lacks, and asks for what is missing here.
    pub(super) fn send_repair(
        &mut self,
        peer: PeerId,
        target: Target,
        rows: Vec<(Vec<u8>, Record)>,
        wanted: Vec<Vec<u8>>,
    ) {
        let Some(held) = self.held.get(&target.database) else { return };
        let vector = held.replica.state.progress.vector.clone();
        self.send(peer, &Message::Repair { target, vector, rows, wanted });
    }
}

fn has_bucket(buckets: &[u8; 32], bucket: u8) -> bool {
    buckets[usize::from(bucket / 8)] & (1 << (bucket % 8)) != 0
}
