//! Pull: one round trip from a vector to everything above it, as a cut.
//!
//! The answer is read from one snapshot together with its vector, and includes the rows above the
//! responder's own vector: without them, what supersedes a covered record could be missing. Chunks
//! are applied as they come; the batch of the last chunk moves the vector. One pull per database is
//! in flight, so that several peers do not send the same records.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Bound;

use super::placement::PullEnd;
use super::rounds::turn;
use super::work::Work;
use super::{Event, NEVER, Node, SECOND};
use crate::clock::Now;
use crate::definition::Durability;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::interval::{Interval, Intervals};
use crate::message::{CHUNK_BYTES, CHUNK_WINDOW_BYTES, Cut, Message, Refusal, Target};
use crate::planted::{Planted, planted};
use crate::record::Sent;
use crate::replica::Replica;
use crate::rows;
use crate::status::HolderState;
use crate::store::{Read, Rows, Space, Store, StoreError};
use crate::vector::{EPOCHS_MAX, Fit, LOST_MAX, PENDING_MAX, Vector};

/// A pull without a chunk for this long is given up and asked of somebody else.
const PULL_PATIENCE: u64 = 5 * SECOND;
/// The patience doubles with each pull of a database that was overdue, this many times at most:
/// where a link is slow, the answer to a pull that was given up too soon stands in its queue before
/// the answer to the next one, and asking again and again only fills it.
const PATIENCE_DOUBLINGS: u32 = 4;
/// Most answers under way for one peer, and over all peers: each holds a snapshot.
const ANSWERS_PER_PEER: usize = 32;
const ANSWERS_MAX: usize = 256;
/// Most pulls this peer has in flight: the rest waits its turn. Half as many after each that was
/// overdue, at least one, and one more after each that ended well: where many share a narrow link,
/// none of them is quick enough (Chiu and Jain, "Analysis of the increase and decrease algorithms for
/// congestion avoidance in computer networks", 1989).
const FETCHES_MAX: usize = 16;
/// An answer whose requester gave no credit for this long is dropped.
const ANSWER_PATIENCE: u64 = 30 * SECOND;

/// A pull request, taken apart.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) target: Target,
    pub(super) session: u64,
    pub(super) vector: Vector,
    pub(super) digest: u128,
    pub(super) whole: bool,
    pub(super) lost: Vec<Interval>,
}

/// A chunk, taken apart.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) target: Target,
    pub(super) session: u64,
    pub(super) index: u32,
    pub(super) records: Vec<(Epoch, Vec<Sent>)>,
    pub(super) cut: Option<Cut>,
}

/// A pull of this peer in flight.
#[derive(Debug)]
struct Fetch {
    peer: PeerId,
    session: u64,
    index: u32,
    deadline: u64,
}

/// Why a pull is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// The epoch is behind this sequence.
    Gap(Epoch, u64),
    /// Whatever the peer has.
    All,
}

/// The answer to a pull, on its way.
struct Answer<R> {
    target: Target,
    snapshot: R,
    prefix: rows::Prefix,
    /// What is still to be read of the log.
    intervals: VecDeque<Interval>,
    /// The epoch being read.
    current: Option<(Epoch, Rows)>,
    /// A record that did not fit the chunk before.
    carried: Option<(Epoch, Sent)>,
    cut: Cut,
    index: u32,
    /// Bytes of the chunks that the requester has not applied yet.
    unapplied: VecDeque<usize>,
    deadline: u64,
}

/// Pulls of this peer, and its answers to others.
pub(super) struct Pulls<R> {
    fetches: BTreeMap<DatabaseId, Fetch>,
    /// Whom to pull from next, by database.
    wanted: BTreeMap<DatabaseId, BTreeMap<PeerId, Want>>,
    answers: BTreeMap<(PeerId, u64), Answer<R>>,
    /// How many pulls of a database were overdue since one ended well.
    overdue: BTreeMap<DatabaseId, u32>,
    /// How many may be in flight now.
    window: usize,
    /// The last database that had waited for its turn.
    begun: Option<DatabaseId>,
    sessions: u64,
}

