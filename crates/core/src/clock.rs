//! The hybrid logical clock of one peer, and the guard that keeps a wrong wall clock from writing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ident::PeerId;
use crate::stamp::{Millis, TIME_CEILING, Time};

/// The two clocks of a driver at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds since any fixed moment; never goes backwards while the process lives.
    pub monotonic: u64,
    /// Milliseconds since the Unix epoch; may jump.
    pub wall: Millis,
}

/// How far ahead of the wall clock stamps are reserved on disk: one synced commit per this much
/// writing; a restart after a crash begins at most this far ahead of the clock.
pub const RESERVE_AHEAD: Millis = 3_000;

/// Hands out stamps that grow, across restarts and whatever the wall clock does.
///
/// Kulkarni et al., "Logical Physical Clocks" (2014); the reservation ahead is ours.
#[derive(Debug)]
pub struct HybridClock {
    last: Time,
    reserved: Time,
}

impl HybridClock {
    /// A clock that continues above everything reserved before.
    pub fn new(reserved: Time) -> Self {
        Self { last: reserved, reserved }
    }

    /// The next stamp time: above now, above the last one issued, above `over` (the entry that is
    /// overwritten). `None` when there is no room under the ceiling.
    pub fn next(&mut self, wall: Millis, over: Option<Time>) -> Option<Time> {
        let now = Time::from_millis(wall.min(TIME_CEILING.millis()));
        let after = self.last.max(over.unwrap_or_default()).next();
        let time = now.max(after);
        if time > TIME_CEILING {
            return None;
        }
        self.last = time;
        Some(time)
    }

    /// The last time issued or followed.
    pub fn last(&self) -> Time {
        self.last
    }

    /// Follows a remote stamp, by at most `bound` ahead of the wall clock. False: it was further
    /// ahead than that.
    pub fn follow(&mut self, remote: Time, wall: Millis, bound: Millis) -> bool {
        let limit = Time::from_millis(wall.saturating_add(bound).min(TIME_CEILING.millis()));
        self.last = self.last.max(remote.min(limit));
        remote <= limit
    }

    /// A reservation that must be on disk before the stamps issued so far are used, if one is due.
    pub fn due_reservation(&self) -> Option<Time> {
        (self.last > self.reserved)
            .then(|| Time::from_millis(self.last.millis().saturating_add(RESERVE_AHEAD)))
    }

    /// What is reserved on disk.
    pub fn reservation(&self) -> Time {
        self.reserved
    }

    /// The reservation is on disk.
    pub fn reserved(&mut self, upto: Time) {
        self.reserved = upto;
    }
}

/// Most clocks that are compared: those measured last. With hundreds of peers each has its turn only
/// once in some minutes, and a median of what was measured then would notice a jump too late.
const CLOCKS_KEPT: usize = 32;

/// Compares this peer's wall clock with its peers'.
#[derive(Debug, Default)]
pub struct ClockGuard {
    /// Some peers' clocks minus ours, in milliseconds, the one measured last at the end.
    offsets: VecDeque<(PeerId, i64)>,
}

impl ClockGuard {
    /// Notes a peer's offset: its clock minus ours, in milliseconds.
    pub fn note(&mut self, peer: PeerId, offset: i64) {
        self.forget(peer);
        if self.offsets.len() == CLOCKS_KEPT {
            self.offsets.pop_front();
        }
        self.offsets.push_back((peer, offset));
    }

    /// Forgets a peer that is away.
    pub fn forget(&mut self, peer: PeerId) {
        self.offsets.retain(|(known, _)| *known != peer);
    }

    /// Our clock minus the median of all clocks, ours included; `None` with fewer than three
    /// clocks, where there is no telling who is wrong.
    pub fn own_offset(&self) -> Option<i64> {
        own_offset(self.offsets.iter().map(|(_, offset)| *offset))
    }
}

/// A clock minus the median of all clocks, itself included, by what the others are ahead of it; `None`
/// with fewer than two others, where there is no telling who is wrong.
pub fn own_offset(others: impl Iterator<Item = i64>) -> Option<i64> {
    let mut clocks: Vec<i64> = others.chain([0]).collect();
    if clocks.len() < 3 {
        return None;
    }
    clocks.sort_unstable();
    let middle = clocks.len() / 2;
    let median = if clocks.len() % 2 == 1 {
        clocks[middle]
    } else {
        i64::midpoint(clocks[middle - 1], clocks[middle])
    };
    Some(-median)
}
