//! Requests between peers: a peer without a copy works through a holder.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::answered::Fate;
use super::local::{Place, Submission};
use super::push::ReplyTo;
use super::watch::Changes;
use super::{MILLISECOND, NEVER, Node, Output};
use crate::clock::Now;
use crate::error::Error;
use crate::filter::Filter;
use crate::ident::{Epoch, PeerId};
use crate::limits::{BATCH_WRITES_MAX, PAGE_BYTES_MAX};
use crate::message::{Message, Operation, Reply};
use crate::name::Path;
use crate::planted::{Planted, planted};
use crate::read::{read_keyspaces, read_page, read_record};
use crate::rows::Prefix;
use crate::stamp::Millis;
use crate::store::{Store, StoreError};

/// Most calls under way: a bound on what waits for peers that do not answer.
const CALLS_MAX: usize = 65_536;

/// A request to a holder, until it is answered.
#[derive(Debug)]
struct Call {
    reply: ReplyTo,
    path: Path,
    operation: Operation,
    peer: PeerId,
    tried: BTreeSet<PeerId>,
    deadline: u64,
    timeout: Millis,
    /// For a write whose connection broke: the live epoch that the holder had.
    doubt: Option<Epoch>,
}

/// A watch that this peer holds at another one.
#[derive(Debug)]
struct RemoteWatch {
    token: u64,
    peer: PeerId,
    path: Path,
    next: u64,
}

/// Requests under way.
#[derive(Debug)]
pub(super) struct Forwards {
    calls: BTreeMap<u64, Call>,
    watches: BTreeMap<u64, RemoteWatch>,
    requests: u64,
}

impl Forwards {
    /// No requests. They are numbered from this on, which no other process of the peer draws.
    pub(super) fn new(process: u32) -> Self {
        let requests = u64::from(process) << 32;
        Self { calls: BTreeMap::new(), watches: BTreeMap::new(), requests }
    }

    /// The token of the watch that changes belong to, and whether they are the next ones.
    pub(super) fn next_change(
        &mut self,
        peer: PeerId,
        request: u64,
        index: u64,
        confirms: bool,
    ) -> Option<(u64, bool)> {
        let watch = self.watches.get_mut(&request).filter(|watch| watch.peer == peer)?;
        let token = watch.token;
        let next = watch.next == index;
        watch.next += u64::from(!confirms);
        if !next {
            self.watches.remove(&request);
        }
        Some((token, next))
    }
}

impl<S: Store> Node<S> {
    pub(super) fn forward_write(&mut self, submission: Submission, reply: ReplyTo, now: Now) {
        let Submission { path, writes, durability, acks, timeout, condition } = submission;
        let defined = || self.definition_of(path.as_str()).map(|definition| definition.durability);
        let durability = durability.or_else(defined).unwrap_or_default();
        let generation = self.directory.generation(self.database_id(path.as_str()));
        let operation =
            Operation::Write { writes, durability, acks, timeout, condition, generation };
        // The holder waits for the acknowledgements; this peer waits a little longer for its answer.
        self.forward(reply, path, operation, timeout.max(1_000).saturating_add(1_000), now);
    }

    /// Sends an operation to a holder.
    pub(super) fn forward(
        &mut self,
        reply: ReplyTo,
        path: Path,
        operation: Operation,
        timeout: Millis,
        now: Now,
    ) {
        let deadline = now.monotonic.saturating_add(timeout.saturating_mul(MILLISECOND));
        let (peer, tried) = (self.config.peer, BTreeSet::new());
        if !matches!(operation, Operation::Invite | Operation::Status) {
            let id = self.database_id(path.as_str());
            self.ask_invitation(id, &path, now);
        }
        let doubt = None;
        self.dispatch(Call { reply, path, operation, peer, tried, deadline, timeout, doubt }, now);
    }

    /// Whether there is a holder that was not asked.
    fn may_ask_another(&self, call: &Call) -> bool {
        let untried = |peer: &PeerId| *peer != self.config.peer && !call.tried.contains(peer);
        self.connected_holders(self.database_id(call.path.as_str())).iter().any(untried)
    }

