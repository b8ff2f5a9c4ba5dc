//! Pull: one round trip from a vector to everything above it, as a cut.
//!
//! The answer is read from one snapshot together with its vector, and includes the rows above the
//! responder's own vector: without them, what supersedes a covered record could be missing. Chunks
//! are applied as they come; the batch of the last chunk moves the vector. One pull per database is
//! in flight, so that several peers do not send the same records.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::answer::{Answer, Portion};
use super::compare::{Compare, is_sane_span};
use super::join::PullEnd;
use super::rounds::turn;
use super::work::Work;
use super::{Event, Held, NEVER, Node, SECOND};
use crate::clock::Now;
use crate::definition::Durability;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::interval::{Interval, Intervals};
use crate::message::{CHUNK_WINDOW_BYTES, Cut, Message, Refusal, Span, Target};
use crate::outline::Outline;
use crate::planted::{Planted, planted};
use crate::record::Sent;
use crate::replica::{Late, Replica};
use crate::stamp::{Millis, TIME_CEILING, Time};
use crate::status::HolderState;
use crate::store::{Store, StoreError};
use crate::vector::{
    EPOCHS_MAX, Fit, LOST_MAX, PENDING_MAX, Vector, is_within_bounds, reflected, reflects_all,
};

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
/// How far ahead of this peer's clock a collected tombstone may be, in milliseconds: it was old where it
/// was collected, and clocks are not wrong by a year. Nothing new could be stored below a forged one.
const COLLECTED_AHEAD: Millis = 366 * 86_400_000;
/// An answer whose requester gave no credit for this long is dropped.
const ANSWER_PATIENCE: u64 = 30 * SECOND;

/// A pull request, taken apart.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) target: Target,
    pub(super) session: u64,
    pub(super) vector: Outline,
    pub(super) floor: Option<u128>,
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
    pub(super) span: Option<Span>,
}

/// A pull of this peer in flight.
#[derive(Debug)]
struct Fetch {
    peer: PeerId,
    session: u64,
    index: u32,
    deadline: u64,
    /// Whether the copy that answers is complete.
    complete: bool,
    /// Where the answer goes through all keys.
    compare: Option<Compare>,
    /// The vector that it was asked with, where that was not sent as a whole.
    asked: Option<Box<Vector>>,
}

