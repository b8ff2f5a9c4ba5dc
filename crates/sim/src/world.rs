//! The world: virtual time, one queue of events ordered by (time, sequence), and the drivers.
//!
//! For each node the world is what the real driver is: three arms (store, send, tell). It calls the
//! node, drains its outputs, carries each out, and sets the timer to what the node says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use tidings_core::clock::Now;
use tidings_core::ident::{DatabaseId, PeerId};
use tidings_core::node::{Config, Input, Node, Output};
use tidings_core::status::HolderState;

use crate::checker::Checker;
use crate::complete::Before;
use crate::complete::present;
use crate::disk::{Disk, FaultyStore};
use crate::faults::{Act, Defined, Faults, is_planned};
use crate::following::Follower;
use crate::invariants::Looks;
use crate::measure::Measures;
use crate::network::{Network, Parcel};
use crate::process::Process;
use crate::random::Random;
use crate::scenario::{MILLISECOND, SECOND, Scenario};
use crate::sometimes::Sometimes;
use crate::timeline::{Call, Timed, What};
use crate::trace::Trace;

/// Most events in one instant: beyond, nothing but a livelock makes so many.
const INSTANT_MAX: u64 = 200_000;
/// Most timer inputs of one process in a second: the driver never fires sooner than 500 µs.
const TIMERS_MAX: u64 = 1_500;
/// The least pause before a timer fires again, as in the real driver.
const TIMER_PAUSE: u64 = 500;

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A process starts.
    Start(usize),
    /// Its timer fires.
    Timer(usize, u64),
    /// It looks for others to connect to.
    Seek(usize, u64),
    /// A connection is set up between two lives of two processes.
    Connect([usize; 2], [u64; 2]),
    /// An end hears that a connection is open.
    Up(usize, u64, u64),
    /// An end hears that it is gone.
    Down(usize, u64, u64),
    /// Something may have arrived from the given process.
    Deliver(u64, usize),
    /// A sync ended.
    Synced(usize, u64, u64),
    /// The entry of the timeline that is next happens.
    Next,
    /// A fault goes on, or ends.
    Act(Act),
    /// The checkers look.
    Check,
    /// The series are sampled.
    Sample,
}

/// The queue's order: time, then sequence.
type Scheduled = Reverse<(u64, u64, usize)>;

/// The world.
#[derive(Debug)]
pub struct World {
    /// What the run is made of.
    pub scenario: Scenario,
    /// Virtual time in microseconds.
    pub now: u64,
    queue: BinaryHeap<Scheduled>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    sequence: u64,
    instant: (u64, u64),
    /// The processes.
    pub processes: Vec<Process>,
    /// How many of them run.
    pub(crate) running: usize,
    /// The network.
    pub network: Network,
    /// The history and its checks.
    pub checker: Checker,
    /// What was reached.
    pub sometimes: Sometimes,
    /// The hash over everything that happened.
    pub trace: Trace,
    /// What is measured on the way.
    pub measures: Measures,
    /// The databases that users work with.
    pub paths: Vec<String>,
    /// The next entry of the timeline; past its end, users and faults are done.
    next: usize,
    pub(crate) faults: Faults,
    pub(crate) looks: Looks,
    pub(crate) before: Before,
    /// When a copy of a database was last given back.
    pub(crate) left: BTreeMap<DatabaseId, u64>,
    /// Losses of data so far.
    pub(crate) losses: u64,
    /// When a disk last lost data by other means than power; `u64::MAX`: never.
    pub(crate) destroyed: u64,
    /// Identities that were given up.
    pub(crate) retired: u64,
    /// Who ever did harm.
    pub(crate) hostile: BTreeSet<PeerId>,
    /// What users said of each definition.
    pub(crate) defined: BTreeMap<String, Defined>,
    /// Who watches each database, wherever.
    pub(crate) followers: BTreeMap<DatabaseId, Follower>,
    /// Whether it says what happens.
    pub(crate) talks: bool,
}

