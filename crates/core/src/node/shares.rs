//! Who may use how much of what a size limit leaves: so that holders which accept writes at the same
//! time do not exceed it together.
//!
//! Each holder may add so many bytes to a database: its *share*. It has none at first, and using it up
//! makes it ask the others (`AskShare`). Each of them keeps no more than the question leaves to it, and
//! answers with the most that it may still add, and with what it reflects (`TellShare`). When the asker
//! reflects all of that, it takes what the limit leaves beyond its own size and those answers. So whatever
//! a holder adds later is within what it answered, and the sum of all shares is within the limit. Rights
//! that are handed out before they are used are O'Neil's escrow (ACM TODS 11(4), 1986), here without
//! anybody who keeps the account.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::local::Submission;
use super::push::ReplyTo;
use super::{MILLISECOND, NEVER, Node, SECOND};
use crate::clock::Now;
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId};
use crate::interval::{Interval, Intervals};
use crate::message::{Message, Reply, Target};
use crate::status::HolderState;
use crate::store::Store;
use crate::vector::{Vector, is_within_bounds, reflects_all};

/// How long holders that do not answer are waited for. Who answers later may have added its share
/// meanwhile, beyond the limit.
const SHARE_PATIENCE: u64 = SECOND;
/// Pause before those that did not answer are asked again.
const ASK_AGAIN: u64 = 250 * MILLISECOND;
/// Most rounds for one write: each may find that another holder asked at the same time.
const ROUNDS_MAX: u32 = 3;
/// Most writes to a database that wait for its share.
const PARKED_MAX: usize = 1_024;

/// A write that waits.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) submission: Submission,
    pub(super) reply: ReplyTo,
    /// Whether a peer asked for it.
    pub(super) forwarded: bool,
}

/// Why a write was not staged.
#[derive(Debug)]
pub(super) enum Refused {
    /// For good.
    Error(Error),
    /// It adds so many bytes, which is more than the share.
    Share(u64),
}

/// A question to the other holders.
#[derive(Debug)]
struct Round {
    asked: u64,
    /// The most that this peer takes.
    own: u64,
    /// The most that each of the others keeps.
    rest: u64,
    silent: BTreeSet<PeerId>,
    told: BTreeMap<PeerId, (Vector, Intervals, u64)>,
    deadline: u64,
    again: u64,
}

/// What is known of one database.
#[derive(Debug, Default)]
struct Share {
    /// Bytes that this peer may still add.
    bytes: u64,
    round: Option<Round>,
    /// Rounds since a write had room.
    rounds: u32,
    parked: Vec<Parked>,
}

/// The shares of this peer.
#[derive(Debug, Default)]
pub(super) struct Shares {
    of: BTreeMap<DatabaseId, Share>,
}

impl<S: Store> Node<S> {
    /// Whether this peer may add so many bytes to a database with a size limit.
    pub(super) fn has_share(&self, id: DatabaseId, bytes: u64) -> bool {
        match self.shares.of.get(&id) {
            Some(share) => share.bytes >= bytes,
            None => self.sharers(id).is_empty(),
        }
    }

    /// It has added them.
    pub(super) fn spend_share(&mut self, id: DatabaseId, bytes: u64) {
        if let Some(share) = self.shares.of.get_mut(&id) {
            share.bytes = share.bytes.saturating_sub(bytes);
            share.rounds = 0;
        }
    }

    /// The other holders of a database.
    fn sharers(&self, id: DatabaseId) -> BTreeSet<PeerId> {
        let holders = self.directory.holders(id);
        let others = holders.filter(|(peer, holder)| {
            *peer != self.config.peer && holder.state != HolderState::Gone
        });
        others.map(|(peer, _)| peer).collect()
    }