    fn dispatch(&mut self, mut call: Call, now: Now) {
        let id = self.database_id(call.path.as_str());
        let is_write = matches!(call.operation, Operation::Write { .. });
        let mut holders = self.connected_holders(id);
        if holders.is_empty() && !self.directory.is_known(id) {
            if is_write {
                holders.push(self.creator(id, &call.path));
            } else if let Some(reply) = nothing(&call.operation) {
                self.reply(call.reply, Ok(reply));
                return;
            }
        }
        let next = holders.into_iter().find(|p| *p != self.config.peer && !call.tried.contains(p));
        let Some(peer) = next else {
            let known: Vec<_> =
                self.directory.holders(id).map(|(peer, _)| peer.to_string()).collect();
            let why = format!("none of its holders can be reached: {}", known.join(", "));
            self.reply(call.reply, Err(Error::Unavailable { path: call.path.to_string(), why }));
            return;
        };
        if self.forward.calls.len() >= CALLS_MAX {
            let why = format!("{CALLS_MAX} requests to other peers are under way already");
            self.reply(call.reply, Err(Error::Unavailable { path: call.path.to_string(), why }));
            return;
        }
        self.forward.requests += 1;
        let request = self.forward.requests;
        call.peer = peer;
        call.tried.insert(peer);
        self.timers.calls = self.timers.calls.min(call.deadline.max(now.monotonic));
        let path = call.path.to_string();
        if let (Operation::Watch { .. }, ReplyTo::Token(token)) = (&call.operation, call.reply) {
            let path = call.path.clone();
            self.forward.watches.insert(request, RemoteWatch { token, peer, path, next: 0 });
        }
        let operation = call.operation.clone();
        self.forward.calls.insert(request, call);
        self.count("requests_forwarded", 1);
        self.send(peer, &Message::Request { request, path, operation, again: None });
    }

    pub(super) fn response_arrived(
        &mut self,
        peer: PeerId,
        request: u64,
        result: Result<Reply, Error>,
        now: Now,
    ) {
        let mut request = request;
        if planted(Planted::AnswerToAnother)
            && let Some(oldest) = self.forward.calls.iter().find(|(_, call)| call.peer == peer)
        {
            request = *oldest.0;
        }
        if self.forward.calls.get(&request).is_none_or(|call| call.peer != peer) {
            return;
        }
        let Some(call) = self.forward.calls.remove(&request) else { return };
        if !matches!(result, Ok(Reply::Watching(..))) {
            self.forward.watches.remove(&request);
        }
        let another =
            matches!(result, Ok(Reply::Behind) | Err(Error::Cloned)) && self.may_ask_another(&call);
        if another || matches!(result, Err(Error::Unavailable { .. })) {
            // Nothing was done there: another holder may do it.
            self.dispatch(call, now);
        } else {
            self.reply(call.reply, result);
        }
    }

    /// The connection to a peer is gone, which had this live epoch: its reads are asked of another one, and
    /// its writes again of the same one when it is back.
    pub(super) fn forget_calls(&mut self, peer: PeerId, epoch: Option<Epoch>, now: Now) {
        let lost: Vec<u64> = self
            .forward
            .calls
            .iter()
            .filter(|(_, call)| call.peer == peer)
            .map(|(request, _)| *request)
            .collect();
        for request in lost {
            self.forward.watches.remove(&request);
            let Some(mut call) = self.forward.calls.remove(&request) else { continue };
            let is_write = matches!(call.operation, Operation::Write { .. });
            call.doubt = call.doubt.or(epoch);
            if is_write && planted(Planted::UnknownSaidRefused) {
                let why = "the connection broke".into();
                let path = call.path.to_string();
                self.reply(call.reply, Err(Error::Unavailable { path, why }));
            } else if is_write && call.doubt.is_some() && !planted(Planted::WriteSentAgain) {
                self.forward.calls.insert(request, call);
            } else if is_write && !planted(Planted::WriteSentAgain) {
                let why = "the connection to the holder broke before it answered".into();
                let path = call.path.to_string();
                self.reply(call.reply, Err(Error::OutcomeUnknown { path, why }));
            } else {
                self.dispatch(call, now);
            }
        }
        let mut lagged = Vec::new();
        self.forward.watches.retain(|_, watch| {
            if watch.peer == peer {
                lagged.push((watch.token, watch.path.to_string()));
            }
            watch.peer != peer
        });
        for (token, path) in lagged {
            let why = "the connection to the holder that was watched broke".into();
            let error = Error::Unavailable { path, why };
            self.outputs.push_back(Output::ChangedElsewhere(token, Err(error)));
        }
    }

