//! Comparing below the floor: what is here and not there was deleted there, or is news.
//!
//! An answer that goes through all keys names every row of a holder, as of one snapshot. A row here
//! that it does not name is news where that holder's vector does not cover it. Where it does, the row
//! was deleted there and its tombstone collected, if this copy does not reflect the floor and the row
//! is no newer than the newest tombstone collected there; otherwise that holder has lost it, and gets it
//! back. A damaged holder must not teach others to delete: most of the live, active holders that reflect
//! the floor have to say that a row is gone before it is dropped.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::join::PullEnd;
use super::repair::CHECK_PAGE;
use super::work::Work;
use super::{Event, Node};
use crate::clock::Now;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::interval::{Interval, Intervals};
use crate::limits::PAGE_BYTES_MAX;
use crate::message::{Cut, Message, Span, Target};
use crate::planted::{Planted, planted};
use crate::record::Sent;
use crate::replica::{Late, decode_record, is_below};
use crate::rows::{self, Transaction};
use crate::stamp::{Dot, Stamp};
use crate::status::HolderState;
use crate::store::{Store, StoreError};
use crate::vector::{EPOCHS_MAX, Vector};

/// Most rows that one compare drops, and most bytes of their keys: the next one goes on.
pub(super) const DROPS_MAX: usize = 16_384;
const DROPS_BYTES: usize = 1 << 20;

/// Rows by their stored keys and dots.
type Named = Vec<(Vec<u8>, Dot)>;

/// A compare under way: part of a pull.
#[derive(Debug)]
pub(super) struct Compare {
    /// Of the snapshot that the answer is read from.
    cut: Cut,
    /// Whether this copy may lack a tombstone that was collected there.
    below: bool,
    /// The last stored key that was compared.
    at: Vec<u8>,
    /// Live rows here that were deleted there.
    deleted: Named,
    /// Stored keys of those under which something older is there, which came late.
    older: BTreeSet<Vec<u8>>,
    /// Bytes of the keys of the rows to drop.
    bytes: usize,
    /// Live rows here that are news there, and may have been deleted by what was collected there.
    late: u64,
    /// Whether there are more rows to drop.
    full: bool,
    poll: Option<Poll>,
}

/// What other holders say of those rows.
#[derive(Debug)]
struct Poll {
    asked: u64,
    /// What they say of each row.
    votes: Vec<Votes>,
    /// How many there are to ask, and who has not answered.
    holders: usize,
    silent: BTreeSet<PeerId>,
}

/// How many say of a row that it is gone, that it is here, and that they cannot say.
#[derive(Clone, Copy, Debug)]
struct Votes {
    gone: usize,
    kept: usize,
    unsure: usize,
}

impl Poll {
    /// Whether a row is gone, once most of the holders that can say do, or so many do not that they
    /// cannot.
    fn verdict(&self, Votes { gone, kept, unsure }: Votes) -> Option<bool> {
        let holders = self.holders.saturating_sub(unsure);
        let wanted = holders / 2 + 1;
        if holders == 0 {
            None
        } else if gone >= wanted {
            Some(true)
        } else if kept + wanted > holders {
            Some(false)
        } else {
            None
        }
    }
}

/// What an answer says of a key.
#[derive(Clone, Copy, Debug)]
enum There {
    /// A record with this mark is there, which this copy reflects.
    Known(u32),
    /// One with this stamp is, which it does not reflect.
    News(Stamp),
}

impl Compare {
    /// Whether a span may follow what was compared so far.
    pub(super) fn goes_on(&self, span: &Span) -> bool {
        self.poll.is_none() && span.upto.as_ref().is_none_or(|upto| *upto > self.at)
    }
}

impl<S: Store> Node<S> {
    /// Begins a compare with what the first chunk says of the answer.
    pub(super) fn begin_compare(&mut self, id: DatabaseId, cut: Cut) -> Option<Compare> {
        let progress = &self.held.get(&id)?.replica.state.progress;
        let below = is_below(&cut.floor, &progress.vector, &cut.found);
        self.count("compares_by_key", 1);
        let (at, deleted, older) = Default::default();
        let (bytes, late, full) = (0, 0, false);
        Some(Compare { cut, below, at, deleted, older, bytes, late, full, poll: None })
    }