impl<R> Default for Pulls<R> {
    fn default() -> Self {
        Self {
            fetches: BTreeMap::new(),
            wanted: BTreeMap::new(),
            answers: BTreeMap::new(),
            overdue: BTreeMap::new(),
            window: FETCHES_MAX,
            begun: None,
            sessions: 0,
        }
    }
}

impl<R> Pulls<R> {
    /// The number of the latest pull that began.
    pub(super) fn last_session(&self) -> u64 {
        self.sessions
    }

    /// Whether anything of a database is being pulled, or is to be.
    pub(super) fn is_busy(&self, id: DatabaseId) -> bool {
        self.fetches.contains_key(&id) || self.wanted.contains_key(&id)
    }

    /// A copy is gone: what is on its way to it is for no later one.
    pub(super) fn forget(&mut self, id: DatabaseId) {
        self.fetches.remove(&id);
        self.wanted.remove(&id);
        self.overdue.remove(&id);
    }

    /// How long a pull of a database waits for a chunk.
    fn patience(&self, id: DatabaseId) -> u64 {
        PULL_PATIENCE << self.overdue.get(&id).copied().unwrap_or(0)
    }
}

impl<S: Store> Node<S> {
    /// Pulls whatever a peer has of a database.
    pub(super) fn pull_all(&mut self, id: DatabaseId, peer: PeerId, now: Now) {
        self.want(id, peer, Want::All, now);
    }

    /// Pulls what is missing of an epoch.
    pub(super) fn pull_gap(
        &mut self,
        id: DatabaseId,
        peer: PeerId,
        epoch: Epoch,
        upto: u64,
        now: Now,
    ) {
        self.want(id, peer, Want::Gap(epoch, upto), now);
    }

    fn want(&mut self, id: DatabaseId, peer: PeerId, want: Want, now: Now) {
        if self.target(id).is_none() || !self.links.contains_key(&peer) {
            return;
        }
        let wanted = self.pull.wanted.entry(id).or_default().entry(peer).or_insert(want);
        if want == Want::All {
            *wanted = want;
        } else if let (Want::Gap(epoch, upto), Want::Gap(other, more)) = (&mut *wanted, want) {
            if *epoch == other { *upto = more.max(*upto) } else { *wanted = Want::All }
        }
        self.start_pull(id, now);
    }

    /// Whether a pull of this database from this peer is in flight or waits.
    pub(super) fn is_pulling(&self, id: DatabaseId, peer: PeerId) -> bool {
        self.pull.fetches.get(&id).is_some_and(|fetch| fetch.peer == peer)
            || self.pull.wanted.get(&id).is_some_and(|wanted| wanted.contains_key(&peer))
    }

    /// Begins the next pull of a database that is still needed, unless one is in flight.
    fn start_pull(&mut self, id: DatabaseId, now: Now) {
        while !self.pull.fetches.contains_key(&id) && self.pull.fetches.len() < self.pull.window {
            let Some(wanted) = self.pull.wanted.get_mut(&id) else { return };
            let Some((peer, want)) = wanted.pop_first() else {
                self.pull.wanted.remove(&id);
                return;
            };
            let Some(held) = self.held.get(&id) else { continue };
            let state = &held.replica.state;
            if !self.links.contains_key(&peer)
                || matches!(want, Want::Gap(epoch, upto) if state.progress.vector.get(epoch) >= upto)
            {
                continue;
            }
            self.pull.sessions += 1;
            let session = self.pull.sessions;
            let target = Target { database: id, generation: state.generation };
            let message = Message::Pull {
                target,
                session,
                vector: state.progress.vector.clone(),
                digest: state.digest,
                whole: state.progress.is_whole(),
                lost: state.progress.lost().iter().collect(),
            };
            let deadline = now.monotonic + self.pull.patience(id);
            self.timers.pulls = self.timers.pulls.min(deadline);
            self.pull.fetches.insert(id, Fetch { peer, session, index: 0, deadline });
            self.count("pulls", 1);
            self.send(peer, &message);
        }
    }

