//! Waiting until this peer has what its reachable holders have.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::join::PullEnd;
use super::push::ReplyTo;
use super::{MILLISECOND, NEVER, Node};
use crate::clock::Now;
use crate::error::Error;
use crate::ident::{DatabaseId, PeerId};
use crate::message::Reply;
use crate::name::Path;
use crate::store::Store;

/// A call that waits until this peer has what its reachable holders have.
#[derive(Debug)]
pub(super) struct SyncWait {
    token: u64,
    id: DatabaseId,
    /// The last session of a pull that began before the call.
    after: u64,
    todo: BTreeSet<PeerId>,
    deadline: u64,
    timeout: u64,
}

impl<S: Store> Node<S> {
    /// Waits until this peer has everything that its reachable holders have. Answers by
    /// [`Output::Done`](super::Output::Done).
    pub fn sync(&mut self, path: &Path, timeout: u64, now: Now) -> u64 {
        let id = self.database_id(path.as_str());
        let token = self.token();
        let todo: BTreeSet<PeerId> = if self.held.contains_key(&id) {
            self.connected_holders(id)
                .into_iter()
                .filter(|peer| *peer != self.config.peer)
                .collect()
        } else {
            BTreeSet::new()
        };
        if todo.is_empty() {
            self.reply(ReplyTo::Token(token), Ok(Reply::Done));
        } else {
            let deadline = now.monotonic.saturating_add(timeout.saturating_mul(MILLISECOND));
            self.timers.calls = self.timers.calls.min(deadline);
            let after = self.pull.last_session();
            let wait = SyncWait { token, id, after, todo: todo.clone(), deadline, timeout };
            self.syncs.push(wait);
            for peer in todo {
                self.pull_all(id, peer, now);
            }
        }
        self.finish(Ok(()), now);
        token
    }

    /// A pull of a database from a peer ended. True: it was not enough, and goes on.
    pub(super) fn sync_pulled(
        &mut self,
        (id, peer): (DatabaseId, PeerId),
        end: PullEnd,
        connected: bool,
    ) -> bool {
        let mut again = false;
        let mut done = Vec::new();
        self.syncs.retain_mut(|wait| {
            if wait.id == id && wait.todo.contains(&peer) {
                let enough = match end {
                    // One that began before the call may have missed what came before it.
                    PullEnd::Whole { session, .. } => session > wait.after,
                    PullEnd::Refused => true,
                    PullEnd::Lost => !connected,
                };
                if enough {
                    wait.todo.remove(&peer);
                } else {
                    again = true;
                }
            }
            if wait.todo.is_empty() {
                done.push(wait.token);
            }
            !wait.todo.is_empty()
        });
        for token in done {
            self.reply(ReplyTo::Token(token), Ok(Reply::Done));
        }
        again
    }

    /// A database was dropped: what was waited for is not any more.
    pub(super) fn end_syncs(&mut self, id: DatabaseId) {
        let over: Vec<u64> =
            self.syncs.iter().filter(|wait| wait.id == id).map(|wait| wait.token).collect();
        self.syncs.retain(|wait| wait.id != id);
        for token in over {
            self.reply(ReplyTo::Token(token), Ok(Reply::Done));
        }
    }

    /// Ends the waits whose time is over; the earliest deadline of the others.
    pub(super) fn expire_syncs(&mut self, now: Now) -> u64 {
        let mut over = Vec::new();
        self.syncs.retain(|wait| {
            let late = wait.deadline <= now.monotonic;
            if late {
                over.push((wait.token, wait.timeout));
            }
            !late
        });
        for (token, timeout) in over {
            self.reply(ReplyTo::Token(token), Err(Error::TimedOut(timeout)));
        }
        self.syncs.iter().map(|wait| wait.deadline).min().unwrap_or(NEVER)
    }
}
