//! What goes wrong: kinds of faults, what each needs to know, and what it does to the world.

mod blocks;
mod clocks;
mod definitions;
mod hostile;
mod kind;
mod membership;
mod storage;

use crate::disk::{Crash, Failure, Operation};
use crate::random::Random;
use crate::scenario::{MILLISECOND, SECOND, WHOLE};
use crate::world::{Event, World};

use blocks::pairs;
pub(crate) use definitions::Defined;
pub(crate) use hostile::Hostile;
pub use kind::{FaultKind, Parameter};
pub(crate) use storage::is_planned;

/// One fault. What its kind does not need is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Where.
    pub peer: usize,
    /// The other end of the link, or of the direction from `peer`.
    pub other: usize,
    /// One side of a partition; everyone else is the other.
    pub side: Vec<usize>,
    /// How long it lasts, or the process is gone, in microseconds; `None`: until the faults end, or,
    /// for a definition that is removed, for good.
    pub lasts: Option<u64>,
    /// See [`FaultKind::parameter`].
    pub amount: i64,
    /// What becomes of a definition.
    pub change: Change,
}

/// A change of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub definition: String,
    /// Copies at least and at most. Not for one that is removed.
    pub copies: (u32, u32),
    /// Its limit of size from then on; `None`: no limit.
    pub size: Option<u64>,
}

impl Fault {
    /// A fault of a peer that lasts until the faults end, of the usual strength.
    pub fn new(kind: FaultKind, peer: usize) -> Self {
        let amount = match kind.parameter() {
            Parameter::None | Parameter::Room => 0,
            Parameter::Rows => 10,
            Parameter::Nth => 1,
            Parameter::Times => 6,
            Parameter::Gulp => SECOND as i64,
            Parameter::Delay => (100 * MILLISECOND) as i64,
            Parameter::Share => (WHOLE / 10) as i64,
            Parameter::Offset if kind == FaultKind::ClockRestart => -3_600_000,
            Parameter::Offset => 3_600_000,
            Parameter::Drift => 1_000,
        };
        let change = Change { copies: (1, 1), ..Change::default() };
        Self { kind, peer, other: 0, side: Vec::new(), lasts: None, amount, change }
    }

    /// The same for a while, in microseconds.
    #[must_use]
    pub fn lasting(mut self, micros: u64) -> Self {
        self.lasts = Some(micros);
        self
    }
}

/// Something that a fault leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The process of a life ends so, and starts again soon.
    End(usize, u64, Crash),
    /// A connection breaks.
    Broken(u64),
    /// All processes are killed and start again, so many times still.
    Storm(i64),
    /// The wall clock of a peer is right again.
    Thaw(usize),
    /// The disk of a peer has room again and works.
    Repair(usize),
    /// A definition that was removed is applied again, by the given peer.
    Define(String, usize),
    /// A stopping process of a life is gone, and starts again after a time.
    Stopped(usize, u64, Option<u64>),
    /// A block of directions ends.
    Unblock(Vec<(usize, usize)>, u64),
    /// A block has lasted so long that connections break.
    Silence(Vec<(usize, usize)>, u64),
    /// What a process sent on a connection waits too long to be sent again.
    GiveUp(u64, usize),
    /// A link goes down, for the given number of times still.
    FlapDown(usize, usize, i64),
    /// The trouble with frames of this kind ends.
    Calm(FaultKind),
    /// A peer reads quickly again.
    ReadOn(usize),
    /// A peer is not to be drained any more.
    Undrain(usize),
    /// A hostile process of a life says something, until then.
    Harm(usize, u64, u64),
}

/// What is known of faults.
#[derive(Debug, Default)]
pub struct Faults {
    pub(crate) stopped: bool,
    /// Counts the healings: what was to end before one has ended.
    healed: u64,
}