    /// Begins pulls that waited for a free place.
    fn start_waiting_pulls(&mut self, now: Now) {
        while self.pull.fetches.len() < self.pull.window {
            let Pulls { wanted, fetches, begun, .. } = &mut self.pull;
            let free = |id: &DatabaseId| !fetches.contains_key(id);
            let next = turn(begun, 1, |ring| wanted.range(ring).map(|(id, _)| *id).filter(free));
            // What needs no pull any more is taken off the table here, so this ends.
            let Some(&id) = next.first() else { return };
            self.start_pull(id, now);
        }
    }

    /// A peer asks for everything above its vector.
    pub(super) fn asked(&mut self, peer: PeerId, ask: Ask, now: Now) -> Result<(), StoreError> {
        let Ask { target, session, vector, digest, whole, lost } = ask;
        let id = target.database;
        if vector.len() > EPOCHS_MAX || lost.len() > LOST_MAX + EPOCHS_MAX {
            self.misbehaved(peer, "a pull with more epochs or intervals than allowed");
            return Ok(());
        }
        let refusal = match self.held.get(&id) {
            None => Some(Refusal::NotHolder),
            Some(held) if held.role == HolderState::Gone => Some(Refusal::NotHolder),
            Some(held) => {
                let state = &held.replica.state;
                if state.generation != target.generation {
                    Some(Refusal::Generation(state.generation))
                } else if !vector.dominates(&state.floor) {
                    Some(Refusal::BelowFloor)
                } else if self.pull.answers.len() >= ANSWERS_MAX
                    || self.pull.answers.keys().filter(|(to, _)| *to == peer).count()
                        >= ANSWERS_PER_PEER
                {
                    Some(Refusal::Busy)
                } else {
                    None
                }
            }
        };
        // Who asks again has given up what it asked before.
        self.pull.answers.retain(|(to, _), answer| *to != peer || answer.target != target);
        if let Some(why) = refusal {
            self.send(peer, &Message::Refuse { target, session, why });
            return Ok(());
        }
        self.check_own_epoch(id, self.epoch, vector.get(self.epoch))?;
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let state = &held.replica.state;
        let theirs: Intervals = lost.iter().copied().collect();
        let mut theirs_is_news = !state.progress.vector.dominates(&vector)
            || !reflected(state.progress.lost().iter(), &vector, &theirs).is_empty();
        let agree = state.progress.vector == vector && *state.progress.lost() == theirs;
        let mut differs = agree && state.digest != digest;
        if differs && !(whole && state.progress.is_whole()) {
            // Rows above a vector are news that the vector does not tell: they are pulled back, once.
            // What differs after that is below the vector, and is compared.
            let digests = Some(Box::new((peer, state.digest, digest)));
            differs = held.vain == digests;
            theirs_is_news = !differs;
            held.vain = digests;
        }
        let state = &held.replica.state;
        let snapshot = self.store.snapshot();
        let mut found = reflected(theirs.iter(), &state.progress.vector, state.progress.lost());
        found.extend(state.progress.pending().flat_map(|pending| theirs.common(pending)));
        let mut intervals = intervals_above(&held.replica, &vector);
        intervals.extend(&found);
        let cut = Cut {
            vector: state.progress.vector.clone(),
            pending: state.progress.pending().collect(),
            retired: state.retired.iter().map(|(&epoch, &last)| (epoch, last)).collect(),
            floor: state.floor.clone(),
            newest_collected: state.newest_collected,
            digest: state.digest,
            whole: state.progress.is_whole(),
            lost: state.progress.lost().iter().collect(),
            found,
        };
        let answer = Answer {
            target,
            snapshot,
            prefix: held.replica.prefix,
            intervals,
            current: None,
            cut,
            carried: None,
            index: 0,
            unapplied: VecDeque::new(),
            deadline: now.monotonic + ANSWER_PATIENCE,
        };
        self.pull.answers.insert((peer, session), answer);
        self.send_chunks(peer, session)?;
        if self.pull.answers.contains_key(&(peer, session)) {
            self.timers.pulls = self.timers.pulls.min(now.monotonic + ANSWER_PATIENCE);
        }
        if theirs_is_news && !self.is_pulling(id, peer) {
            self.pull_all(id, peer, now);
        }
        if differs {
            self.send_buckets(peer, id, now);
        }
        Ok(())
    }

