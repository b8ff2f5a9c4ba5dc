//! Answers to pulls: what is read of a snapshot, a chunk at a time.
//!
//! Whoever reflects the floor is answered from the log, with what is above its vector. Whoever does
//! not may have rows whose tombstones are collected here, of which the log knows nothing: that answer
//! goes through all keys, with the records that are news and the bare keys of the others, so that
//! what it does not name is not here.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::ops::Bound;

use crate::ident::Epoch;
use crate::interval::{Interval, Intervals};
use crate::message::{CHUNK_BYTES, Cut, Span, Target};
use crate::record::{Record, Sent};
use crate::replica::decode_record;
use crate::rows::{self, Prefix};
use crate::stamp::Dot;
use crate::store::{Read, Rows, Space, StoreError, prefix_rows};
use crate::vector::Vector;

/// The answer to a pull, on its way.
pub(super) struct Answer<R> {
    pub(super) target: Target,
    snapshot: R,
    prefix: Prefix,
    order: Order,
    pub(super) cut: Cut,
    pub(super) index: u32,
    /// Bytes of the chunks that the requester has not applied yet.
    pub(super) unapplied: VecDeque<usize>,
    pub(super) deadline: u64,
}

/// In which order rows are read.
enum Order {
    /// By dot, what is above a vector.
    Log {
        /// What is still to be read of the log.
        intervals: VecDeque<Interval>,
        /// The epoch being read.
        current: Option<(Epoch, Rows)>,
        /// A record that did not fit the chunk before.
        carried: Option<(Epoch, Sent)>,
    },
    /// By key, everything.
    Keys {
        rows: Rows,
        /// What the requester reflects: its vector but for what is lost to it.
        vector: Vector,
        lost: Intervals,
        /// A row that did not fit the chunk before.
        carried: Option<(Vec<u8>, Record)>,
    },
}

/// What one chunk carries.
#[derive(Default)]
pub(super) struct Portion {
    /// The records, by epoch.
    pub(super) records: Vec<(Epoch, Vec<Sent>)>,
    pub(super) span: Option<Span>,
    pub(super) bytes: usize,
    /// Whether it is the last one.
    pub(super) last: bool,
}

impl<R: Read> Answer<R> {
    /// An answer from the log: the records of some intervals.
    pub(super) fn by_log(
        (target, prefix): (Target, Prefix),
        snapshot: R,
        cut: Cut,
        intervals: VecDeque<Interval>,
        deadline: u64,
    ) -> Self {
        let order = Order::Log { intervals, current: None, carried: None };
        let (index, unapplied) = (0, VecDeque::new());
        Self { target, snapshot, prefix, order, cut, index, unapplied, deadline }
    }

    /// An answer that goes through all keys, for somebody with this vector and these losses.
    pub(super) fn by_key(
        (target, prefix): (Target, Prefix),
        snapshot: R,
        cut: Cut,
        (vector, lost): (Vector, Intervals),
        deadline: u64,
    ) -> Self {
        let rows = prefix_rows(&snapshot, Space::Data, &prefix.to_be_bytes());
        let order = Order::Keys { rows, vector, lost, carried: None };
        let (index, unapplied) = (0, VecDeque::new());
        Self { target, snapshot, prefix, order, cut, index, unapplied, deadline }
    }

    /// Whether this chunk is to carry the cut: the last one, or the first where the requester has to
    /// judge its own rows by it.
    pub(super) fn carries_cut(&self, last: bool) -> bool {
        match self.order {
            Order::Log { .. } => last,
            Order::Keys { .. } => self.index == 0,
        }
    }

    /// What the next chunk carries.
    pub(super) fn next_portion(&mut self) -> Result<Portion, StoreError> {
        let mut portion = Portion::default();
        match &mut self.order {
            Order::Log { intervals, current, carried } => loop {
                let next = match carried.take() {
                    Some(carried) => Some(carried),
                    None => next_of_log(&self.snapshot, self.prefix, intervals, current)?,
                };
                let Some((epoch, sent)) = next else {
                    portion.last = true;
                    break;
                };
                if !portion.makes_room(sent.weight()) {
                    *carried = Some((epoch, sent));
                    break;
                }
                match portion.records.last_mut() {
                    Some((last, records)) if *last == epoch => records.push(sent),
                    _ => portion.records.push((epoch, alloc::vec![sent])),
                }
            },
            Order::Keys { rows, vector, lost, carried } => {
                let mut records: BTreeMap<Epoch, Vec<Sent>> = BTreeMap::new();
                let mut span = Span::default();
                loop {
                    let next = match carried.take() {
                        Some(carried) => Some(carried),
                        None => next_row(rows)?,
                    };
                    let Some((stored, record)) = next else {
                        portion.last = true;
                        span.upto = None;
                        break;
                    };
                    let dot = record.dot();
                    let known = vector.covers(dot) && !lost.contains(dot);
                    let sent = (!known).then(|| Sent::new(&stored, &record));
                    let weight = sent.as_ref().map_or(stored.len() + 12, Sent::weight);
                    if !portion.makes_room(weight) {
                        *carried = Some((stored, record));
                        break;
                    }
                    span.upto = Some(stored.clone());
                    // An old tombstone may have come late, after a newer one was collected: what that
                    // deleted must not be taken for being here.
                    match sent {
                        Some(sent) => records.entry(dot.epoch).or_default().push(sent),
                        None if record.is_live() => span.present.push((stored, record.mark())),
                        None => {}
                    }
                }
                portion.records = records.into_iter().collect();
                portion.span = Some(span);
            }
        }
        Ok(portion)
    }
}

impl Portion {
    /// Counts some bytes in, unless they do not fit any more. The first ones always do.
    fn makes_room(&mut self, weight: usize) -> bool {
        let fits = self.bytes == 0 || self.bytes + weight <= CHUNK_BYTES;
        self.bytes += if fits { weight } else { 0 };
        fits
    }
}

fn next_row(rows: &mut Rows) -> Result<Option<(Vec<u8>, Record)>, StoreError> {
    let Some(row) = rows.next() else { return Ok(None) };
    let (key, data) = row?;
    Ok(Some((key[4..].to_vec(), decode_record(&data)?)))
}

pub(super) fn next_of_log(
    snapshot: &impl Read,
    prefix: Prefix,
    intervals: &mut VecDeque<Interval>,
    current: &mut Option<(Epoch, Rows)>,
) -> Result<Option<(Epoch, Sent)>, StoreError> {
    loop {
        let Some((epoch, rows)) = current else {
            let Some(interval) = intervals.pop_front() else { return Ok(None) };
            *current = Some((interval.epoch, log_of(snapshot, prefix, interval)));
            continue;
        };
        let epoch = *epoch;
        let Some(row) = rows.next() else {
            *current = None;
            continue;
        };
        let (key, stored) = row?;
        let data = snapshot.get(Space::Data, &rows::data_key(prefix, &stored))?;
        let Some(data) = data else { continue };
        let record = decode_record(&data)?;
        let dot = record.dot();
        if dot.epoch != epoch || rows::log_key(prefix, dot) != key {
            continue;
        }
        return Ok(Some((epoch, Sent::new(&stored, &record))));
    }
}

/// The rows of the log of a copy that name writes of an interval.
pub(super) fn log_of(read: &impl Read, prefix: Prefix, interval: Interval) -> Rows {
    let Interval { epoch, from, upto } = interval;
    let start = rows::log_key(prefix, Dot { epoch, sequence: from });
    let end = rows::log_key(prefix, Dot { epoch, sequence: upto });
    read.range(Space::Log, Bound::Excluded(&start), Bound::Included(&end))
}
