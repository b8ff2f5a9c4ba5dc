//! What keeps peers from talking to each other.

use crate::faults::Act;
use crate::network::SILENCE;
use crate::scenario::MILLISECOND;
use crate::world::{Event, World};

impl World {
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

    pub(super) fn silence(&mut self, directions: &[(usize, usize)]) {
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

    pub(super) fn flap(&mut self, one: usize, other: usize, times: i64) {
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

    /// Breaks a connection in the middle of what is on its way: a part of it arrives, the rest is lost.
    pub(super) fn truncate(&mut self, one: usize, other: usize) {
        let Some(id) = self.network.between(one, other) else { return };
        let mut random = self.random_of("truncate", one);
        let lost = self.network.truncate(id, &mut random);
        self.sometimes.add("frame cut off", lost.frames);
        self.schedule(lost.until.max(self.now), Event::Act(Act::Broken(id)));
    }
}

/// Every direction between two of so many peers.
pub(super) fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (0..count).map(move |b| (a, b))).filter(|(a, b)| a != b)
}