    fn send_chunks(&mut self, peer: PeerId, session: u64) -> Result<(), StoreError> {
        let mut chunks = Vec::new();
        let mut sent = 0;
        let Some(answer) = self.pull.answers.get_mut(&(peer, session)) else { return Ok(()) };
        let mut done = false;
        while !done && answer.unapplied.iter().sum::<usize>() < CHUNK_WINDOW_BYTES {
            if planted(Planted::VectorAfterSnapshot)
                && let Some(held) = self.held.get(&answer.target.database)
            {
                answer.cut.vector = held.replica.state.progress.vector.clone();
            }
            let (records, bytes, last) = answer.next_chunk()?;
            let carries = last || (planted(Planted::VectorWithFirstChunk) && answer.index == 0);
            answer.unapplied.push_back(bytes.max(1));
            sent += records.iter().map(|(_, records)| records.len() as u64).sum::<u64>();
            chunks.push(Message::Chunk {
                target: answer.target,
                session,
                index: answer.index,
                records,
                cut: carries.then(|| answer.cut.clone()),
            });
            answer.index += 1;
            done = last;
        }
        if done {
            self.pull.answers.remove(&(peer, session));
        }
        self.count("records_answered", sent);
        for chunk in chunks {
            self.send(peer, &chunk);
        }
        Ok(())
    }

    pub(super) fn credit(
        &mut self,
        peer: PeerId,
        session: u64,
        now: Now,
    ) -> Result<(), StoreError> {
        if let Some(answer) = self.pull.answers.get_mut(&(peer, session)) {
            answer.unapplied.pop_front();
            answer.deadline = now.monotonic + ANSWER_PATIENCE;
            return self.send_chunks(peer, session);
        }
        Ok(())
    }