/// Why a pull is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// The epoch is behind this sequence.
    Gap(Epoch, u64),
    /// Whatever the peer has.
    All,
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

    /// The peer that a database is being pulled from, and the number of that pull.
    pub(super) fn in_flight(&self, id: DatabaseId) -> Option<(PeerId, u64)> {
        self.fetches.get(&id).map(|fetch| (fetch.peer, fetch.session))
    }

    /// The compare that is part of a pull in flight, until it is given back.
    pub(super) fn take_compare(&mut self, id: DatabaseId) -> Option<Compare> {
        self.fetches.get_mut(&id)?.compare.take()
    }

    pub(super) fn keep_compare(&mut self, id: DatabaseId, compare: Compare) {
        if let Some(fetch) = self.fetches.get_mut(&id) {
            fetch.compare = Some(compare);
        }
    }

    /// A number for a question about a pull.
    pub(super) fn next_question(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
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
        if self.target(id).is_none() || !self.links.contains_key(&peer) || self.is_handed_over(id) {
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
            self.fetch(id, peer, true, now);
        }
    }

    /// Begins to pull a database from a peer, in place of a pull that is in flight.
    fn fetch(&mut self, id: DatabaseId, peer: PeerId, outlined: bool, now: Now) {
        let Some(held) = self.held.get(&id) else { return };
        let state = &held.replica.state;
        let live = self.links.values().filter_map(|link| link.epoch).chain([self.epoch]);
        let outline = outlined.then(|| held.replica.outline(live, &self.fingerprint)).flatten();
        let part = outline.is_some();
        self.pull.sessions += 1;
        let session = self.pull.sessions;
        let message = Message::Pull {
            target: Target { database: id, generation: state.generation },
            session,
            vector: outline.unwrap_or_else(|| Outline::All(state.progress.vector.clone())),
            floor: part.then(|| self.fingerprint.vector(&state.floor)),
            digest: state.digest,
            whole: state.progress.is_whole(),
            lost: state.progress.lost().iter().collect(),
        };
        let asked = part.then(|| Box::new(state.progress.vector.clone()));
        let deadline = now.monotonic + self.pull.patience(id);
        self.timers.pulls = self.timers.pulls.min(deadline);
        let (complete, compare) = (false, None);
        let fetch = Fetch { peer, session, index: 0, deadline, complete, compare, asked };
        self.pull.fetches.insert(id, fetch);
        self.count("pulls", 1);
        self.count("pulls_outlined", u64::from(part));
        self.send(peer, &message);
    }

    /// Begins pulls that waited for a free place.
    pub(super) fn start_waiting_pulls(&mut self, now: Now) {
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
        let Ask { target, session, vector, floor, digest, whole, lost } = ask;
        let id = target.database;
        if !self.is_new_pull(peer, session) {
            self.count("pulls_repeated", 1);
            return Ok(());
        }
        if !is_within_bounds(vector.named(), lost.len()) {
            self.misbehaved(peer, "a pull with more epochs or intervals than allowed");
            return Ok(());
        }
        let refusal = match self.held.get(&id) {
            None => Some(Refusal::NotHolder),
            // Where nobody has a complete copy, the rows of one that was given back may be all there is.
            Some(held) if held.role == HolderState::Gone && self.has_active_holder(id) => {
                Some(Refusal::NotHolder)
            }
            Some(held) => {
                let state = &held.replica.state;
                if state.generation != target.generation {
                    Some(Refusal::Generation(state.generation))
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
        let Some(held) = self.held.get(&id) else { return Ok(()) };
        let state = &held.replica.state;
        let part = floor.is_some();
        let Some(vector) = vector.resolve(&state.progress.vector, &self.fingerprint) else {
            self.count("outlines_unknown", 1);
            self.send(peer, &Message::Refuse { target, session, why: Refusal::Outline });
            return Ok(());
        };
        let same_floor = floor.is_some_and(|floor| floor == self.fingerprint.vector(&state.floor));
        self.check_own_epoch(id, self.epoch, vector.get(self.epoch))?;
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let state = &held.replica.state;
        let theirs: Intervals = lost.iter().copied().collect();
        let mut theirs_is_news =
            !reflects_all((&state.progress.vector, state.progress.lost()), (&vector, &theirs));
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
        let below = held.replica.is_below_floor(&vector, &found);
        let (told, lacks) = if part {
            let (beside, lacks) = state.progress.vector.beside(&vector);
            (beside, Some(lacks))
        } else {
            (state.progress.vector.clone(), None)
        };
        let cut = Cut {
            vector: told,
            lacks,
            pending: state.progress.pending().collect(),
            floor: if same_floor && !below { Vector::default() } else { state.floor.clone() },
            newest_collected: state.newest_collected,
            digest: state.digest,
            whole: state.progress.is_whole(),
            lost: state.progress.lost().iter().collect(),
            found,
            complete: held.role.is_complete(),
        };
        let (copy, deadline) = ((target, held.replica.prefix), now.monotonic + ANSWER_PATIENCE);
        let answer = if below {
            Answer::by_key(copy, snapshot, cut, (vector, theirs), deadline)
        } else {
            let mut intervals = intervals_above(&held.replica, &vector);
            intervals.extend(&cut.found);
            Answer::by_log(copy, snapshot, cut, intervals, deadline)
        };
        self.pull.answers.insert((peer, session), answer);
        self.send_chunks(peer, session)?;
        if self.pull.answers.contains_key(&(peer, session)) {
            self.timers.pulls = self.timers.pulls.min(now.monotonic + ANSWER_PATIENCE);
        }
        if theirs_is_news && self.target(id).is_some() && !self.is_pulling(id, peer) {
            self.pull_all(id, peer, now);
        }
        if differs {
            self.send_buckets(peer, id, now);
        }
        Ok(())
    }

    /// Whether a pull has not been answered on this connection: the parts of two answers under one
    /// number, each cut of another moment, would be taken for one. Pulls are numbered; one that was
    /// overtaken by a later one is given up, and asked again under another number.
    fn is_new_pull(&mut self, peer: PeerId, session: u64) -> bool {
        let Some(link) = self.links.get_mut(&peer) else { return false };
        let new = session > link.pulled;
        link.pulled = link.pulled.max(session);
        new
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
            let Portion { records, span, bytes, last } = answer.next_portion()?;
            let carries = answer.carries_cut(last)
                || (planted(Planted::VectorWithFirstChunk) && answer.index == 0);
            answer.unapplied.push_back(bytes.max(1));
            sent += records.iter().map(|(_, records)| records.len() as u64).sum::<u64>();
            chunks.push(Message::Chunk {
                target: answer.target,
                session,
                index: answer.index,
                records,
                cut: carries.then(|| answer.cut.clone()),
                span,
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
        let Part { target, session, index, records, mut cut, span } = part;
        let id = target.database;
        let fetch = self.pull.fetches.get(&id).filter(|fetch| {
            fetch.peer == peer
                && fetch.session == session
                && (fetch.index == index || planted(Planted::LostChunkIgnored))
        });
        let expected = fetch.is_some_and(|fetch| match (&fetch.compare, &span) {
            // The first part tells which kind of answer it is.
            (None, Some(_)) => index == 0 && cut.is_some(),
            (None, None) => true,
            (Some(compare), Some(span)) => cut.is_none() && compare.goes_on(span),
            (Some(_), None) => false,
        });
        if let Some(cut) = &mut cut
            && let Some(asked) = fetch.and_then(|fetch| fetch.asked.as_deref())
            && let Some(lacks) = cut.lacks.take_if(|lacks| lacks.len() <= asked.len())
        {
            cut.vector = cut.vector.over(asked, &lacks);
        }
        let sane_cut = |cut: &Cut| match cut.lacks {
            // What a pull was answered with that was given up cannot be told from here.
            Some(_) => !expected,
            None => is_sane_cut(cut, now) && self.may_collect(id, cut),
        };
        let sane = records.iter().flat_map(|(_, records)| records).all(super::push::is_sane)
            && cut.as_ref().is_none_or(sane_cut)
            && span.as_ref().is_none_or(is_sane_span);
        if !sane {
            self.misbehaved(peer, "a chunk with records out of bounds");
        }
        if !expected || !sane || !self.is_ours(target) {
            // A chunk was lost on the way, or the pull was given up: its deadline tries again.
            return Ok(());
        }
        self.check_heard(id, &records, cut.as_ref())?;
        if let (Some(fetch), Some(cut)) = (self.pull.fetches.get_mut(&id), &cut) {
            fetch.complete = cut.complete;
        }
        let mut compare = self.pull.take_compare(id);
        if span.is_some() && compare.is_none() {
            compare = cut.take().and_then(|cut| self.begin_compare(id, cut));
        }
        let mut last = cut.is_some();
        if let (Some(span), Some(compare)) = (span, &mut compare) {
            last = span.upto.is_none();
            self.compare_span((id, peer), compare, span, &records)?;
        }
        let taken = self.take_records(id, records, cut, now)?;
        let patience = self.pull.patience(id);
        if let Some(fetch) = self.pull.fetches.get_mut(&id) {
            fetch.index += 1;
            fetch.deadline = now.monotonic + patience;
        }
        match (compare, taken) {
            (Some(compare), _) if last => return self.end_compare(id, compare, now),
            (Some(compare), _) => self.pull.keep_compare(id, compare),
            (None, Some(taken)) => return self.cut_taken((id, peer), session, taken, now),
            (None, None) => {}
        }
        self.send(peer, &Message::Credit { session });
        Ok(())
    }

    /// Whether a cut says nothing of collecting where nobody collects.
    fn may_collect(&self, id: DatabaseId, cut: &Cut) -> bool {
        !self.directory.is_system(id)
            || (cut.floor.is_empty() && cut.newest_collected == Time::default())
    }

    /// I3: checks what an answer says of this peer's own live epoch.
    fn check_heard(
        &mut self,
        id: DatabaseId,
        records: &[(Epoch, Vec<Sent>)],
        cut: Option<&Cut>,
    ) -> Result<(), StoreError> {
        let heard = records.iter().filter(|(epoch, _)| *epoch == self.epoch);
        let heard = heard.flat_map(|(_, records)| records).map(|sent| sent.sequence);
        let told = cut.iter().map(|cut| cut.vector.get(self.epoch));
        let pending = cut.iter().flat_map(|cut| &cut.pending);
        let pending = pending.filter(|interval| interval.epoch == self.epoch);
        let heard = heard.chain(told).chain(pending.map(|interval| interval.upto));
        self.check_own_epoch(id, self.epoch, heard.max().unwrap_or(0))
    }

    /// Applies the records of a part of an answer, with its cut where it has one.
    fn take_records(
        &mut self,
        id: DatabaseId,
        records: Vec<(Epoch, Vec<Sent>)>,
        cut: Option<Cut>,
        now: Now,
    ) -> Result<Option<Taken>, StoreError> {
        let mut work = Work::default();
        work.touched.insert(id);
        let wanted = self.wants_changes(id);
        let Some(held) = self.held.get_mut(&id) else { return Ok(None) };
        let path = held.replica.path.clone();
        let (mut told, mut late) = (Vec::new(), Late::default());
        let (mut count, mut newest) = (0, None);
        for (epoch, records) in records {
            count += records.len() as u64;
            newest = newest.max(records.iter().map(|sent| sent.time).max());
            let transaction = &mut work.transaction;
            late.extend(held.replica.apply_sent(
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
            )?);
        }
        for (stored, record, applied) in told {
            work.tell(id, wanted, &stored, &record, applied);
        }
        let taken = cut.map(|cut| held.take_cut(cut));
        self.commit_work(work, now)?;
        self.tell_late(id, late, now)?;
        self.count("records_pulled", count);
        if let Some(newest) = newest {
            self.follow(newest, &path, now);
        }
        Ok(taken)
    }

    /// A pull ended well, and the copy reflects what the answer said.
    pub(super) fn cut_taken(
        &mut self,
        (id, peer): (DatabaseId, PeerId),
        session: u64,
        taken: Taken,
        now: Now,
    ) -> Result<(), StoreError> {
        if taken.loses {
            self.reclaim(id, now)?;
        }
        self.pull_finished(id, peer, session, now)?;
        if taken.diverged {
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
        let complete = self.pull.fetches.remove(&id).is_some_and(|fetch| fetch.complete);
        self.pull.overdue.remove(&id);
        self.pull.window = (self.pull.window + 1).min(FETCHES_MAX);
        self.acknowledge_epoch_of(peer, id);
        if let Some(link) = self.links.get_mut(&peer)
            && link.to_step.remove(&id)
            && link.to_step.is_empty()
        {
            link.stepped();
        }
        self.pulled_from(id, peer, PullEnd::Whole { session, complete }, now)?;
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
        if why == Refusal::Outline {
            let part = self.pull.fetches.get(&id).is_some_and(|fetch| fetch.asked.is_some());
            if part {
                self.fetch(id, peer, false, now);
            } else {
                self.misbehaved(peer, "a refusal of an outline where there was none");
            }
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

    pub(super) fn abort_pull(
        &mut self,
        id: DatabaseId,
        end: PullEnd,
        now: Now,
    ) -> Result<(), StoreError> {
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

/// What taking over a cut came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Whether something under its vector is lost.
    loses: bool,
    /// Whether both copies reflect the same, and differ.
    diverged: bool,
}

impl Held {
    /// Takes over what a copy reflects whose records above this one are applied.
    pub(super) fn take_cut(&mut self, cut: Cut) -> Taken {
        let state = &mut self.replica.state;
        let loses = !cut.lost.is_empty();
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
        state.floor.merge(&cut.floor);
        state.newest_collected = state.newest_collected.max(cut.newest_collected);
        let diverged = cut.whole
            && state.progress.is_whole()
            && state.progress.vector == cut.vector
            && state.progress.lost().iter().eq(cut.lost)
            && state.digest != cut.digest;
        Taken { loses, diverged }
    }
}

/// What a copy has above a vector, by its own vector and its rows above that.
pub(super) fn intervals_above(replica: &Replica, vector: &Vector) -> VecDeque<Interval> {
    let state = &replica.state;
    let named = state
        .progress
        .vector
        .iter()
        .chain(state.progress.loose().filter(|_| !planted(Planted::LooseRowsNotAnswered)));
    let mut above = BTreeMap::new();
    for (epoch, last) in named {
        if vector.get(epoch) < last {
            above.insert(epoch, Interval { epoch, from: vector.get(epoch), upto: u64::MAX });
        }
    }
    above.into_values().collect()
}

/// Whether a cut is within the bounds of what a copy can be.
fn is_sane_cut(cut: &Cut, now: Now) -> bool {
    is_within_bounds(&cut.vector, cut.lost.len())
        && cut.pending.len() <= PENDING_MAX
        && cut.lost.iter().all(|lost| lost.upto <= cut.vector.get(lost.epoch))
        && cut.vector.dominates(&cut.floor)
        && cut.newest_collected.millis() <= now.wall.saturating_add(COLLECTED_AHEAD)
        && cut.newest_collected <= TIME_CEILING
        && cut.found.len() <= 2 * (LOST_MAX + EPOCHS_MAX)
}
