//! Commits of what local users submit: as many submissions as there are, each of which is refused by
//! itself.

use alloc::vec::Vec;

use super::Node;
use super::local::{Ready, StagedWrites};
use super::push::Waiting;
use super::shares::{Parked, Refused};
use super::work::Work;
use crate::clock::Now;
use crate::definition::Durability;
use crate::error::Error;
use crate::message::Written;
use crate::planted::{Planted, planted};
use crate::store::{Store, StoreError};

/// The submissions before one that is refused, and those behind it.
type Divided = (Vec<Ready>, Vec<Ready>);

impl<S: Store> Node<S> {
    /// Writes what was found to belong here, with one commit, where none is refused. One that is refused
    /// divides the others: those before it are staged again, and have a commit of their own. So each is
    /// staged twice at most, however many are refused.
    pub(super) fn write_ready(
        &mut self,
        ready: Vec<Ready>,
        forwarded: bool,
        results: &mut [Option<Result<Vec<Written>, Error>>],
        now: Now,
    ) -> Result<(), StoreError> {
        let mut parts = Vec::from([ready]);
        while let Some(part) = parts.pop() {
            if let Some((before, behind)) = self.write_together(part, forwarded, results, now)? {
                parts.extend([behind, before]);
            }
        }
        Ok(())
    }

    /// Writes with one commit; or finds one that is refused, writes none, and gives those before and
    /// behind it.
    fn write_together(
        &mut self,
        mut ready: Vec<Ready>,
        forwarded: bool,
        results: &mut [Option<Result<Vec<Written>, Error>>],
        now: Now,
    ) -> Result<Option<Divided>, StoreError> {
        let mut work = Work::default();
        let mut staged = StagedWrites::new();
        let mut written = Vec::with_capacity(ready.len());
        let mut refused = None;
        for (place, (index, id, submission, _)) in ready.iter().enumerate() {
            if let Some(error) = self.condition_failed(&work, *id, submission, now)? {
                results[*index] = Some(Err(error));
                written.push(Vec::new());
                continue;
            }
            let staged = if self.is_parked(*id) {
                Err(Refused::Share(0))
            } else {
                self.stage_writes(&mut work, &mut staged, *id, submission, now)?
            };
            match staged {
                Ok(of_one) => written.push(of_one),
                Err(why) => {
                    refused = Some((place, why));
                    break;
                }
            }
        }
        if let Some((place, refused)) = refused {
            if planted(Planted::NoRollBack) {
                drop(work);
            } else {
                self.roll_back(work)?;
            }
            let behind = ready.split_off(place + 1);
            if let Some((index, id, submission, reply)) = ready.pop() {
                match refused {
                    Refused::Error(error) => results[index] = Some(Err(error)),
                    // It is answered later.
                    Refused::Share(need) => {
                        self.park(id, Parked { submission, reply, forwarded }, need, now);
                    }
                }
            }
            return Ok(Some((ready, behind)));
        }
        if ready.is_empty() {
            return Ok(None);
        }
        let synced = self.commit_own(work, now)?;
        let needs_sync = staged.values().flatten().any(|s| s.durability == Durability::Synced);
        let ticket = (needs_sync && !synced).then(|| self.request_sync());
        for ((index, id, submission, reply), written) in ready.into_iter().zip(written) {
            if results[index].is_some() {
                continue;
            }
            let durability = self.durability_of(id, submission.durability);
            let ticket = ticket
                .filter(|_| durability == Durability::Synced && !planted(Planted::SyncedEarlyHere));
            let upto = written.last().map_or(0, |written| written.version.dot.sequence);
            let (want, timeout) = (submission.acks, submission.timeout);
            if ticket.is_none() && want <= 1 {
                results[index] = Some(Ok(written));
                continue;
            }
            let waiting = Waiting { reply, want, durability, timeout, written };
            self.wait_for(id, self.epoch, upto, waiting, ticket, now);
        }
        self.push_staged(staged, now);
        Ok(None)
    }

    /// Commits writes of this peer. Stamps above the reservation are reserved and synced before
    /// anyone hears of them. True: everything is synced.
    pub(super) fn commit_own(&mut self, mut work: Work, now: Now) -> Result<bool, StoreError> {
        let due = self.clock.due_reservation();
        let due = due.filter(|_| !planted(Planted::ReservationNotStored));
        if due.is_some() {
            self.stage_own(&mut work, due);
        }
        self.commit_work(work, now)?;
        if let Some(reserved) = due {
            self.sync_store()?;
            self.clock.reserved(reserved);
        }
        Ok(due.is_some())
    }
}