    /// A part of the answer to this peer's own pull.
    pub(super) fn chunk(&mut self, peer: PeerId, part: Part, now: Now) -> Result<(), StoreError> {
        let Part { target, session, index, records, cut } = part;
        let id = target.database;
        let expected = self.pull.fetches.get(&id).is_some_and(|fetch| {
            fetch.peer == peer
                && fetch.session == session
                && (fetch.index == index || planted(Planted::LostChunkIgnored))
        });
        let sane = records.iter().flat_map(|(_, records)| records).all(super::push::is_sane)
            && cut.as_ref().is_none_or(is_sane_cut);
        if !sane {
            self.misbehaved(peer, "a chunk with records out of bounds");
        }
        if !expected || !sane || !self.is_ours(target) {
            // A chunk was lost on the way, or the pull was given up: its deadline tries again.
            return Ok(());
        }
        let heard = records.iter().filter(|(epoch, _)| *epoch == self.epoch);
        let heard = heard.flat_map(|(_, records)| records).map(|sent| sent.sequence);
        let told = cut.iter().map(|cut| cut.vector.get(self.epoch));
        let pending = cut.iter().flat_map(|cut| &cut.pending);
        let pending = pending.filter(|interval| interval.epoch == self.epoch);
        let heard = heard.chain(told).chain(pending.map(|interval| interval.upto));
        let heard = heard.max().unwrap_or(0);
        self.check_own_epoch(id, self.epoch, heard)?;
        let mut work = Work::default();
        work.touched.insert(id);
        let wanted = self.wants_changes(id);
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let path = held.replica.path.clone();
        let mut told = Vec::new();
        let (mut count, mut newest) = (0, None);
        for (epoch, records) in records {
            count += records.len() as u64;
            newest = newest.max(records.iter().map(|sent| sent.time).max());
            let transaction = &mut work.transaction;
            held.replica.apply_sent(
                transaction,
                &self.store,
                &self.fingerprint,
                epoch,
                records,
                |stored, record, applied| {
                    if wanted || matches!(applied, crate::replica::Applied::Conflict(_)) {
                        told.push((stored.to_vec(), record.clone(), applied));
                    }
                },
            )?;
        }
        for (stored, record, applied) in told {
            work.tell(id, wanted, &stored, &record, applied);
        }
        let (mut diverged, mut loses) = (false, false);
        let last = cut.is_some();
        if let Some(cut) = cut {
            let state = &mut held.replica.state;
            loses = !cut.lost.is_empty();
            state.progress.merge(&cut.vector, cut.lost.iter().copied(), cut.found);
            // What finds no room here is told and pulled again, once there is.
            for interval in cut.pending {
                // Of what is below the own vector, only what was asked for was sent: that is found.
                let have = state.progress.vector.get(interval.epoch);
                let interval = Interval { from: interval.from.max(have), ..interval };
                let fits = state.progress.fit(interval) != Fit::Gap;
                if fits || state.progress.has_room() {
                    state.progress.reflect(interval);
                }
            }
            for (epoch, last) in cut.retired {
                let known = state.retired.entry(epoch).or_default();
                *known = last.max(*known);
            }
            state.floor.merge(&cut.floor);
            state.newest_collected = state.newest_collected.max(cut.newest_collected);
            diverged = cut.whole
                && state.progress.is_whole()
                && state.progress.vector == cut.vector
                && state.progress.lost().iter().eq(cut.lost)
                && state.digest != cut.digest;
        }
        self.commit_work(work, now)?;
        if loses {
            self.reclaim(id, now)?;
        }
        self.count("records_pulled", count);
        if let Some(newest) = newest {
            self.follow(newest, &path, now);
        }
        let patience = self.pull.patience(id);
        if last {
            self.pull_finished(id, peer, session, now)?;
        } else if let Some(fetch) = self.pull.fetches.get_mut(&id) {
            fetch.index += 1;
            fetch.deadline = now.monotonic + patience;
            self.send(peer, &Message::Credit { session });
        }
        if diverged {
            self.send_buckets(peer, id, now);
        }
        Ok(())
    }

    fn pull_finished(
        &mut self,
        id: DatabaseId,
        peer: PeerId,
        session: u64,
        now: Now,
    ) -> Result<(), StoreError> {
        self.pull.fetches.remove(&id);
        self.pull.overdue.remove(&id);
        self.pull.window = (self.pull.window + 1).min(FETCHES_MAX);
        self.acknowledge_epoch_of(peer, id);
        if let Some(link) = self.links.get_mut(&peer)
            && link.to_step.remove(&id)
            && link.to_step.is_empty()
        {
            link.in_step = true;
        }
        self.pulled_from(id, peer, PullEnd::Whole(session), now)?;
        self.start_pull(id, now);
        self.start_waiting_pulls(now);
        Ok(())
    }

    /// Tells a peer how much of its own writes is here, so that it need not offer them.
    fn acknowledge_epoch_of(&mut self, peer: PeerId, id: DatabaseId) {
        let Some(epoch) = self.links.get(&peer).and_then(|link| link.epoch) else { return };
        let Some(target) = self.target(id) else { return };
        let Some(held) = self.held.get(&id) else { return };
        let upto = held.replica.state.progress.vector.get(epoch);
        if upto > 0 {
            let durability = Durability::Buffered;
            self.send(peer, &Message::Acknowledge { target, epoch, upto, durability });
        }
    }

