//! Writes: concurrent callers share one commit.
//!
//! A lone caller commits on its own task, without a hop. Where several write at once, they queue up
//! for a task that commits all that is there, lets who it answered write again, and ends when
//! nobody did. What can be done before the commit is done by the callers, each on its own core.
//!
//! On a runtime of one thread, such as each of those that serve the Redis protocol, the others of the
//! thread have their turn first, and then whoever comes back first commits what all of them queued up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tidings_core::error::Error;
use tidings_core::message::{Reply, Written};
use tidings_core::node::{Outcome, Submission};
use tidings_core::rows::{Prefix, data_key};
use tidings_core::store::{Read, Space};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use crate::Result;
use crate::shared::{Shared, lock};

/// Most bytes of submissions in one commit: a bound on how long readers of the network wait.
const COMMIT_BYTES: usize = 1 << 20;
/// Most submissions in one commit.
const COMMIT_SUBMISSIONS: usize = 1024;
/// Commits in a row without a pause for other tasks of the thread: some tens of milliseconds at most.
const YIELD_EVERY: u32 = 16;

type Waiting = (Submission, oneshot::Sender<Result<Reply>>);

/// What a submission came to so far.
enum Begun {
    /// It is done.
    Done(Result<Vec<Written>>),
    /// It will be said here.
    Later(oneshot::Receiver<Result<Reply>>),
}

/// Submissions that wait for the next commit.
pub(crate) struct Queue {
    queued: Mutex<Queued>,
    /// Where the peer runs: callers may come from runtimes that end before it.
    runtime: Handle,
}

#[derive(Default)]
struct Queued {
    waiting: Vec<Waiting>,
    /// Whether the task that commits them runs.
    committing: bool,
}

impl Queue {
    /// For a peer that runs on the current runtime.
    pub(crate) fn new() -> Self {
        Self { queued: Mutex::default(), runtime: Handle::current() }
    }
}

/// Counts a writer while it is under way.
struct Writing<'a>(&'a Shared);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The task that commits what is queued. Where its runtime ends before it, nobody is left waiting.
struct Committer {
    shared: Arc<Shared>,
    more: bool,
}

impl Drop for Committer {
    fn drop(&mut self) {
        while self.more {
            self.more = self.shared.commit_queued();
        }
    }
}

/// Whoever is the first to end commits what all have queued up, also where it was given up: nothing may
/// stay in the queue until somebody else writes.
struct Leader<'a>(&'a Arc<Shared>);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if self.0.begins_to_commit() {
            for _ in 0..YIELD_EVERY {
                if !self.0.commit_queued() {
                    return;
                }
            }
            // Others keep on writing, on other threads.
            self.0.commit_on_a_task();
        }
    }
}