    /// Looks for rows here that a part of the answer does not name, before that is applied.
    pub(super) fn compare_span(
        &mut self,
        (id, peer): (DatabaseId, PeerId),
        compare: &mut Compare,
        span: Span,
        records: &[(Epoch, Vec<Sent>)],
    ) -> Result<(), StoreError> {
        let Some(target) = self.target(id) else { return Ok(()) };
        let Some(held) = self.held.get(&id) else { return Ok(()) };
        let sent = records.iter().flat_map(|(epoch, records)| {
            let stamp = |time| Stamp { time, epoch: *epoch };
            records.iter().map(move |sent| (&sent.key, There::News(stamp(sent.time))))
        });
        let present = span.present.iter().map(|(key, mark)| (key, There::Known(*mark)));
        let there: BTreeMap<&Vec<u8>, There> = present.chain(sent).collect();
        let prefix = held.replica.prefix;
        let theirs: Intervals = compare.cut.lost.iter().copied().collect();
        let (mut missing, mut bytes) = (Vec::new(), 0);
        for row in rows::data_rows(&self.store, prefix, &compare.at, span.upto.as_deref()) {
            let (key, data) = row?;
            let stored = key[4..].to_vec();
            if compare.full {
                break;
            }
            let record = decode_record(&data)?;
            let there = there.get(&stored);
            let agrees = match there {
                None => false,
                Some(There::Known(mark)) => *mark == record.mark(),
                Some(There::News(stamp)) => *stamp >= record.stamp(),
            };
            if agrees {
                continue;
            }
            let dot = record.dot();
            let covered = compare.cut.vector.covers(dot) && !theirs.contains(dot);
            if !record.is_live() {
                continue;
            }
            let is_old = compare.below && record.stamp().time <= compare.cut.newest_collected;
            if !(covered || planted(Planted::NewsDropped)) {
                compare.late += u64::from(is_old);
                continue;
            }
            if is_old {
                // Another record of the key, one that came late, may be there: this one is not.
                if there.is_some() {
                    compare.older.insert(stored.clone());
                }
                compare.bytes += stored.len();
                compare.deleted.push((stored, dot));
                compare.full = compare.deleted.len() == DROPS_MAX || compare.bytes >= DROPS_BYTES;
            } else if missing.is_empty() || bytes + record.payload().len() <= PAGE_BYTES_MAX {
                bytes += record.payload().len();
                missing.push((stored, record));
            }
        }
        if planted(Planted::NothingDropped) {
            compare.deleted.clear();
        }
        compare.at = span.upto.unwrap_or_default();
        if !missing.is_empty() {
            self.count("rows_missing_there", missing.len() as u64);
            self.send_repair(peer, target, missing, Vec::new());
        }
        Ok(())
    }

    /// All keys are compared: drops what was deleted, once enough holders say so.
    pub(super) fn end_compare(
        &mut self,
        id: DatabaseId,
        mut compare: Compare,
        now: Now,
    ) -> Result<(), StoreError> {
        let Some((peer, _)) = self.pull.in_flight(id) else { return Ok(()) };
        let holders: BTreeSet<PeerId> =
            self.active_holders(id).filter(|holder| *holder != self.config.peer).collect();
        // Where no complete copy is left, those who join judge by each other.
        let counts = holders.is_empty() || holders.contains(&peer);
        // Who cannot be asked is not waited for.
        let asked = |holder: &PeerId| *holder != peer && self.links.contains_key(holder);
        let silent: BTreeSet<PeerId> = holders.into_iter().filter(asked).collect();
        let all = silent.len() + usize::from(counts);
        if compare.deleted.is_empty() || all / 2 < usize::from(counts) {
            let deleted = core::mem::take(&mut compare.deleted);
            return self.drop_deleted(id, compare, (deleted, Vec::new()), now);
        }
        let Some(target) = self.target(id) else { return Ok(()) };
        let asked = self.pull.next_question();
        let (floor, rows) = (compare.cut.floor.clone(), compare.deleted.clone());
        let ask = Message::AskDeleted { target, asked, floor, rows };
        for holder in &silent {
            self.send(*holder, &ask);
        }
        let first = Votes { gone: usize::from(counts), kept: 0, unsure: 0 };
        let votes = alloc::vec![first; compare.deleted.len()];
        compare.poll = Some(Poll { asked, votes, holders: all, silent });
        // If too few answer, the pull is overdue, and nothing is decided.
        self.pull.keep_compare(id, compare);
        Ok(())
    }

    /// A peer asks whether rows were deleted.
    pub(super) fn deleted_asked(
        &mut self,
        peer: PeerId,
        target: Target,
        asked: u64,
        (floor, rows): (&Vector, &[(Vec<u8>, Dot)]),
    ) -> Result<(), StoreError> {
        if rows.len() > DROPS_MAX || floor.len() > EPOCHS_MAX {
            self.misbehaved(peer, "a question about more rows than allowed");
            return Ok(());
        }
        if !self.is_ours(target) {
            return Ok(());
        }
        let held = self.held.get(&target.database);
        let Some(held) = held.filter(|held| held.role == HolderState::Active) else {
            return Ok(());
        };
        let progress = &held.replica.state.progress;
        let lost: Vec<Interval> = progress.lost().iter().collect();
        // Who was away as well has the rows as well.
        let rows = if is_below(floor, &progress.vector, &lost) { &[] } else { rows };
        let nothing = Transaction::default();
        let mut deleted = Vec::with_capacity(rows.len());
        for (stored, dot) in rows {
            let found = held.replica.record(&nothing, &self.store, stored)?;
            let kept = found.is_some_and(|record| record.is_live() && record.dot() == *dot);
            deleted.push((kept || held.replica.covers(*dot)).then_some(!kept));
        }
        self.send(peer, &Message::TellDeleted { target, asked, deleted });
        Ok(())
    }