    /// A peer is there under this live epoch: the writes whose connection broke are asked for again, if it
    /// can know of them.
    pub(super) fn ask_again(&mut self, peer: PeerId, epoch: Epoch) {
        let in_doubt = |(_, call): &(&u64, &mut Call)| call.peer == peer && call.doubt.is_some();
        let mut again = Vec::new();
        for (request, call) in self.forward.calls.iter_mut().filter(in_doubt) {
            again.push((*request, call.doubt.take() == Some(epoch)));
        }
        for (request, known) in again {
            if known && let Some(call) = self.forward.calls.get(&request) {
                let (path, operation) = (call.path.to_string(), call.operation.clone());
                self.count("requests_again", 1);
                self.send(peer, &Message::Request { request, path, operation, again: Some(epoch) });
            } else if let Some(call) = self.forward.calls.remove(&request) {
                let why = "the holder was started anew before it answered".into();
                let path = call.path.to_string();
                self.reply(call.reply, Err(Error::OutcomeUnknown { path, why }));
            }
        }
    }

    /// Ends a watch at another peer.
    pub fn unwatch_elsewhere(&mut self, token: u64, now: Now) {
        let found = self.forward.watches.iter().find(|(_, watch)| watch.token == token);
        if let Some((&request, watch)) = found {
            let peer = watch.peer;
            self.forward.watches.remove(&request);
            self.send(peer, &Message::Unwatch { request });
        }
        self.finish(Ok(()), now);
    }

    pub(super) fn expire_calls(&mut self, now: Now) {
        let expired: Vec<u64> = self
            .forward
            .calls
            .iter()
            .filter(|(_, call)| call.deadline <= now.monotonic)
            .map(|(request, _)| *request)
            .collect();
        for request in expired {
            self.forward.watches.remove(&request);
            let Some(call) = self.forward.calls.remove(&request) else { continue };
            let error = if matches!(call.operation, Operation::Write { .. }) {
                let why = format!("the holder did not answer within {} ms", call.timeout);
                Error::OutcomeUnknown { path: call.path.to_string(), why }
            } else {
                Error::TimedOut(call.timeout)
            };
            self.reply(call.reply, Err(error));
        }
        let calls = self.forward.calls.values().map(|call| call.deadline).min().unwrap_or(NEVER);
        let shares = self.tend_shares(now);
        self.timers.calls =
            calls.min(self.expire_waiters(now)).min(self.expire_syncs(now)).min(shares);
    }

    /// A peer asks this one to do something.
    pub(super) fn request_arrived(
        &mut self,
        peer: PeerId,
        request: u64,
        (path, operation): (&str, Operation),
        again: Option<Epoch>,
        now: Now,
    ) -> Result<(), StoreError> {
        let to = ReplyTo::Peer(peer, request);
        if matches!(operation, Operation::Write { .. }) && !self.is_to_do(to, path, again) {
            return Ok(());
        }
        self.count("requests_served", 1);
        let path = match Path::new(path) {
            Ok(path) => path,
            Err(error) => {
                self.reply(to, Err(error));
                return Ok(());
            }
        };
        if let Operation::Write { writes, durability, acks, timeout, condition, generation } =
            operation
        {
            if generation > self.directory.generation(self.database_id(path.as_str())) {
                self.reply(to, Err(Self::not_here(&path)));
                return Ok(());
            }
            let durability = Some(durability);
            let submission = Submission { path, writes, durability, acks, timeout, condition };
            let result = self.write_for(alloc::vec![(submission, to)], true, now).pop().flatten();
            if let Some(result) = result {
                self.reply(to, result.map(Reply::Written));
            }
            return self.failure_as_result();
        }
        let result = match self.place_of(self.database_id(path.as_str()), now) {
            Place::Here(prefix) => self.serve(peer, request, &path, prefix, operation, now)?,
            _ => Err(Self::not_here(&path)),
        };
        self.reply(to, result);
        Ok(())
    }