    pub(super) fn refused(
        &mut self,
        peer: PeerId,
        target: Target,
        session: u64,
        why: Refusal,
        now: Now,
    ) -> Result<(), StoreError> {
        let id = target.database;
        let ours = self
            .pull
            .fetches
            .get(&id)
            .is_some_and(|fetch| fetch.peer == peer && fetch.session == session);
        if !ours {
            return Ok(());
        }
        self.count("pulls_refused", 1);
        if why == Refusal::Busy {
            // The deadline tries again; whoever waits long for chunks need not wait as long for this.
            if let Some(fetch) = self.pull.fetches.get_mut(&id) {
                fetch.deadline = fetch.deadline.min(now.monotonic + PULL_PATIENCE);
                self.timers.pulls = self.timers.pulls.min(fetch.deadline);
            }
            return Ok(());
        }
        self.abort_pull(id, PullEnd::Refused, now)
    }

    fn abort_pull(&mut self, id: DatabaseId, end: PullEnd, now: Now) -> Result<(), StoreError> {
        if let Some(fetch) = self.pull.fetches.remove(&id) {
            self.count("pulls_given_up", 1);
            if let Some(link) = self.links.get_mut(&fetch.peer) {
                // The next summary begins the compare again.
                link.to_step.clear();
            }
            // Others have their turn before this one is tried again.
            self.start_waiting_pulls(now);
            self.pulled_from(id, fetch.peer, end, now)?;
            self.start_pull(id, now);
        }
        Ok(())
    }

    pub(super) fn abort_pulls_from(&mut self, peer: PeerId, now: Now) -> Result<(), StoreError> {
        self.pull.answers.retain(|(to, _), _| *to != peer);
        let mut dropped = Vec::new();
        for (id, wanted) in &mut self.pull.wanted {
            if wanted.remove(&peer).is_some() {
                dropped.push(*id);
            }
        }
        self.pull.wanted.retain(|_, wanted| !wanted.is_empty());
        let ids: BTreeSet<DatabaseId> = self
            .pull
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.peer == peer)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.abort_pull(id, PullEnd::Lost, now)?;
        }
        // Whoever waits for a pull that never began waits for it no longer.
        for id in dropped {
            self.pulled_from(id, peer, PullEnd::Lost, now)?;
        }
        Ok(())
    }

    /// Gives up what is overdue. A pull that failed while its peer stays connected is noticed again
    /// by the offers and summaries that follow.
    pub(super) fn expire_pulls(&mut self, now: Now) -> Result<(), StoreError> {
        let mut given_up = Vec::new();
        self.pull.answers.retain(|&(peer, session), answer| {
            let waits = answer.deadline > now.monotonic;
            if !waits {
                given_up.push((peer, session, answer.target));
            }
            waits
        });
        for (peer, session, target) in given_up {
            // Behind a narrow link the asker may only be about to say that it wants more.
            self.send(peer, &Message::Refuse { target, session, why: Refusal::Busy });
        }
        let overdue: Vec<DatabaseId> = self
            .pull
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.deadline <= now.monotonic)
            .filter(|_| !planted(Planted::PullNeverGivenUp))
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            let times = self.pull.overdue.entry(id).or_default();
            *times = (*times + 1).min(PATIENCE_DOUBLINGS);
            self.pull.window = (self.pull.window / 2).max(1);
            self.abort_pull(id, PullEnd::Lost, now)?;
        }
        let fetches = self.pull.fetches.values().map(|fetch| fetch.deadline);
        let answers = self.pull.answers.values().map(|answer| answer.deadline);
        self.timers.pulls = fetches.chain(answers).min().unwrap_or(NEVER);
        Ok(())
    }

    /// Counts a copy that became complete, and says so.
    pub(super) fn say_joined(&mut self, id: DatabaseId) {
        let path = self.path_of(id);
        self.event(Event::Joined(path));
    }
}

