//! What goes wrong: kinds of faults, what each needs to know, and what it does to the world.

use crate::disk::{Crash, Failure, Operation};
use crate::network::SILENCE;
use crate::random::Random;
use crate::scenario::{MILLISECOND, SECOND, WHOLE};
use crate::world::{Event, World};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The process is killed; everything committed survives.
    Kill,
    /// Power is lost, and with it what was not synced.
    PowerLoss,
    /// Power is lost in the middle of a write.
    Torn,
    /// The peer stops cleanly and starts again.
    CleanStop,
    /// The process stands still for a while.
    Pause,
    /// The disk is emptied; the identity stays.
    Wipe,
    /// The disk goes back to an older image. The first on a peer only keeps the image.
    Rollback,
    /// Rows vanish behind the engine.
    Vanish,
    /// The n-th commit from now fails.
    CommitFails,
    /// The wall clock jumps.
    ClockJump,
    /// Two groups cannot talk to each other.
    Partition,
    /// One direction between two peers is blocked.
    OneWay,
    /// One peer cannot talk to anybody.
    Isolate,
    /// A link goes up and down, near the probe period.
    Flap,
    /// A connection breaks, with what was in flight.
    Reset,
    /// Frames are dropped, as by full queues.
    Loss,
    /// Frames arrive twice.
    Duplicate,
    /// Frames overtake each other.
    Reorder,
    /// A peer reads slowly, in large gulps.
    SlowReader,
    /// Links become slow and narrow.
    Delay,
    /// The process is killed and never starts again. Never drawn.
    Die,
    /// Power is lost, and the engine keeps a part of a batch, which none may: a planted bug, to show
    /// that the checkers notice. Never drawn.
    TornWithin,
}

/// The number that a kind of fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// None.
    None,
    /// How many rows vanish.
    Rows,
    /// Which commit from now fails.
    Nth,
    /// How often a link goes down.
    Times,
    /// How far apart the gulps of a slow reader are, in microseconds.
    Gulp,
    /// What is added to every latency, in microseconds.
    Delay,
    /// The share of frames, in parts per million.
    Share,
    /// What the wall clock is off from then on, in milliseconds of either sign.
    Offset,
}

impl FaultKind {
    /// Every kind that is drawn, in a fixed order.
    pub const ALL: [Self; 20] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Torn,
        Self::CleanStop,
        Self::Pause,
        Self::Wipe,
        Self::Rollback,
        Self::Vanish,
        Self::CommitFails,
        Self::ClockJump,
        Self::Partition,
        Self::OneWay,
        Self::Isolate,
        Self::Flap,
        Self::Reset,
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::SlowReader,
        Self::Delay,
    ];

    /// Kinds that happen only where a timeline says so.
    pub const TIMELINE_ONLY: [Self; 2] = [Self::Die, Self::TornWithin];

    /// The kind in scenario files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
            Self::Torn => "torn",
            Self::CleanStop => "clean-stop",
            Self::Pause => "pause",
            Self::Wipe => "wipe",
            Self::Rollback => "rollback",
            Self::Vanish => "vanish",
            Self::CommitFails => "commit-fails",
            Self::ClockJump => "clock-jump",
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Isolate => "isolate",
            Self::Flap => "flap",
            Self::Reset => "reset",
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::SlowReader => "slow-reader",
            Self::Delay => "delay",
            Self::Die => "die",
            Self::TornWithin => "torn-within",
        }
    }

    /// The kind in the counters.
    pub fn name(self) -> String {
        format!("fault {}", self.word())
    }

    /// The number that it needs.
    pub const fn parameter(self) -> Parameter {
        match self {
            Self::Vanish => Parameter::Rows,
            Self::CommitFails => Parameter::Nth,
            Self::ClockJump => Parameter::Offset,
            Self::Flap => Parameter::Times,
            Self::Loss | Self::Duplicate | Self::Reorder => Parameter::Share,
            Self::SlowReader => Parameter::Gulp,
            Self::Delay => Parameter::Delay,
            _ => Parameter::None,
        }
    }

    /// Whether it happens to one peer (and not to a group, or to all links).
    pub const fn has_peer(self) -> bool {
        !matches!(
            self,
            Self::Partition | Self::Loss | Self::Duplicate | Self::Reorder | Self::Delay
        )
    }

    /// Whether it happens between two peers.
    pub const fn has_other(self) -> bool {
        matches!(self, Self::OneWay | Self::Flap | Self::Reset)
    }

    /// Whether it lasts for a time.
    pub const fn has_time(self) -> bool {
        !matches!(self, Self::CommitFails | Self::ClockJump | Self::Flap | Self::Reset | Self::Die)
    }

    const fn needs_life(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::PowerLoss
                | Self::Torn
                | Self::TornWithin
                | Self::CleanStop
                | Self::Pause
                | Self::Wipe
                | Self::Vanish
                | Self::CommitFails
        )
    }
}

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
    /// How long it lasts, or the process is gone, in microseconds; `None`: until the faults end.
    pub lasts: Option<u64>,
    /// See [`FaultKind::parameter`].
    pub amount: i64,
}