    /// A write waits until the other holders have left it room.
    pub(super) fn park(&mut self, id: DatabaseId, parked: Parked, need: u64, now: Now) {
        let (used, limit) = self.room(id).unwrap_or_default();
        let share = self.shares.of.entry(id).or_default();
        if share.rounds >= ROUNDS_MAX {
            share.rounds = 0;
            self.reply(parked.reply, Err(Error::NoSpace { used, limit, need }));
            return;
        }
        if share.parked.len() >= PARKED_MAX {
            let path = parked.submission.path.to_string();
            let why = format!("{PARKED_MAX} writes wait for room below its size limit already");
            self.reply(parked.reply, Err(Error::Unavailable { path, why }));
            return;
        }
        share.parked.push(parked);
        if share.round.is_none() {
            self.ask_share(id, need, now);
        }
    }

    /// Whether writes to a database wait: those that come later are done later.
    pub(super) fn is_parked(&self, id: DatabaseId) -> bool {
        self.shares.of.get(&id).is_some_and(|share| !share.parked.is_empty())
    }

    /// How many bytes a database here has, and may have.
    fn room(&self, id: DatabaseId) -> Option<(u64, u64)> {
        let held = self.held.get(&id)?;
        let limit = held.definition.as_ref().and_then(|definition| definition.size);
        Some((held.replica.state.counts.bytes, limit.unwrap_or(u64::MAX)))
    }

    /// Asks the other holders to leave room for a write that adds so many bytes.
    fn ask_share(&mut self, id: DatabaseId, need: u64, now: Now) {
        let others = self.sharers(id);
        let (Some((used, limit)), Some(target)) = (self.room(id), self.target(id)) else {
            self.forget_share(id);
            return;
        };
        let room = limit.saturating_sub(used);
        let count = others.len() as u64;
        let own = (room / (count + 1)).max(need.min(room));
        let rest = (room - own).checked_div(count).unwrap_or(0);
        let asked = self.next_question();
        let is_there = |peer: &PeerId| self.links.contains_key(peer) || self.is_live(*peer);
        let silent: BTreeSet<PeerId> = others.into_iter().filter(is_there).collect();
        // Not at once, where there is nobody to wait for: what was submitted before is not written yet.
        let alone = silent.is_empty();
        let (patience, pause) = if alone { (0, 0) } else { (SHARE_PATIENCE, ASK_AGAIN) };
        let (deadline, again) = (now.monotonic + patience, now.monotonic + pause);
        self.timers.calls = self.timers.calls.min(again);
        self.count("share_rounds", 1);
        for peer in &silent {
            self.send(*peer, &Message::AskShare { target, asked, keep: rest });
        }
        let round = Round { asked, own, rest, silent, told: BTreeMap::new(), deadline, again };
        if let Some(share) = self.shares.of.get_mut(&id) {
            share.round = Some(round);
        }
    }

    /// Another holder wants a share.
    pub(super) fn share_asked(&mut self, peer: PeerId, target: Target, asked: u64, keep: u64) {
        // Whose row in the directory is still on its way asks again.
        if !self.is_ours(target) || !self.is_receiver(peer, target.database) {
            return;
        }
        let Some(held) = self.held.get(&target.database) else { return };
        let progress = &held.replica.state.progress;
        let (vector, lost) = (progress.vector.clone(), progress.lost().iter().collect());
        let share = self.shares.of.entry(target.database).or_default();
        share.bytes = share.bytes.min(keep);
        let mut most = share.bytes;
        if let Some(round) = &mut share.round {
            // What this peer is about to take is within the answer.
            round.own = round.own.min(keep);
            most = most.max(round.own);
        }
        self.send(peer, &Message::TellShare { target, asked, most, vector, lost });
    }