/// Whether the caller runs where nothing else runs meanwhile.
fn on_one_thread() -> bool {
    let runtime = Handle::try_current();
    runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

impl Shared {
    /// Writes, and waits for what the submission asks for. `here`: the copy here, if it is known.
    pub(crate) async fn write(
        self: &Arc<Self>,
        submission: Submission,
        here: Option<Prefix>,
    ) -> Result<Vec<Written>> {
        let written = self.write_each(vec![submission], here).await;
        written
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(Error::Internal("a write had no outcome".into())))
    }

    /// Writes several submissions in this order, each of which is refused by itself, and waits for what
    /// they ask for.
    pub(crate) async fn write_each(
        self: &Arc<Self>,
        submissions: Vec<Submission>,
        here: Option<Prefix>,
    ) -> Vec<Result<Vec<Written>>> {
        let count = submissions.len();
        let alone = self.writers.fetch_add(1, Ordering::AcqRel) == 0;
        let _writing = Writing(self);
        let begun = if on_one_thread() {
            let leader = Leader(self);
            let begun = self.queue(submissions);
            tokio::task::yield_now().await;
            drop(leader);
            begun
        } else if alone && count <= fitting(submissions.iter()).max(1) {
            self.write_alone(submissions)
        } else {
            self.prepare(&submissions, here).and_then(|()| self.queue(submissions)).inspect(|_| {
                if self.begins_to_commit() {
                    self.commit_on_a_task();
                }
            })
        };
        let mut written = Vec::with_capacity(count);
        match begun {
            // The last one first: mostly all are answered by then, and this task is woken once.
            Ok(begun) => {
                for begun in begun.into_iter().rev() {
                    written.push(match begun {
                        Begun::Done(result) => result,
                        Begun::Later(receiver) => self.written(receiver.await),
                    });
                }
            }
            Err(error) => written.resize(count, Err(error)),
        }
        written.reverse();
        written
    }

    /// The commit reads the rows that it replaces: here it is done beside other commits, and leaves them in
    /// memory.
    fn prepare(&self, submissions: &[Submission], here: Option<Prefix>) -> Result<()> {
        let Some(prefix) = here else { return Ok(()) };
        for write in submissions.iter().flat_map(|submission| &submission.writes) {
            self.store.look(Space::Data, &data_key(prefix, &write.key), |_| ())?;
        }
        Ok(())
    }

    /// Queues submissions up for the next commits, which the caller sees to.
    fn queue(&self, submissions: Vec<Submission>) -> Result<Vec<Begun>> {
        self.check()?;
        let (senders, begun): (Vec<_>, Vec<_>) = submissions
            .iter()
            .map(|_| oneshot::channel())
            .map(|(sender, receiver)| (sender, Begun::Later(receiver)))
            .unzip();
        lock(&self.writes.queued).waiting.extend(submissions.into_iter().zip(senders));
        Ok(begun)
    }

    /// Whether the caller is now the one who commits what is queued; else somebody does, or there is
    /// nothing.
    fn begins_to_commit(&self) -> bool {
        let mut queue = lock(&self.writes.queued);
        !queue.waiting.is_empty() && !std::mem::replace(&mut queue.committing, true)
    }

    /// Commits what is queued, and what is queued meanwhile, on the runtime of the peer: the caller has begun.
    fn commit_on_a_task(self: &Arc<Self>) {
        let mut committer = Committer { shared: Arc::clone(self), more: true };
        self.writes.runtime.spawn(async move {
            let mut rounds = 0_u32;
            while committer.more {
                // Where nobody waits, whoever is ready to write queues up meanwhile. Where some
                // do, others queue up on the other threads while these are committed; and now and
                // then it is the turn of what else runs on this one.
                if rounds.is_multiple_of(YIELD_EVERY) || committer.shared.nobody_waits() {
                    tokio::task::yield_now().await;
                }
                rounds = rounds.wrapping_add(1);
                committer.more = committer.shared.commit_queued();
            }
        });
    }

    fn nobody_waits(&self) -> bool {
        lock(&self.writes.queued).waiting.is_empty()
    }

    fn written(
        &self,
        answer: core::result::Result<Result<Reply>, oneshot::error::RecvError>,
    ) -> Result<Vec<Written>> {
        match answer {
            Ok(Ok(Reply::Written(written))) => Ok(written),
            Ok(Ok(_)) => Err(Error::Internal("a write was answered as something else".into())),
            Ok(Err(error)) => Err(error),
            Err(_) => self.check().and(Err(Error::Closed("the peer".into()))),
        }
    }

    /// Writes submissions now, with one commit.
    fn write_alone(&self, submissions: Vec<Submission>) -> Result<Vec<Begun>> {
        self.with(|node, now| {
            let outcomes = node.write(submissions, now).into_iter();
            let begun = outcomes.map(|outcome| match outcome {
                Outcome::Done(result) => Begun::Done(result),
                Outcome::Later(token) => Begun::Later(self.expect(token)),
            });
            begun.collect()
        })
    }

    /// Commits what is queued; false, and the end of the task, when that is nothing.
    fn commit_queued(&self) -> bool {
        let taken: Vec<Waiting> = {
            let mut queue = lock(&self.writes.queued);
            let waiting = &mut queue.waiting;
            let count = fitting(waiting.iter().map(|(submission, _)| submission));
            let count = count.max(1).min(waiting.len());
            if count == 0 {
                queue.committing = false;
                return false;
            }
            waiting.drain(..count).collect()
        };
        let (submissions, senders): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
        // Where the peer has failed, the senders are dropped, and with them the waits.
        let _ = self.with(|node, now| {
            for (outcome, sender) in node.write(submissions, now).into_iter().zip(senders) {
                match outcome {
                    // Nobody waits any more where the caller went away.
                    Outcome::Done(result) => drop(sender.send(result.map(Reply::Written))),
                    Outcome::Later(token) => self.expect_with(token, sender),
                }
            }
        });
        true
    }
}

/// How many submissions, from the first one on, fit one commit.
fn fitting<'a>(submissions: impl Iterator<Item = &'a Submission>) -> usize {
    let mut bytes = 0;
    let fits = |submission: &&Submission| {
        bytes += weight(submission);
        bytes <= COMMIT_BYTES
    };
    submissions.take(COMMIT_SUBMISSIONS).take_while(fits).count()
}

fn weight(submission: &Submission) -> usize {
    submission.writes.iter().map(|write| write.key.len() + write.change.len()).sum()
}
