//! When what goes wrong: faults drawn from the seed, each of which ends after a while.

use std::collections::BTreeSet;

use tidings_core::error::Error;
use tidings_core::store::Space;

use crate::checker::Loss;
use crate::disk::{Crash, Failure, Operation};
use crate::look::Copies;
use crate::random::Random;
use crate::scenario::{FaultKind, MILLISECOND, SECOND};
use crate::world::{Event, World};

/// How long a stopping peer goes on serving, as the real driver does until its network is down.
const STOP_TIME: u64 = 300 * MILLISECOND;

/// Something that goes wrong, or gets well again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The next fault is drawn.
    Next,
    /// The process of a life is killed.
    Kill(usize, u64),
    /// A stopping process of a life is gone.
    Stopped(usize, u64),
    /// A block of directions ends.
    Unblock(Vec<(usize, usize)>, u64),
    /// A block has lasted so long that connections break.
    Silence(Vec<(usize, usize)>, u64),
    /// A link goes down, for the given number of times still.
    FlapDown(usize, usize, u32),
    /// The trouble with frames of this kind ends.
    Calm(FaultKind),
    /// A peer reads quickly again.
    ReadOn(usize),
    /// An image of a disk is kept for later.
    Keep(usize),
}

/// Draws faults.
#[derive(Debug)]
pub struct Faults {
    random: Random,
    stopped: bool,
    /// Counts the healings: what was to end before one has ended.
    healed: u64,
}

impl Faults {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, stopped: false, healed: 0 }
    }
}