    /// A holder says whether rows were deleted.
    pub(super) fn deleted_told(
        &mut self,
        peer: PeerId,
        id: DatabaseId,
        asked: u64,
        deleted: &[Option<bool>],
        now: Now,
    ) -> Result<(), StoreError> {
        let Some(mut compare) = self.pull.take_compare(id) else { return Ok(()) };
        let Some(poll) = compare.poll.as_mut().filter(|poll| {
            let fits = deleted.is_empty() || poll.votes.len() == deleted.len();
            poll.asked == asked && fits && poll.silent.contains(&peer)
        }) else {
            self.pull.keep_compare(id, compare);
            return Ok(());
        };
        poll.silent.remove(&peer);
        poll.holders -= usize::from(deleted.is_empty());
        for (votes, deleted) in poll.votes.iter_mut().zip(deleted) {
            *match deleted {
                Some(true) => &mut votes.gone,
                Some(false) => &mut votes.kept,
                None => &mut votes.unsure,
            } += 1;
        }
        let verdicts: Option<Vec<bool>> =
            poll.votes.iter().map(|votes| poll.verdict(*votes)).collect();
        let Some(gone) = verdicts else {
            self.pull.keep_compare(id, compare);
            return Ok(());
        };
        let rows = core::mem::take(&mut compare.deleted).into_iter().zip(gone);
        let (deleted, kept): (Vec<_>, Vec<_>) = rows.partition(|(_, gone)| *gone);
        let rows = |judged: Vec<(_, bool)>| judged.into_iter().map(|(row, _)| row).collect();
        self.drop_deleted(id, compare, (rows(deleted), rows(kept)), now)
    }

    /// Drops rows, and takes over what the answer says, in one commit.
    fn drop_deleted(
        &mut self,
        id: DatabaseId,
        mut compare: Compare,
        (deleted, kept): (Named, Named),
        now: Now,
    ) -> Result<(), StoreError> {
        let Some((peer, session)) = self.pull.in_flight(id) else { return Ok(()) };
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let mut work = Work::default();
        work.touched.insert(id);
        let (mut dropped, mut wanted) = (0, Vec::new());
        for (stored, dot) in deleted {
            let (transaction, fingerprint) = (&mut work.transaction, &self.fingerprint);
            let replica = &mut held.replica;
            let found = replica.discard(transaction, &self.store, fingerprint, &stored, dot)?;
            dropped += u64::from(found.is_some());
            wanted.extend(found.and_then(|_| compare.older.take(&stored)));
        }
        let taken = if compare.full { None } else { Some(held.take_cut(compare.cut)) };
        let values = if taken.is_some() { compare.late } else { 0 };
        self.commit_work(work, now)?;
        self.tell_late(id, Late { values, ..Late::default() }, now)?;
        if dropped > 0 {
            self.count("rows_dropped", dropped);
            let path = self.path_of(id);
            self.event(Event::Dropped(path, dropped));
            // Nobody says any more which delete it was.
            self.end_watches(id);
            self.end_watches(id);
        }
        self.put_back(id, peer, kept)?;
        if let Some(target) = self.target(id) {
            for wanted in wanted.chunks(CHECK_PAGE) {
                self.send_repair(peer, target, Vec::new(), wanted.to_vec());
            }
        }
        match taken {
            // Where nothing could be dropped, the same rows would come up again.
            None if dropped == 0 => self.abort_pull(id, PullEnd::Refused, now),
            Some(taken) => self.cut_taken((id, peer), session, taken, now),
            // The rest is compared anew.
            None => self.abort_pull(id, PullEnd::Lost, now),
        }
    }

    /// Sends rows that a holder has lost, as most of the others say.
    fn put_back(&mut self, id: DatabaseId, peer: PeerId, kept: Named) -> Result<(), StoreError> {
        let kept = kept.into_iter().map(|(stored, dot)| (stored, Some(dot)));
        let rows = self.page_of(id, kept)?;
        if let Some(target) = self.target(id)
            && !rows.is_empty()
        {
            self.count("rows_missing_there", rows.len() as u64);
            self.send_repair(peer, target, rows, Vec::new());
        }
        Ok(())
    }
}

/// Stored keys in ascending order, and within a span.
pub(super) fn is_sane_span(span: &Span) -> bool {
    let bounded = |key: &Vec<u8>| (1..=super::push::STORED_KEY_MAX).contains(&key.len());
    span.present.iter().map(|(key, _)| key).chain(&span.upto).all(bounded)
        && span.present.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && match (&span.upto, span.present.last()) {
            (Some(upto), Some((last, _))) => last <= upto,
            _ => true,
        }
}