impl<R: Read> Answer<R> {
    /// Records for one chunk, their bytes, and whether they are the last.
    fn next_chunk(&mut self) -> Result<(Chunked, usize, bool), StoreError> {
        let mut chunk: Chunked = Vec::new();
        let mut bytes = 0;
        while let Some((epoch, sent)) = self.next_record()? {
            let weight = sent.weight();
            if bytes > 0 && bytes + weight > CHUNK_BYTES {
                self.carried = Some((epoch, sent));
                return Ok((chunk, bytes, false));
            }
            bytes += weight;
            match chunk.last_mut() {
                Some((last, records)) if *last == epoch => records.push(sent),
                _ => chunk.push((epoch, alloc::vec![sent])),
            }
        }
        Ok((chunk, bytes, true))
    }

    fn next_record(&mut self) -> Result<Option<(Epoch, Sent)>, StoreError> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        loop {
            let Some((epoch, rows)) = &mut self.current else {
                let Some(interval) = self.intervals.pop_front() else { return Ok(None) };
                let rows = log_of(&self.snapshot, self.prefix, interval);
                self.current = Some((interval.epoch, rows));
                continue;
            };
            let epoch = *epoch;
            let Some(row) = rows.next() else {
                self.current = None;
                continue;
            };
            let (key, stored) = row?;
            let data = self.snapshot.get(Space::Data, &rows::data_key(self.prefix, &stored))?;
            let Some(data) = data else { continue };
            let record = crate::replica::decode_record(&data)?;
            let dot = record.dot();
            if dot.epoch != epoch || rows::log_key(self.prefix, dot) != key {
                continue;
            }
            return Ok(Some((epoch, Sent::new(&stored, &record))));
        }
    }
}

/// The records of one chunk, by epoch.
type Chunked = Vec<(Epoch, Vec<Sent>)>;

/// The rows of the log of a copy that name writes of an interval.
pub(super) fn log_of(read: &impl Read, prefix: rows::Prefix, interval: Interval) -> Rows {
    let Interval { epoch, from, upto } = interval;
    let start = rows::log_key(prefix, crate::stamp::Dot { epoch, sequence: from });
    let end = rows::log_key(prefix, crate::stamp::Dot { epoch, sequence: upto });
    read.range(Space::Log, Bound::Excluded(&start), Bound::Included(&end))
}

/// What a copy has above a vector, by its own vector, its rows above that, and its retired epochs.
fn intervals_above(replica: &Replica, vector: &Vector) -> VecDeque<Interval> {
    let state = &replica.state;
    let named = state
        .progress
        .vector
        .iter()
        .chain(state.progress.loose().filter(|_| !planted(Planted::LooseRowsNotAnswered)))
        .chain(state.retired.iter().map(|(&epoch, &last)| (epoch, last)));
    let mut above = BTreeMap::new();
    for (epoch, last) in named {
        if vector.get(epoch) < last {
            above.insert(epoch, Interval { epoch, from: vector.get(epoch), upto: u64::MAX });
        }
    }
    above.into_values().collect()
}

/// What a copy with this vector and these losses reflects of some intervals.
pub(super) fn reflected(
    intervals: impl Iterator<Item = Interval>,
    vector: &Vector,
    lost: &Intervals,
) -> Vec<Interval> {
    let under = |interval: Interval| {
        let upto = interval.upto.min(vector.get(interval.epoch));
        Interval { upto, ..interval }
    };
    let mut found: Intervals = intervals.map(under).collect();
    for interval in lost.iter() {
        found.remove(interval);
    }
    found.iter().collect()
}

/// Whether a cut is within the bounds of what a copy can be.
fn is_sane_cut(cut: &Cut) -> bool {
    let most = LOST_MAX + EPOCHS_MAX;
    cut.vector.len() <= EPOCHS_MAX
        && cut.pending.len() <= PENDING_MAX
        && cut.lost.iter().all(|lost| lost.upto <= cut.vector.get(lost.epoch))
        // Nothing is collected or retired yet: who says otherwise would be believed for ever.
        && cut.floor.is_empty()
        && cut.retired.is_empty()
        && cut.lost.len() <= most
        && cut.found.len() <= 2 * most
}