impl World {
    pub(crate) fn fault(&mut self, act: Act) {
        match act {
            Act::Next => self.next_fault(),
            Act::Kill(index, life) => {
                if self.processes[index].life == life {
                    self.crash(index, Crash::Process);
                    let pause = 100 * MILLISECOND + self.faults.random.below(3 * SECOND);
                    self.start_later(index, pause);
                }
            }
            Act::Stopped(index, life) => {
                if self.processes[index].life == life {
                    self.finish_stop(index);
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
            Act::Keep(index) => {
                let process = &mut self.processes[index];
                process.image = Some(process.disk.image());
            }
        }
    }

    fn next_fault(&mut self) {
        if self.faults.stopped {
            return;
        }
        let pause = self.faults.random.below(2 * self.scenario.fault_every + 1);
        self.schedule(self.now + pause.max(MILLISECOND), Event::Fault(Act::Next));
        let kinds: Vec<FaultKind> = self.scenario.faults.iter().copied().collect();
        let Some(&kind) = self.faults.random.pick(&kinds) else { return };
        let index = self.faults.random.index(self.processes.len());
        self.cause(kind, index);
    }

    /// Lets a fault happen to a peer, or to a link of it; it ends by itself.
    pub fn cause(&mut self, kind: FaultKind, index: usize) {
        let count = self.processes.len();
        let other = (index + 1 + self.faults.random.index(count - 1)) % count;
        let time = match self.faults.random.below(3) {
            0 => self.faults.random.below(SECOND),
            1 => self.faults.random.below(6 * SECOND),
            _ => self.faults.random.below(25 * SECOND),
        };
        let alive = self.processes[index].node.is_some() && !self.processes[index].stopping;
        let needs_life = matches!(
            kind,
            FaultKind::Kill
                | FaultKind::PowerLoss
                | FaultKind::Torn
                | FaultKind::CleanStop
                | FaultKind::Pause
                | FaultKind::Wipe
                | FaultKind::Vanish
                | FaultKind::CommitFails
        );
        if needs_life && !alive {
            return;
        }
        self.trace.note(kind.name(), &[index as u64, other as u64, time]);
        self.say(|| format!("{} of {index} (or with {other}) for {time}", kind.name()));
        self.sometimes.saw(kind.name());
        match kind {
            FaultKind::Kill => {
                self.crash(index, Crash::Process);
                self.start_later(index, time);
            }
            FaultKind::PowerLoss => {
                self.crash(index, Crash::Power);
                self.start_later(index, time);
            }
            FaultKind::Torn => {
                self.crash(index, Crash::Torn);
                self.start_later(index, time);
            }
            FaultKind::CleanStop => self.stop(index),
            FaultKind::Pause => self.processes[index].paused_until = self.now + time,
            FaultKind::Wipe => {
                self.wipe(index);
                self.start_later(index, time);
            }
            FaultKind::Rollback => self.rollback_or_keep(index, time),
            FaultKind::Vanish => {
                let rows = 1 + self.faults.random.index(20);
                self.vanish(index, rows);
                self.start_later(index, time);
            }
            FaultKind::CommitFails => {
                let nth = 1 + self.faults.random.below(30);
                self.processes[index].disk.fail(Operation::Commit, nth, Failure::Once);
            }
            FaultKind::ClockJump => {
                let span = [2_000, 60_000, 3_600_000][self.faults.random.index(3)];
                let jump = self.faults.random.below(2 * span + 1) as i64 - span as i64;
                self.processes[index].wall_offset = jump;
            }
            FaultKind::Partition => {
                let side: BTreeSet<usize> =
                    (0..count).filter(|_| self.faults.random.chance(500)).collect();
                let groups: Vec<usize> = (0..count).collect();
                let apart = |a: usize, b: usize| side.contains(&a) != side.contains(&b);
                let directions = pairs(&groups).filter(|(a, b)| apart(*a, *b)).collect();
                self.block(directions, Some(time));
            }
            FaultKind::OneWay => self.block(vec![(index, other)], Some(time)),
            FaultKind::Isolate => self.isolate(index, Some(time)),
            FaultKind::Flap => self.flap(index, other, 6),
            FaultKind::Reset => {
                let connections = self.network.connections_of(index);
                if let Some(&connection) = self.faults.random.pick(&connections) {
                    let silent = self.faults.random.chance(200);
                    self.break_connection(connection, silent);
                }
            }
            FaultKind::SlowReader => {
                let gulp = 10 * MILLISECOND + self.faults.random.below(2 * SECOND);
                self.network.slow_readers.insert(index, gulp);
                self.schedule(self.now + time, Event::Fault(Act::ReadOn(index)));
            }
            FaultKind::Loss | FaultKind::Duplicate | FaultKind::Reorder | FaultKind::Delay => {
                let share = 20 + self.faults.random.below(300);
                let trouble = &mut self.network.trouble;
                match kind {
                    FaultKind::Loss => trouble.loss = share,
                    FaultKind::Duplicate => trouble.duplicate = share,
                    FaultKind::Reorder => trouble.reorder = share,
                    _ => (trouble.delay, trouble.narrow) = (share * MILLISECOND, share),
                }
                self.schedule(self.now + time, Event::Fault(Act::Calm(kind)));
            }
        }
    }

    /// A process starts again after some time.
    pub fn start_later(&mut self, index: usize, pause: u64) {
        self.schedule(self.now + pause, Event::Start(index));
    }

    /// Ends a process, and does to its disk what the crash does.
    pub fn crash(&mut self, index: usize, crash: Crash) {
        let process = &mut self.processes[index];
        process.end();
        let survival = process.disk.crash(crash);
        self.trace.note("crash", &[index as u64, survival.kept as u64, survival.lost as u64]);
        let silent = self.faults.random.chance(300);
        self.break_all(index, silent);
        let loss = if crash == Crash::Process { Loss::Nothing } else { Loss::Unsynced };
        self.lost(index, loss);
    }

    /// Empties the disk of a process, which ends.
    pub fn wipe(&mut self, index: usize) {
        self.crash(index, Crash::Process);
        self.processes[index].disk.wipe();
        self.processes[index].tainted = false;
        self.lost(index, Loss::Anything);
    }

    /// Puts the older image onto the disk of a process, which ends; or takes one for later.
    fn rollback_or_keep(&mut self, index: usize, time: u64) {
        match self.processes[index].image.take() {
            Some(image) => {
                self.rollback(index, &image);
                self.start_later(index, time);
            }
            None => self.fault(Act::Keep(index)),
        }
    }

    /// Puts an image onto the disk of a process, which ends.
    pub fn rollback(&mut self, index: usize, image: &crate::disk::Image) {
        self.crash(index, Crash::Process);
        self.processes[index].disk.restore(image);
        self.sometimes.saw("rolled back");
        self.lost(index, Loss::Anything);
    }

    /// Kills a process and lets rows of its copies vanish.
    pub fn vanish(&mut self, index: usize, rows: usize) {
        self.crash(index, Crash::Process);
        let space = if self.faults.random.chance(300) { Space::Log } else { Space::Data };
        let process = &mut self.processes[index];
        let system = crate::look::system_prefixes(&process.disk.look());
        let keys: Vec<Vec<u8>> = {
            let all = process.disk.look();
            (0..rows)
                .filter_map(|_| {
                    let at = self.faults.random.index(all.len(space));
                    all.key_at(space, at).map(<[u8]>::to_vec)
                })
                .filter(|key| !system.iter().any(|prefix| key.starts_with(prefix)))
                .collect()
        };
        let gone = process.disk.vanish(space, &keys);
        process.tainted |= gone > 0;
        self.sometimes.add("row vanished", gone as u64);
        self.lost(index, Loss::Anything);
    }

    /// Stops a process cleanly; it starts again later.
    pub fn stop(&mut self, index: usize) {
        let life = self.processes[index].life;
        self.processes[index].stopping = true;
        self.call(index, tidings_core::node::Node::stop);
        self.schedule(self.now + STOP_TIME, Event::Fault(Act::Stopped(index, life)));
    }

    fn finish_stop(&mut self, index: usize) {
        let store = self.processes[index].node.as_ref().map(|node| node.store().clone());
        if let Some(store) = store {
            // A disk that fails here is found damaged at the next start, which is all the same.
            let _ = tidings_core::store::Store::sync(&store);
        }
        self.crash(index, Crash::Process);
        let pause = self.faults.random.below(5 * SECOND);
        self.start_later(index, pause);
    }

    /// A node's store failed: its driver ends it, and somebody starts it again.
    pub(crate) fn process_failed(&mut self, index: usize, error: &Error) {
        let life = self.processes[index].life;
        let planned = matches!(error, Error::Storage(text) if text.contains("planned")
            || text.contains("stopped after an earlier failure"));
        if !planned {
            self.checker.broke("14 no defects", format!("peer {index} failed: {error}"));
        }
        self.schedule(self.now + MILLISECOND, Event::Fault(Act::Kill(index, life)));
    }

    /// Tells the checker what a disk lost.
    fn lost(&mut self, index: usize, loss: Loss) {
        if loss != Loss::Nothing {
            self.losses += 1;
        }
        self.refresh_looks();
        let disks: Vec<&Copies> = self.looks.disks().collect();
        self.checker.lost(index, loss, &disks, &mut self.sometimes);
    }

    /// Blocks directions, for some time or until the network is healed.
    pub fn block(&mut self, directions: Vec<(usize, usize)>, time: Option<u64>) {
        for (from, to) in &directions {
            self.network.block(*from, *to);
        }
        let healed = self.faults.healed;
        let silence = self.now + crate::network::SILENCE;
        if let Some(time) = time {
            let end = Event::Fault(Act::Unblock(directions.clone(), healed));
            self.schedule(self.now + time, end);
            if self.now + time < silence {
                return;
            }
        }
        self.schedule(silence, Event::Fault(Act::Silence(directions, healed)));
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
            for id in self.network.connections_of(*from) {
                let joins = |c: &crate::network::Connection| c.ends.contains(to);
                if self.network.is_blocked(*from, *to)
                    && self.network.connection(id).is_some_and(joins)
                {
                    self.break_connection(id, false);
                }
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

    fn flap(&mut self, one: usize, other: usize, times: u32) {
        if times == 0 || self.faults.stopped {
            return;
        }
        let down = 200 * MILLISECOND + self.faults.random.below(1_500 * MILLISECOND);
        self.block(vec![(one, other), (other, one)], Some(down));
        for id in self.network.connections_of(one) {
            let joins = |c: &crate::network::Connection| c.ends.contains(&other);
            if self.network.connection(id).is_some_and(joins) && self.faults.random.chance(500) {
                self.break_connection(id, false);
            }
        }
        let again = self.now + down + self.faults.random.below(1_500 * MILLISECOND);
        self.schedule(again, Event::Fault(Act::FlapDown(one, other, times - 1)));
    }

    /// Ends every fault of the network.
    pub fn heal(&mut self) {
        self.faults.healed += 1;
        for (from, to) in self.network.heal() {
            self.reopen(from, to);
        }
        for (connection, from, at) in self.network.speed_up(self.now) {
            self.schedule(at, Event::Deliver(connection, from));
        }
    }

    /// No fault happens any more; everything that can get well does, and everyone starts again but
    /// those who stay dead.
    pub fn end_faults(&mut self) {
        self.faults.stopped = true;
        self.heal();
        let alive = self.processes.len() - self.scenario.stay_dead;
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
            } else if process.node.is_none() {
                self.start_later(index, MILLISECOND);
            }
        }
    }
}

fn pairs(of: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    of.iter().flat_map(move |a| of.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b)
}
