//! Writes: concurrent callers share one commit.
//!
//! A lone caller commits on its own task, without a hop. Where several write at once, the first to
//! find the queue empty lets the others queue up, then commits for all of them.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use tidings_core::error::Error;
use tidings_core::message::Reply;
use tidings_core::node::{Outcome, Submission};
use tidings_core::stamp::Version;
use tokio::sync::oneshot;

use crate::Result;
use crate::shared::{Shared, lock};

/// Most bytes of submissions in one commit: a bound on how long readers of the network wait.
const COMMIT_BYTES: usize = 1 << 20;
/// Most submissions in one commit.
const COMMIT_SUBMISSIONS: usize = 1024;

type Waiting = (Submission, oneshot::Sender<Result<Reply>>);

/// Submissions that wait for the next commit.
#[derive(Default)]
pub(crate) struct Queue(Mutex<Vec<Waiting>>);

/// Counts a writer while it is under way.
struct Writing<'a>(&'a Shared);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Commits what is queued, also where its caller went away meanwhile.
struct Leader<'a>(&'a Shared);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.0.commit_queued();
    }
}

impl Shared {
    /// Writes, and waits for what the submission asks for.
    pub(crate) async fn write(&self, submission: Submission) -> Result<Vec<Version>> {
        self.check()?;
        let alone = self.writers.fetch_add(1, Ordering::AcqRel) == 0;
        let _writing = Writing(self);
        if alone {
            return match self.write_alone(submission)? {
                Ok(versions) => Ok(versions),
                Err(receiver) => written(receiver.await),
            };
        }
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut queue = lock(&self.writes.0);
            queue.push((submission, sender));
            queue.len() == 1
        };
        if first {
            let leader = Leader(self);
            // Whoever is ready to write queues up meanwhile.
            tokio::task::yield_now().await;
            drop(leader);
        }
        written(receiver.await)
    }

    /// Writes one submission now; or gives what will say.
    fn write_alone(
        &self,
        submission: Submission,
    ) -> Result<Result<Vec<Version>, oneshot::Receiver<Result<Reply>>>> {
        self.with(|node, now| match node.write(vec![submission], now).pop() {
            Some(Outcome::Done(result)) => result.map(Ok),
            Some(Outcome::Later(token)) => Ok(Err(self.expect(token))),
            None => Err(Error::Internal("a write had no outcome".into())),
        })?
    }

    fn commit_queued(&self) {
        loop {
            let taken: Vec<Waiting> = {
                let mut queue = lock(&self.writes.0);
                let mut bytes = 0;
                let fits = |(submission, _): &&Waiting| {
                    bytes += weight(submission);
                    bytes <= COMMIT_BYTES
                };
                let count = queue.iter().take(COMMIT_SUBMISSIONS).take_while(fits).count();
                let count = count.max(1).min(queue.len());
                queue.drain(..count).collect()
            };
            if taken.is_empty() {
                return;
            }
            let (submissions, senders): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
            let _ = self.with(|node, now| {
                for (outcome, sender) in node.write(submissions, now).into_iter().zip(senders) {
                    match outcome {
                        // Nobody waits any more where the caller went away.
                        Outcome::Done(result) => drop(sender.send(result.map(Reply::Written))),
                        Outcome::Later(token) => self.expect_with(token, sender),
                    }
                }
            });
        }
    }
}

fn weight(submission: &Submission) -> usize {
    submission.writes.iter().map(|write| write.key.len() + write.payload.len()).sum()
}

fn written(
    answer: core::result::Result<Result<Reply>, oneshot::error::RecvError>,
) -> Result<Vec<Version>> {
    match answer {
        Ok(Ok(Reply::Written(versions))) => Ok(versions),
        Ok(Ok(_)) => Err(Error::Internal("a write was answered as something else".into())),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::Closed("the peer".into())),
    }
}