    /// Another holder tells the most that it may still add.
    pub(super) fn share_told(
        &mut self,
        peer: PeerId,
        (target, asked): (Target, u64),
        most: u64,
        (vector, lost): (Vector, &[Interval]),
        now: Now,
    ) {
        if !is_within_bounds(&vector, lost.len()) {
            self.misbehaved(peer, "a share with more epochs or intervals than allowed");
            return;
        }
        if !self.is_ours(target) {
            return;
        }
        let share = self.shares.of.get_mut(&target.database);
        if let Some(round) = share.and_then(|share| share.round.as_mut())
            && round.asked == asked
            && round.silent.remove(&peer)
        {
            round.told.insert(peer, (vector, lost.iter().copied().collect(), most));
            self.end_round(target.database, now);
        }
    }

    /// Ends a round where all have answered and what they reflect is here, or where it took too long; and
    /// writes what waited for it.
    fn end_round(&mut self, id: DatabaseId, now: Now) {
        let (Some(held), Some(share)) = (self.held.get(&id), self.shares.of.get_mut(&id)) else {
            return;
        };
        let Some(round) = &share.round else { return };
        let progress = &held.replica.state.progress;
        let is_here = |(vector, lost, _): &(Vector, Intervals, u64)| {
            reflects_all((&progress.vector, progress.lost()), (vector, lost))
        };
        let ahead = round.told.iter().find(|(_, told)| !is_here(told)).map(|(peer, _)| *peer);
        if (!round.silent.is_empty() || ahead.is_some()) && now.monotonic < round.deadline {
            if let Some(peer) = ahead.filter(|peer| !self.is_pulling(id, *peer)) {
                self.pull_all(id, peer, now);
            }
            return;
        }
        let Some(round) = share.round.take() else { return };
        share.rounds += 1;
        let told = round.told.values().map(|(.., most)| *most);
        let others = told.fold(0, u64::saturating_add);
        let parked = core::mem::take(&mut share.parked);
        let (used, limit) = self.room(id).unwrap_or_default();
        let left = limit.saturating_sub(used.saturating_add(others));
        if let Some(share) = self.shares.of.get_mut(&id) {
            share.bytes = left.min(round.own);
        }
        let (theirs, ours): (Vec<_>, Vec<_>) =
            parked.into_iter().partition(|parked| parked.forwarded);
        for (parked, forwarded) in [(ours, false), (theirs, true)] {
            if parked.is_empty() {
                continue;
            }
            let calls: Vec<(Submission, ReplyTo)> =
                parked.into_iter().map(|parked| (parked.submission, parked.reply)).collect();
            let replies: Vec<ReplyTo> = calls.iter().map(|(_, reply)| *reply).collect();
            let results = self.write_for(calls, forwarded, now);
            for (result, reply) in results.into_iter().zip(replies) {
                if let Some(result) = result {
                    self.reply(reply, result.map(Reply::Written));
                }
            }
        }
    }

    /// Asks again, and ends what took too long. When there is something to do next.
    pub(super) fn tend_shares(&mut self, now: Now) -> u64 {
        let mut ask = Vec::new();
        let mut open = Vec::new();
        for (id, share) in &mut self.shares.of {
            let Some(round) = &mut share.round else { continue };
            open.push(*id);
            if round.again <= now.monotonic {
                round.again = now.monotonic + ASK_AGAIN;
                let silent = round.silent.iter();
                ask.extend(silent.map(|peer| (*id, *peer, round.asked, round.rest)));
            }
        }
        for (id, peer, asked, keep) in ask {
            if let Some(target) = self.target(id) {
                self.send(peer, &Message::AskShare { target, asked, keep });
            }
        }
        for id in open {
            self.end_round(id, now);
        }
        let rounds = self.shares.of.values().filter_map(|share| share.round.as_ref());
        rounds.map(|round| round.again.min(round.deadline)).min().unwrap_or(NEVER)
    }

    /// The copy is no longer here.
    pub(super) fn forget_share(&mut self, id: DatabaseId) {
        let Some(share) = self.shares.of.remove(&id) else { return };
        for parked in share.parked {
            let error = Self::not_here(&parked.submission.path);
            self.reply(parked.reply, Err(error));
        }
    }
}