impl World {
    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::End(index, life, crash) => {
                if self.processes[index].life == life {
                    let mut random = self.random_of("restart", index);
                    self.crash(index, crash);
                    self.start_later(index, 100 * MILLISECOND + random.below(3 * SECOND));
                }
            }
            Act::Stopped(index, life, time) => {
                if self.processes[index].life == life {
                    self.finish_stop(index, time);
                }
            }
            Act::Unblock(directions, healed) => {
                if self.faults.healed == healed {
                    self.unblock(&directions);
                }
            }
            Act::Silence(directions, healed) => {
                if self.faults.healed == healed {
                    self.silence(&directions);
                }
            }
            Act::GiveUp(connection, from) => {
                if self.network.is_stalled(connection, from, self.now) {
                    self.break_connection(connection, false);
                }
            }
            Act::Broken(connection) => self.break_connection(connection, false),
            Act::Storm(times) => self.storm(times),
            Act::Thaw(index) => self.processes[index].frozen = None,
            Act::Repair(index) => self.processes[index].disk.repair(),
            Act::Define(name, index) => self.define_again(&name, index),
            Act::FlapDown(one, other, times) => self.flap(one, other, times),
            Act::Calm(kind) => {
                let trouble = &mut self.network.trouble;
                match kind {
                    FaultKind::Loss => trouble.loss = 0,
                    FaultKind::Duplicate => trouble.duplicate = 0,
                    FaultKind::Reorder => trouble.reorder = 0,
                    _ => (trouble.delay, trouble.narrow) = (0, 0),
                }
            }
            Act::ReadOn(index) => {
                self.network.slow_readers.remove(&index);
            }
            Act::Undrain(index) => self.drain(index, false),
            Act::Harm(index, life, until) => self.harm(index, life, until),
        }
    }

    /// Random numbers for what happens now to a process: they depend on nothing that happened before.
    pub(crate) fn random_of(&self, concern: &str, index: usize) -> Random {
        Random::new(self.scenario.seed, &format!("{concern} {index} {}", self.now))
    }

    /// Lets a fault happen.
    pub fn inject(&mut self, fault: &Fault) {
        let Fault { kind, peer: index, other, lasts, amount, .. } = *fault;
        let count = self.processes.len();
        if self.faults.stopped || index >= count || other >= count {
            return;
        }
        let alive = self.processes[index].node.is_some() && !self.processes[index].stopping;
        if kind.needs_life() && !alive {
            return;
        }
        self.trace.note(kind.word(), &[index as u64, other as u64, lasts.unwrap_or(0)]);
        self.say(|| format!("{} of {index} (or with {other}) for {lasts:?}", kind.word()));
        self.sometimes.saw(&kind.name());
        let size = amount.unsigned_abs();
        match kind {
            FaultKind::Kill => self.crash_for(index, Crash::Process, lasts),
            FaultKind::PowerLoss => self.crash_for(index, Crash::Power, lasts),
            FaultKind::Torn => self.crash_for(index, Crash::Torn, lasts),
            FaultKind::TornWithin => self.crash_for(index, Crash::TornWithin, lasts),
            FaultKind::Die => {
                self.crash(index, Crash::Process);
                self.processes[index].dead = true;
            }
            FaultKind::CleanStop => self.stop_for(index, lasts),
            FaultKind::Pause => {
                let until = lasts.map_or(self.scenario.duration, |time| self.now + time);
                self.processes[index].paused_until = until;
            }
            FaultKind::Wipe => {
                self.wipe(index);
                self.restart(index, lasts);
            }
            FaultKind::Rollback => self.rollback_or_keep(index, lasts),
            FaultKind::Vanish => {
                self.vanish(index, size as usize);
                self.restart(index, lasts);
            }
            FaultKind::CommitFails => {
                self.processes[index].disk.fail(Operation::Commit, size, Failure::Once);
            }
            FaultKind::CommitsFail => {
                self.processes[index].disk.fail(Operation::Commit, size, Failure::ForEver);
                self.end_after(lasts, Act::Repair(index));
            }
            FaultKind::DiskFull => {
                self.processes[index].disk.set_room(Some(size));
                self.end_after(lasts, Act::Repair(index));
            }
            FaultKind::SyncFails => {
                self.processes[index].disk.fail(Operation::Sync, size, Failure::Once);
            }
            FaultKind::ReadFails => {
                // Whichever comes first: the process does not live to see the other.
                self.processes[index].disk.fail(Operation::Get, size, Failure::Once);
                self.processes[index].disk.fail(Operation::Scan, size, Failure::Once);
            }
            FaultKind::KillAt => {
                self.processes[index].disk.kill_at(size);
                self.processes[index].killed_for = lasts;
            }
            FaultKind::Clone => self.clone_disk(index, other, lasts),
            FaultKind::Hostile => self.turn_hostile(index, lasts),
            FaultKind::Drain => {
                self.drain(index, true);
                self.end_after(lasts, Act::Undrain(index));
            }
            FaultKind::NewIdentity => self.change_identity(index, lasts),
            FaultKind::OnlyOne => self.leave_only(index, lasts),
            FaultKind::Storm => self.storm(amount),
            FaultKind::ClockJump => {
                self.note_clocks();
                self.processes[index].wall_offset = amount;
            }
            FaultKind::ClockDrift => self.processes[index].set_drift(self.now, amount),
            FaultKind::ClockFreeze => self.freeze_clock(index, lasts),
            FaultKind::ClockRestart => {
                self.crash(index, Crash::Process);
                self.note_clocks();
                self.processes[index].wall_offset = amount;
                self.restart(index, lasts);
            }
            FaultKind::Redefine => self.redefine(index, &fault.change),
            FaultKind::Undefine => self.undefine(index, &fault.change.definition, lasts),
            FaultKind::Partition => {
                let apart = |a: usize, b: usize| fault.side.contains(&a) != fault.side.contains(&b);
                let directions = pairs(count).filter(|(a, b)| apart(*a, *b)).collect();
                self.block(directions, lasts);
            }
            FaultKind::Bridge => {
                let apart = |a: usize, b: usize| {
                    a != index && b != index && fault.side.contains(&a) != fault.side.contains(&b)
                };
                let directions = pairs(count).filter(|(a, b)| apart(*a, *b)).collect();
                self.block(directions, lasts);
            }
            FaultKind::Truncate => self.truncate(index, other),
            FaultKind::OneWay => self.block(vec![(index, other)], lasts),
            FaultKind::Isolate => self.isolate(index, lasts),
            FaultKind::Flap => self.flap(index, other, amount),
            FaultKind::Reset => {
                if let Some(connection) = self.network.between(index, other) {
                    let silent = self.random_of("reset", index).chance(200);
                    self.break_connection(connection, silent);
                }
            }
            FaultKind::SlowReader => {
                self.network.slow_readers.insert(index, size.max(1));
                self.end_after(lasts, Act::ReadOn(index));
            }
            FaultKind::Loss | FaultKind::Duplicate | FaultKind::Reorder | FaultKind::Delay => {
                let trouble = &mut self.network.trouble;
                match kind {
                    FaultKind::Loss => trouble.loss = size,
                    FaultKind::Duplicate => trouble.duplicate = size,
                    FaultKind::Reorder => trouble.reorder = size,
                    // A link that is slow is narrow too: by as much as there are milliseconds.
                    _ => (trouble.delay, trouble.narrow) = (size, size / MILLISECOND),
                }
                self.end_after(lasts, Act::Calm(kind));
            }
        }
    }

    fn end_after(&mut self, lasts: Option<u64>, act: Act) {
        if let Some(time) = lasts {
            self.schedule(self.now + time, Event::Act(act));
        }
    }

    fn crash_for(&mut self, index: usize, crash: Crash, lasts: Option<u64>) {
        self.crash(index, crash);
        self.restart(index, lasts);
    }

    /// No fault happens any more; everything that can get well does, and everyone starts again but
    /// those who stay dead.
    pub fn end_faults(&mut self) {
        self.faults.stopped = true;
        self.heal();
        let alive = self.processes.len() - self.scenario.stay_dead.min(self.processes.len() - 1);
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            process.disk.repair();
            process.drains = false;
            process.frozen = None;
            process.paused_until = process.paused_until.min(self.now);
            if index >= alive {
                self.sometimes.saw("peer stays dead");
                if self.processes[index].node.is_some() {
                    self.crash(index, Crash::Process);
                }
                self.processes[index].dead = true;
            } else if self.processes[index].node.is_none() {
                self.start_later(index, MILLISECOND);
            } else {
                self.drain(index, false);
            }
        }
    }
}
