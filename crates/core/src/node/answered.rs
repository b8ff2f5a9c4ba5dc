//! What became of the writes that peers asked for: one that is asked for again, since the connection
//! broke before the answer came, is answered again and not done again.

use alloc::collections::{BTreeMap, VecDeque};

use crate::error::Error;
use crate::ident::PeerId;
use crate::message::Reply;

/// Writes of all peers whose fate is remembered.
const ANSWERS_KEPT: usize = 16_384;
/// What they wrote that is remembered with them, in records: a batch of many takes the place of as many.
const WRITTEN_KEPT: usize = 65_536;
/// Processes whose last forgotten write is remembered.
const ASKERS_MAX: usize = 4_096;

/// One process that asks: the upper half of the numbers of its requests is drawn at its start.
type Asker = (PeerId, u32);

/// What is known of a write that a peer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was not asked for before.
    New,
    /// It is being done.
    UnderWay,
    /// It was done, or refused.
    Answered(Result<Reply, Error>),
    /// It may have been: it is too long ago.
    Forgotten,
}

/// The writes that peers asked for lately.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// By peer and number; nothing while one is under way.
    writes: BTreeMap<(PeerId, u64), Option<Result<Reply, Error>>>,
    /// The same in the order in which they were asked for.
    order: VecDeque<(PeerId, u64)>,
    /// Records that are remembered.
    written: usize,
    /// The highest number that was forgotten of each process.
    forgotten: BTreeMap<Asker, u64>,
}

impl Answered {
    /// A peer asks for a write.
    pub(super) fn asked(&mut self, peer: PeerId, number: u64) -> Fate {
        match self.writes.get(&(peer, number)) {
            Some(Some(result)) => return Fate::Answered(result.clone()),
            Some(None) => return Fate::UnderWay,
            None => {}
        }
        if self.forgotten.get(&asker(peer, number)).is_some_and(|last| number <= *last) {
            return Fate::Forgotten;
        }
        self.writes.insert((peer, number), None);
        self.order.push_back((peer, number));
        self.forget();
        Fate::New
    }

    /// What came of a request, if it is one of them.
    pub(super) fn answer(&mut self, peer: PeerId, number: u64, result: &Result<Reply, Error>) {
        if let Some(fate @ None) = self.writes.get_mut(&(peer, number)) {
            self.written += records(result);
            *fate = Some(result.clone());
            self.forget();
        }
    }

    fn forget(&mut self) {
        while self.order.len() > ANSWERS_KEPT || self.written > WRITTEN_KEPT {
            let Some((peer, number)) = self.order.pop_front() else { return };
            let fate = self.writes.remove(&(peer, number)).flatten();
            self.written -= fate.as_ref().map_or(0, records);
            let last = self.forgotten.entry(asker(peer, number)).or_default();
            *last = number.max(*last);
            if self.forgotten.len() > ASKERS_MAX {
                // Any of them: it matters only to who asks again within its deadline.
                self.forgotten.pop_first();
            }
        }
    }
}

fn records(result: &Result<Reply, Error>) -> usize {
    if let Ok(Reply::Written(written)) = result { written.len() } else { 0 }
}

const fn asker(peer: PeerId, number: u64) -> Asker {
    (peer, (number >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const PEER: PeerId = PeerId([7; 32]);

    #[test]
    fn a_write_is_new_once() {
        let mut answered = Answered::default();
        assert_eq!(answered.asked(PEER, 5), Fate::New);
        assert_eq!(answered.asked(PEER, 5), Fate::UnderWay);
        let written = Ok(Reply::Written(Vec::new()));
        answered.answer(PEER, 5, &written);
        assert_eq!(answered.asked(PEER, 5), Fate::Answered(written));
        // An earlier one may have been lost on its way.
        assert_eq!(answered.asked(PEER, 4), Fate::New);
        assert_eq!(answered.asked(PeerId([8; 32]), 5), Fate::New);
    }

    #[test]
    fn what_is_forgotten_is_not_new() {
        let mut answered = Answered::default();
        let count = ANSWERS_KEPT as u64 + 10;
        for number in 1..=count {
            assert_eq!(answered.asked(PEER, number), Fate::New);
            answered.answer(PEER, number, &Err(Error::Cloned));
        }
        assert_eq!(answered.asked(PEER, 10), Fate::Forgotten);
        assert_eq!(answered.asked(PEER, 11), Fate::Answered(Err(Error::Cloned)));
        assert_eq!(answered.writes.len(), ANSWERS_KEPT);
        // Another process of the same peer.
        assert_eq!(answered.asked(PEER, 1 << 32), Fate::New);
    }
}
