//! Gaps that nobody can fill: what a writer lost with its power, and what came after was heard.
//!
//! A copy with rows above a gap waits for what is missing. Once the writer's epoch has ended, and
//! every live holder was asked since and lacks it too, the gap is declared lost: the vector goes on
//! past it, and the copy keeps a note of what is missing. A note is no coverage: where the missing
//! records turn up on a copy that was away, they are pulled as news.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::answer::log_of;
use super::rounds::turn;
use super::work::Work;
use super::{Event, Node, SECOND};
use crate::clock::Now;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::message::Message;
use crate::replica::Replica;
use crate::stamp::Dot;
use crate::status::HolderState;
use crate::store::{Store, StoreError};

/// How long a gap is left to pushes, offers and pulls before the holders are asked one by one.
const GAP_PATIENCE: u64 = 10 * SECOND;
/// Most copies with gaps that are looked after in one second; then the next ones have their turn.
const GAPS_MAX: usize = 256;
/// Most rows that are looked for in what was declared lost, at a time.
const RECLAIMS_MAX: usize = 4_096;

/// A copy with a gap.
#[derive(Debug)]
struct Gap {
    /// The epochs in which something was missing when it was noticed.
    epochs: BTreeSet<Epoch>,
    /// When that was.
    since: u64,
    /// The last session of a pull that began before.
    after: u64,
    /// Holders that answered a pull since.
    heard: BTreeSet<PeerId>,
}

/// Copies with gaps.
#[derive(Debug, Default)]
pub(super) struct Losses {
    loose: BTreeSet<DatabaseId>,
    gaps: BTreeMap<DatabaseId, Gap>,
    /// The last one that was looked at.
    looked_at: Option<DatabaseId>,
}

impl Losses {
    /// Notes whether a copy has rows above its vector, after each change.
    pub(super) fn note(&mut self, replica: &Replica) {
        if !replica.state.progress.is_whole() {
            self.loose.insert(replica.id);
        } else if !self.loose.is_empty() {
            self.loose.remove(&replica.id);
        }
    }

    /// How many copies have rows above their vector.
    pub(super) fn behind(&self) -> u64 {
        self.loose.len() as u64
    }

    /// A copy is gone.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        self.loose.remove(&id);
    }

    /// Notes that a pull from a holder ended well.
    pub(super) fn heard(&mut self, id: DatabaseId, peer: PeerId, session: u64) {
        if let Some(gap) = self.gaps.get_mut(&id)
            && session > gap.after
        {
            gap.heard.insert(peer);
        }
    }
}

impl<S: Store> Node<S> {
    /// Every second: looks after the copies with gaps.
    pub(super) fn review_gaps(&mut self, now: Now) -> Result<(), StoreError> {
        let Losses { loose, gaps, looked_at } = &mut self.losses;
        gaps.retain(|id, _| loose.contains(id));
        for id in turn(looked_at, GAPS_MAX, |ring| loose.range(ring).copied()) {
            let after = self.pull.last_session();
            let Some(held) = self.held.get(&id) else { continue };
            if held.role != HolderState::Active {
                continue;
            }
            let progress = &held.replica.state.progress;
            let epochs: BTreeSet<Epoch> = progress.loose().map(|(epoch, _)| epoch).collect();
            let known = self.losses.gaps.get(&id).filter(|gap| epochs.is_subset(&gap.epochs));
            let since = known.map_or(now.monotonic, |gap| gap.since);
            if known.is_none() {
                // What was asked before says nothing of a gap that came since.
                let gap = Gap { epochs, since, after, heard: BTreeSet::new() };
                self.losses.gaps.insert(id, gap);
            }
            if since + GAP_PATIENCE <= now.monotonic && self.has_asked_all(id, now) {
                self.declare_lost(id, since, now)?;
            }
        }
        Ok(())
    }

    /// Whether every live holder has answered a pull since a gap was noticed; pulls from those that
    /// have not.
    fn has_asked_all(&mut self, id: DatabaseId, now: Now) -> bool {
        let Some(gap) = self.losses.gaps.get(&id) else { return false };
        let (holders, away) = self.receivers(id);
        let silent: Vec<PeerId> =
            holders.into_iter().filter(|peer| !gap.heard.contains(peer)).collect();
        let all = away.is_empty() && silent.is_empty();
        for peer in silent {
            if !self.is_pulling(id, peer) {
                self.pull_all(id, peer, now);
            }
        }
        all
    }

    /// Declares lost what is missing in the epochs that have ended.
    fn declare_lost(&mut self, id: DatabaseId, since: u64, now: Now) -> Result<(), StoreError> {
        let Some(held) = self.held.get(&id) else { return Ok(()) };
        let progress = &held.replica.state.progress;
        let loose: Vec<Epoch> = progress.loose().map(|(epoch, _)| epoch).collect();
        let (mut lost, mut ended) = (0, false);
        for epoch in loose {
            if self.has_ended(epoch, since, now)
                && let Some(held) = self.held.get_mut(&id)
            {
                ended = true;
                let declared = held.replica.state.progress.declare_lost(epoch);
                lost = declared.saturating_add(lost);
            }
        }
        if ended {
            let mut work = Work::default();
            work.touched.insert(id);
            self.commit_work(work, now)?;
            lost = lost.saturating_sub(self.reclaim(id, now)?);
            self.count("writes_lost", lost);
            let path = self.path_of(id);
            self.event(Event::Lost(path, lost));
        }
        Ok(())
    }

    /// Takes what is here all the same out of what was declared lost: rows above a gap, of pulls that
    /// broke and of repairs, which only the log knows one by one. Returns how many there were. What is
    /// more than a step can read stays declared lost: that does no harm.
    pub(super) fn reclaim(&mut self, id: DatabaseId, now: Now) -> Result<u64, StoreError> {
        let Some(held) = self.held.get_mut(&id) else { return Ok(0) };
        let prefix = held.replica.prefix;
        let mut found = Vec::new();
        for interval in held.replica.state.progress.lost().iter() {
            let rows = log_of(&self.store, prefix, interval);
            for row in rows.take(RECLAIMS_MAX - found.len()) {
                let (row, _) = row?;
                let sequence = row.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                found.push(Dot { epoch: interval.epoch, sequence });
            }
        }
        if found.is_empty() {
            return Ok(0);
        }
        for dot in &found {
            held.replica.state.progress.applied(*dot);
        }
        let mut work = Work::default();
        work.touched.insert(id);
        self.commit_work(work, now)?;
        Ok(found.len() as u64)
    }

    /// Whether nobody writes under an epoch any more, as its peer said after `since`; asks it.
    fn has_ended(&mut self, epoch: Epoch, since: u64, now: Now) -> bool {
        if epoch.is_of(self.config.peer) {
            return epoch != self.epoch;
        }
        let Some((&peer, link)) = self.links.iter().find(|(peer, _)| epoch.is_of(**peer)) else {
            // Of one that no longer counts nobody waits for a word.
            return self.absences.is_writer_expired(epoch);
        };
        match link.told {
            Some((asked, live)) if asked >= since => live != epoch,
            _ => {
                self.send(peer, &Message::AskEpoch { asked: now.monotonic });
                false
            }
        }
    }
}
