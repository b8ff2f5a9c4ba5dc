//! Processes that come and go: all at once, all but one, or as somebody else.

use tidings_core::ident::PeerId;

use crate::disk::Crash;
use crate::faults::Act;
use crate::random::Random;
use crate::scenario::{MILLISECOND, SECOND};
use crate::world::{Event, World};

impl World {
    /// Kills every process but one.
    pub(super) fn leave_only(&mut self, index: usize, lasts: Option<u64>) {
        for other in (0..self.processes.len()).filter(|other| *other != index) {
            if self.processes[other].node.is_some() {
                self.crash(other, Crash::Process);
                self.restart(other, lasts);
            }
        }
    }

    /// Kills every process that runs and starts it again, so many times, each before the one before
    /// has come to rest.
    pub(super) fn storm(&mut self, times: i64) {
        if times <= 0 || self.faults.stopped {
            return;
        }
        for index in 0..self.processes.len() {
            if self.processes[index].node.is_some() {
                let pause = 20 * MILLISECOND + self.random_of("storm", index).below(SECOND / 2);
                self.crash(index, Crash::Process);
                self.start_later(index, pause);
            }
        }
        let again = SECOND / 2 + self.random_of("storms", 0).below(SECOND);
        self.schedule(self.now + again, Event::Act(Act::Storm(times - 1)));
    }

    /// Ends a process and empties its disk; who starts there again is another peer.
    pub(super) fn change_identity(&mut self, index: usize, lasts: Option<u64>) {
        self.wipe(index);
        self.retired += 1;
        let concern = format!("peer {index} for the {}. time", self.retired);
        self.processes[index].peer = PeerId(Random::new(self.scenario.seed, &concern).seed());
        self.restart(index, lasts);
    }

    /// A user says whether a peer is to hand over everything; says it again after each start.
    pub(crate) fn drain(&mut self, index: usize, drains: bool) {
        self.processes[index].drains = drains;
        if self.processes[index].stopping {
            return;
        }
        let result = self.call(index, |node, now| node.drain(drains, now));
        match result {
            Some(Err(error)) if !super::is_planned(&error) => {
                self.checker.broke("14 no defects", error.to_string());
            }
            Some(Ok(())) if drains => self.sometimes.saw("peer drains"),
            _ => {}
        }
    }
}