impl Fault {
    /// A fault of a peer that lasts until the faults end, of the usual strength.
    pub fn new(kind: FaultKind, peer: usize) -> Self {
        let amount = match kind.parameter() {
            Parameter::None => 0,
            Parameter::Rows => 10,
            Parameter::Nth => 1,
            Parameter::Times => 6,
            Parameter::Gulp => SECOND as i64,
            Parameter::Delay => (100 * MILLISECOND) as i64,
            Parameter::Share => (WHOLE / 10) as i64,
            Parameter::Offset => 3_600_000,
        };
        Self { kind, peer, other: 0, side: Vec::new(), lasts: None, amount }
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
    /// The process of a life is killed.
    Kill(usize, u64),
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
}

/// What is known of faults.
#[derive(Debug, Default)]
pub struct Faults {
    stopped: bool,
    /// Counts the healings: what was to end before one has ended.
    healed: u64,
}

impl World {
    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Kill(index, life) => {
                if self.processes[index].life == life {
                    let mut random = self.random_of("restart", index);
                    self.crash(index, Crash::Process);
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
            FaultKind::ClockJump => self.processes[index].wall_offset = amount,
            FaultKind::Partition => {
                let apart = |a: usize, b: usize| fault.side.contains(&a) != fault.side.contains(&b);
                let directions = pairs(count).filter(|(a, b)| apart(*a, *b)).collect();
                self.block(directions, lasts);
            }
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

    /// Blocks directions, for some time or until the network is healed.
    pub fn block(&mut self, directions: Vec<(usize, usize)>, time: Option<u64>) {
        for (from, to) in &directions {
            self.network.block(*from, *to);
        }
        let healed = self.faults.healed;
        let silence = self.now + SILENCE;
        if let Some(time) = time {
            let end = Event::Act(Act::Unblock(directions.clone(), healed));
            self.schedule(self.now + time, end);
            if self.now + time < silence {
                return;
            }
        }
        self.schedule(silence, Event::Act(Act::Silence(directions, healed)));
    }

    /// Ends a block.
    pub fn unblock(&mut self, directions: &[(usize, usize)]) {
        for (from, to) in directions {
            if self.network.unblock(*from, *to) {
                self.reopen(*from, *to);
            }
        }
    }

    fn silence(&mut self, directions: &[(usize, usize)]) {
        for (from, to) in directions {
            if self.network.is_blocked(*from, *to)
                && let Some(id) = self.network.between(*from, *to)
            {
                self.break_connection(id, false);
            }
        }
    }

    /// Cuts a peer off from all others.
    pub fn isolate(&mut self, index: usize, time: Option<u64>) {
        let others = (0..self.processes.len()).filter(|other| *other != index);
        let directions = others.flat_map(|other| [(index, other), (other, index)]).collect();
        self.block(directions, time);
    }

    /// Cuts the peers into two groups that cannot talk to each other.
    pub fn partition(&mut self, one: &[usize], other: &[usize]) {
        let both = |a: usize, b: usize| [(a, b), (b, a)];
        let directions =
            one.iter().flat_map(|a| other.iter().flat_map(move |b| both(*a, *b))).collect();
        self.block(directions, None);
    }

    fn flap(&mut self, one: usize, other: usize, times: i64) {
        if times <= 0 || self.faults.stopped {
            return;
        }
        let mut random = self.random_of("flap", one);
        let down = 200 * MILLISECOND + random.below(1_500 * MILLISECOND);
        self.block(vec![(one, other), (other, one)], Some(down));
        if random.chance(500)
            && let Some(id) = self.network.between(one, other)
        {
            self.break_connection(id, false);
        }
        let again = self.now + down + random.below(1_500 * MILLISECOND);
        self.schedule(again, Event::Act(Act::FlapDown(one, other, times - 1)));
    }

    /// Ends every fault of the network.
    pub fn heal(&mut self) {
        self.faults.healed += 1;
        self.network.heal();
        for (connection, from, at) in self.network.speed_up(self.now) {
            self.schedule(at, Event::Deliver(connection, from));
        }
    }

    /// No fault happens any more; everything that can get well does, and everyone starts again but
    /// those who stay dead.
    pub fn end_faults(&mut self) {
        self.faults.stopped = true;
        self.heal();
        let alive = self.processes.len() - self.scenario.stay_dead.min(self.processes.len() - 1);
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            process.disk.fail(Operation::Commit, 0, Failure::Once);
            process.paused_until = process.paused_until.min(self.now);
            if index >= alive {
                self.sometimes.saw("peer stays dead");
                if self.processes[index].node.is_some() {
                    self.crash(index, Crash::Process);
                }
                self.processes[index].dead = true;
            } else if self.processes[index].node.is_none() {
                self.start_later(index, MILLISECOND);
            }
        }
    }
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (0..count).map(move |b| (a, b))).filter(|(a, b)| a != b)
}
