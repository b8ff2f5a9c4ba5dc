//! What the contract compares with: the slow obvious store, the source of random batches, and the
//! few words in which the laws are told.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Bound;

use crate::store::{Batch, Read, Row, Rows, Space, Store};

/// The slow obvious store: one ordered map of everything.
#[derive(Clone, Default)]
pub(super) struct Model(BTreeMap<(Space, Vec<u8>), Vec<u8>>);

impl Model {
    pub(super) fn apply(&mut self, batch: &Batch) {
        for (space, key, value) in &batch.writes {
            match value {
                Some(value) => self.0.insert((*space, key.clone()), value.clone()),
                None => self.0.remove(&(*space, key.clone())),
            };
        }
    }

    pub(super) fn compare(&self, read: &impl Read) {
        for space in Space::ALL {
            self.compare_range(read, space, Bound::Unbounded, Bound::Unbounded);
            for key in 0..=u8::MAX {
                let key = [key];
                let expected = self.0.get(&(space, key.to_vec())).cloned();
                assert_eq!(read.get(space, &key), Ok(expected));
            }
        }
        for ((space, key), value) in &self.0 {
            assert_eq!(read.get(*space, key), Ok(Some(value.clone())));
        }
    }

    pub(super) fn compare_range(
        &self,
        read: &impl Read,
        space: Space,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) {
        let expected: Vec<Row> = self
            .0
            .iter()
            .filter(|((at, key), _)| *at == space && is_inside(key, start, end))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(collect(read.range(space, start, end)), expected, "{start:?} to {end:?}");
        let mut backwards: Vec<Row> =
            read.range(space, start, end).rev().map(Result::unwrap).collect();
        backwards.reverse();
        assert_eq!(backwards, expected, "{start:?} to {end:?}, backwards");
    }
}

/// A small seeded generator (`SplitMix64`, Steele, Lea and Flood 2014), so that the suite needs no
/// dependency and repeats itself exactly.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    pub(super) fn space(&mut self) -> Space {
        Space::ALL[self.below(Space::ALL.len() as u64) as usize]
    }

    /// Few distinct bytes, so that keys collide, nest and touch the end of the byte range.
    pub(super) fn key(&mut self) -> Vec<u8> {
        let length = 1 + self.below(3);
        (0..length).map(|_| [0, 1, b'a', 0xfe, 0xff][self.below(5) as usize]).collect()
    }

    pub(super) fn bound(&mut self) -> Bound<Vec<u8>> {
        match self.below(5) {
            0 => Bound::Unbounded,
            1 | 2 => Bound::Included(self.key()),
            _ => Bound::Excluded(self.key()),
        }
    }

    pub(super) fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..self.below(8) {
            let (space, key) = (self.space(), self.key());
            if self.below(3) == 0 {
                batch.remove(space, key);
            } else {
                let length = self.below(40) as usize;
                let value = self.bytes(length);
                batch.put(space, key, value);
            }
        }
        batch
    }
}

pub(super) fn is_inside(key: &[u8], start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    let after_start = match start {
        Bound::Unbounded => true,
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
    };
    let before_end = match end {
        Bound::Unbounded => true,
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
    };
    after_start && before_end
}

pub(super) fn collect(rows: Rows) -> Vec<Row> {
    rows.map(|row| row.expect("a scan of a healthy store failed")).collect()
}

pub(super) fn put(store: &impl Store, space: Space, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(space, key.to_vec(), value.to_vec());
    store.commit(batch).unwrap();
}

pub(super) fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

pub(super) fn all(read: &impl Read, space: Space) -> Vec<Row> {
    collect(read.range(space, Bound::Unbounded, Bound::Unbounded))
}

pub(super) fn keys(rows: Vec<Row>) -> Vec<Vec<u8>> {
    rows.into_iter().map(|(key, _)| key).collect()
}