    /// Whether a write is to be done that a peer asks for; if it was before, that one is answered again.
    fn is_to_do(&mut self, to: ReplyTo, path: &str, again: Option<Epoch>) -> bool {
        let ReplyTo::Peer(peer, request) = to else { return true };
        let fate = self.answered.asked(peer, request);
        if fate == Fate::New && again.is_none_or(|epoch| epoch == self.epoch) {
            return true;
        }
        self.count("requests_repeated", 1);
        let bug =
            if again.is_some() { Planted::AnswerForgotten } else { Planted::RequestDoneTwice };
        if planted(bug) {
            return true;
        }
        match fate {
            Fate::UnderWay => {}
            Fate::Answered(result) => self.send(peer, &Message::Response { request, result }),
            Fate::New | Fate::Forgotten => {
                let why = "the holder does not remember whether it was done".into();
                self.reply(to, Err(Error::OutcomeUnknown { path: path.into(), why }));
            }
        }
        false
    }

    fn failure_as_result(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(error) => Err(StoreError::Stopped(error.to_string().into())),
            None => Ok(()),
        }
    }

    fn serve(
        &mut self,
        peer: PeerId,
        request: u64,
        path: &Path,
        prefix: Prefix,
        operation: Operation,
        now: Now,
    ) -> Result<Result<Reply, Error>, StoreError> {
        let id = self.database_id(path.as_str());
        Ok(match operation {
            Operation::Get { least: Some(dot), .. } if !self.reflects(id, dot) => Ok(Reply::Behind),
            Operation::Get { keys, .. } if keys.len() > BATCH_WRITES_MAX => {
                let count = keys.len();
                Err(Error::BadArgument(format!("{count} keys: at most {BATCH_WRITES_MAX} at once")))
            }
            Operation::Get { keys, .. } => {
                let snapshot = self.store.snapshot();
                let (mut records, mut bytes) = (Vec::new(), 0);
                for key in keys {
                    let record = read_record(&snapshot, prefix, &key)?;
                    bytes += record.as_ref().map_or(0, |record| record.payload().len());
                    records.push(record);
                    if records.len() > 1 && bytes > PAGE_BYTES_MAX {
                        return Ok(Err(Error::BadArgument(format!(
                            "the values have more than {PAGE_BYTES_MAX} bytes, which is what travels at once: ask for fewer keys"
                        ))));
                    }
                }
                Ok(Reply::Got(records))
            }
            Operation::Page(page) => {
                let filter = match page.filter.clone().map(Filter::new).transpose() {
                    Ok(filter) => filter,
                    Err(error) => return Ok(Err(error)),
                };
                let snapshot = self.store.snapshot();
                let (rows, next) = read_page(&snapshot, prefix, &page, filter.as_ref(), now.wall)?;
                Ok(Reply::Page(rows, next))
            }
            Operation::Keyspaces(request) => {
                let snapshot = self.store.snapshot();
                let (names, next) = read_keyspaces(&snapshot, prefix, &request, now.wall)?;
                Ok(Reply::Keyspaces(names, next))
            }
            Operation::Status => {
                self.database_status(path, now).map(|status| Reply::Status(status.into()))
            }
            Operation::Invite => self.invite(id, path, peer, now),
            Operation::Watch { prefix, after } => {
                let since = if let Some(after) = after {
                    self.changes_since(id, &prefix, &after)?
                } else {
                    let (changes, position) = (Vec::new(), self.position(id));
                    Ok(Some(Changes { changes, position }))
                };
                since.and_then(|since| match since {
                    None => Ok(Reply::Behind),
                    Some(Changes { changes, position }) => self
                        .watch
                        .add(id, peer, request, prefix)
                        .then_some(Reply::Watching(changes, position))
                        .ok_or_else(|| {
                            Error::BadArgument("this peer has too many watches here".into())
                        }),
                })
            }
            Operation::Write { .. } => Err(Error::Internal("a write was taken for a read".into())),
        })
    }
}

/// What a read of a database that nobody has written finds.
fn nothing(operation: &Operation) -> Option<Reply> {
    match operation {
        Operation::Get { least: Some(_), .. } => Some(Reply::Behind),
        Operation::Get { keys, .. } => Some(Reply::Got(alloc::vec![None; keys.len()])),
        Operation::Page(_) => Some(Reply::Page(Vec::new(), None)),
        Operation::Keyspaces(_) => Some(Reply::Keyspaces(Vec::new(), None)),
        Operation::Write { .. } | Operation::Status | Operation::Watch { .. } => None,
        Operation::Invite => Some(Reply::Done),
    }
}