impl World {
    /// A world whose processes start within its first second, or when their class says. What the
    /// scenario leaves to its seed is drawn now.
    pub fn new(scenario: Scenario) -> Self {
        let scenario = scenario.expand();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            instant: (0, 0),
            processes: Vec::new(),
            running: 0,
            network: Network::new(scenario.seed),
            checker: Checker::new(0),
            sometimes: Sometimes::default(),
            trace: Trace::default(),
            measures: Measures::default(),
            paths: scenario.load.databases.paths(),
            next: 0,
            faults: Faults::default(),
            looks: Looks::default(),
            before: Before::default(),
            left: BTreeMap::new(),
            losses: 0,
            destroyed: u64::MAX,
            retired: 0,
            hostile: BTreeSet::new(),
            defined: BTreeMap::new(),
            followers: BTreeMap::new(),
            talks: std::env::var_os("TIDINGS_SIM_DESCRIBE").is_some(),
            scenario,
        };
        world.define_all();
        let drops = |timed: &Timed| matches!(&timed.what, What::Operation(operation) if operation.call == Call::Drop);
        world.checker.drops = world.scenario.timeline.iter().any(drops);
        let busy = !world.scenario.timeline.is_empty();
        for index in 0..world.scenario.count() {
            let starts = world.scenario.class(index).map_or(0, |class| class.starts);
            let process = world.add_process(None);
            let spread = world.processes[process].random.below(SECOND);
            world.schedule(starts + if busy { spread } else { 0 }, Event::Start(process));
        }
        world.schedule(world.scenario.check_every, Event::Check);
        if world.scenario.sample_every > 0 {
            world.schedule(world.scenario.sample_every, Event::Sample);
        }
        world.schedule_next();
        world
    }

    /// Adds a process that does not run yet; with the identity of another one if given.
    pub fn add_process(&mut self, twin: Option<usize>) -> usize {
        let index = self.processes.len();
        let seed = self.scenario.seed;
        let peer = match twin {
            Some(twin) => self.processes[twin].peer,
            None => PeerId(Random::new(seed, &format!("peer {index}")).seed()),
        };
        let disk = Disk::new(Random::new(seed, &format!("disk {index}")).any());
        let random = Random::new(seed, &format!("scheduler {index}"));
        let mut process = Process::new(peer, disk, random);
        let mut clock = Random::new(seed, &format!("clock {index}"));
        process.wall_offset = clock.around(self.scenario.clock_spread.cast_signed());
        process.drift = clock.around(100);
        if let Some(class) = self.scenario.class(index) {
            process.zone.clone_from(&class.zone);
            process.weight = class.weight;
        }
        self.processes.push(process);
        self.checker.add_process();
        self.looks.add_process();
        index
    }

    fn schedule_next(&mut self) {
        if let Some(timed) = self.scenario.timeline.get(self.next) {
            self.schedule(timed.at, Event::Next);
        }
    }

    /// The next entry of the timeline happens.
    fn happen_next(&mut self) {
        let Some(timed) = self.scenario.timeline.get_mut(self.next) else { return };
        self.next += 1;
        let what = timed.what.clone();
        self.schedule_next();
        match what {
            What::Fault(fault) => self.inject(&fault),
            What::Operation(operation) => self.perform(&operation),
        }
    }

    /// Nothing of the timeline happens any more.
    pub fn stop_users(&mut self) {
        self.next = self.scenario.timeline.len();
    }

    /// Puts an event into the queue.
    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.queue.push(Reverse((at.max(self.now), self.sequence, place)));
    }

    /// Lets everything happen that happens until a time, or until an invariant breaks.
    pub fn run_until(&mut self, until: u64) {
        while self.checker.violation.is_none() {
            let Some(Reverse((at, sequence, place))) = self.queue.peek().copied() else { break };
            if at > until {
                break;
            }
            self.queue.pop();
            self.free.push(place);
            let Some(event) = self.events[place].take() else { continue };
            self.now = at;
            self.count_instant();
            self.trace.note("event", &[at, sequence]);
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, time: u64) {
        self.run_until(self.now + time);
    }

    fn count_instant(&mut self) {
        if self.instant.0 != self.now {
            self.instant = (self.now, 0);
        }
        self.instant.1 += 1;
        if self.instant.1 > INSTANT_MAX {
            let what = format!("more than {INSTANT_MAX} events at {} µs", self.now);
            self.checker.broke("14 progress", what);
        }
    }

    fn happen(&mut self, event: Event) {
        let who = match event {
            Event::Timer(process, _) | Event::Up(process, ..) | Event::Down(process, ..) => {
                Some(process)
            }
            Event::Synced(process, ..) => Some(process),
            Event::Deliver(connection, from) => {
                self.network.connection(connection).map(|c| c.other(from))
            }
            _ => None,
        };
        // A process that stands still meets everything when it goes on.
        if let Some(process) = who.and_then(|process| self.processes.get(process))
            && process.node.is_some()
            && process.paused_until > self.now
        {
            let at = process.paused_until;
            if let Event::Timer(process, _) = event {
                self.processes[process].timer_at = at;
                self.schedule(at, Event::Timer(process, at));
            } else {
                self.schedule(at, event);
            }
            return;
        }
        match event {
            Event::Start(process) => self.start(process),
            Event::Timer(process, at) => self.fire(process, at),
            Event::Seek(process, life) => self.seek(process, life),
            Event::Connect(ends, lives) => self.connect(ends, lives),
            Event::Up(process, life, connection) => self.up(process, life, connection),
            Event::Down(process, life, connection) => self.down(process, life, connection),
            Event::Deliver(connection, from) => self.deliver(connection, from),
            Event::Synced(process, life, ticket) => self.synced(process, life, ticket),
            Event::Next => self.happen_next(),
            Event::Act(act) => self.act(act),
            Event::Check => {
                self.check();
                self.schedule(self.now + self.scenario.check_every, Event::Check);
            }
            Event::Sample => {
                self.sample();
                self.schedule(self.now + self.scenario.sample_every, Event::Sample);
            }
        }
    }

    /// Starts a process on its disk.
    pub fn start(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if process.node.is_some() || process.dead {
            return;
        }
        process.disk.forget_plans();
        process.born = self.now;
        let store = process.disk.open();
        let config = Config {
            peer: process.peer,
            name: format!("peer{index}"),
            zone: process.zone.clone(),
            weight: process.weight,
            cluster_key: [7; 32],
            expects_peers: true,
            max_clock_skew: tidings_core::node::MAX_CLOCK_SKEW,
            replacement_delay: self.scenario.replacement_delay,
            stability_window: self.scenario.stability_window,
            rebalance_delay: self.scenario.rebalance_delay,
            trash: self.scenario.trash,
            tombstone_grace: self.scenario.tombstone_grace,
            holder_ttl: self.scenario.holder_ttl,
            sweep_interval: self.scenario.sweep_interval,
        };
        let now = process.clocks(self.now);
        let concern = format!("start {index} {}", process.life);
        let seed = Random::new(self.scenario.seed, &concern).seed();
        match Node::new(config, store, seed, now) {
            Ok(node) => {
                self.trace.note("start", &[index as u64]);
                process.epoch = node.epoch();
                self.checker.started(index, process.epoch);
                // It may have died before it could say so.
                for (id, _) in node.copies().filter(|(_, role)| *role == HolderState::Gone) {
                    self.checker.left(index, present(&node, id));
                }
                process.node = Some(node);
                self.running += 1;
                let life = process.life;
                self.say(|| format!("start of {index}"));
                // As long as a real one: every probe carries it.
                let address = format!("/ip4/10.0.{}.{}/tcp/7001", index / 256, index % 256);
                self.feed(index, Input::Addresses(vec![address]));
                if life == 0 && self.now > SECOND {
                    self.sometimes.saw("peer joined late");
                }
                if index < self.scenario.appliers {
                    self.apply_all(index);
                }
                self.drain(index, self.processes[index].drains);
                self.watch_all(index);
                let pause = self.processes[index].random.below(20 * MILLISECOND);
                self.schedule(self.now + pause, Event::Seek(index, life));
            }
            Err(error) if is_planned(&error) => self.start_failed(index, &error),
            Err(error) => {
                self.checker.broke("14 no defects", format!("peer {index} cannot start: {error}"));
            }
        }
    }

    /// Calls a node as its driver does; `None` when the process does not run.
    pub fn call<R>(
        &mut self,
        index: usize,
        call: impl FnOnce(&mut Node<FaultyStore>, Now) -> R,
    ) -> Option<R> {
        self.call_then(index, call, |_, _| ())
    }

    /// As [`World::call`]; notes what waits for an answer before the outputs are carried out, since
    /// the answer may be among them.
    pub(crate) fn call_then<R>(
        &mut self,
        index: usize,
        call: impl FnOnce(&mut Node<FaultyStore>, Now) -> R,
        note: impl FnOnce(&mut Process, &R),
    ) -> Option<R> {
        let process = &mut self.processes[index];
        let now = process.clocks(self.now);
        let node = process.node.as_mut()?;
        let result = call(node, now);
        if node.epoch() != process.epoch {
            process.epoch = node.epoch();
            self.checker.started(index, process.epoch);
        }
        let mut outputs = Vec::new();
        while let Some(output) = node.poll_output() {
            outputs.push(output);
        }
        let at = node.poll_timeout();
        if !node.store().is_alive() {
            // It died within the call: nobody hears of what it was about to say.
            self.killed_in_operation(index);
            return None;
        }
        note(process, &result);
        let at = process.born.saturating_add(at).max(self.now + TIMER_PAUSE);
        if at < process.timer_at {
            process.timer_at = at;
            self.schedule(at, Event::Timer(index, at));
        }
        for output in outputs {
            self.carry_out(index, output);
        }
        Some(result)
    }

    /// Feeds a node an input.
    pub fn feed(&mut self, index: usize, input: Input) {
        self.call(index, |node, now| node.handle(input, now));
    }

    fn fire(&mut self, index: usize, at: u64) {
        let process = &mut self.processes[index];
        if process.timer_at != at || process.node.is_none() {
            return;
        }
        process.timer_at = u64::MAX;
        let second = self.now / SECOND;
        if process.fired.0 != second {
            process.fired = (second, 0);
        }
        process.fired.1 += 1;
        if process.fired.1 > TIMERS_MAX {
            let what = format!(
                "peer {index}'s timer fired {TIMERS_MAX} times in a second {:?} at {}",
                process.node,
                self.now - process.born
            );
            self.checker.broke("14 progress", what);
        }
        self.call(index, |node, now| {
            if node.poll_timeout() <= now.monotonic {
                node.handle(Input::Timer, now);
            }
        });
    }

    pub(crate) fn carry_out(&mut self, index: usize, output: Output) {
        match output {
            Output::Send(peer, frame) => self.send(index, peer, Parcel::Frame(frame)),
            Output::Probe(peer, packet) => self.send(index, peer, Parcel::Probe(packet)),
            Output::Dial(peer, _) => {
                self.processes[index].dials.insert(peer);
            }
            Output::Sync(ticket) => {
                self.processes[index].sync_wanted = ticket;
                self.begin_sync(index);
            }
            Output::Done(token, result) => self.done(index, token, result),
            Output::Changed(id, changes) => {
                for (key, record) in &changes.changes {
                    if !self.processes[index].watch_told(id, key, record) {
                        let what = format!("peer {index} was told {record:?} of {key:?} late");
                        self.checker.broke("12 watch", what);
                    }
                }
                self.arrived(index, id, &changes.changes);
            }
            Output::WatchLost(id) => self.processes[index].watch_lost(id),
            Output::ChangedElsewhere(..) => {}
            Output::Event(event) => self.told(index, &event),
            Output::Failed(error) => {
                self.trace.note("failed", &[index as u64]);
                if error.to_string().contains("this commit was planned") {
                    self.sometimes.saw("commit failed");
                }
                self.process_failed(index, &error);
            }
        }
    }
}
