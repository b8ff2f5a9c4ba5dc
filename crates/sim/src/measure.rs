//! What a run measures on its way: bytes by kind, how long writes take to arrive, and how many
//! copies there are and whether they are equal.

use std::collections::BTreeMap;

use tidings_core::ident::DatabaseId;
use tidings_core::name::Path;
use tidings_core::record::{Payload, Record};
use tidings_core::replica::State;
use tidings_core::status::HolderState;
use tidings_core::wire;

use crate::network::Parcel;
use crate::scenario::SECOND;
use crate::world::World;

/// What bytes are sent for.
pub const KINDS: [&str; 8] =
    ["push", "acknowledge", "pull", "compare", "request", "membership", "fragment", "probe"];

/// The kind of each message, in the order in which the protocol numbers them.
const MESSAGES: [usize; 30] =
    [5, 5, 6, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 3, 3, 3, 3];

/// Bytes of the length that real peers send before each frame and each probe.
const LENGTH_BYTES: usize = 4;

/// Most arrivals that are remembered for percentiles, one in every so many once there are more.
const ARRIVALS_MAX: usize = 1 << 20;

/// The times that writes took to arrive, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    times: Vec<u32>,
    /// Every n-th is kept.
    stride: u64,
    seen: u64,
}

impl Arrivals {
    fn add(&mut self, micros: u64) {
        self.seen += 1;
        self.stride = self.stride.max(1);
        if !self.seen.is_multiple_of(self.stride) {
            return;
        }
        self.times.push(u32::try_from(micros).unwrap_or(u32::MAX));
        if self.times.len() > ARRIVALS_MAX {
            let mut odd = false;
            self.times.retain(|_| {
                odd = !odd;
                odd
            });
            self.stride *= 2;
        }
    }

    /// The time within which this many of a thousand arrived, in microseconds.
    pub fn percentile(&self, per_mille: usize) -> Option<u64> {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * per_mille).div_ceil(1_000).max(1) - 1;
        sorted.get(at.min(sorted.len().checked_sub(1)?)).map(|time| u64::from(*time))
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.seen
    }
}

/// Everything at one moment, by the name of the series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When, in microseconds.
    pub at: u64,
    /// Name and value.
    pub values: Vec<(&'static str, f64)>,
}

/// The series, their units, and what they say; in the order in which they are written.
pub const SERIES: [(&str, &str, &str); 19] = [
    ("running_peers", "peers", "processes that run"),
    ("databases", "databases", "databases with a complete copy anywhere"),
    ("equal_share", "share", "databases whose complete copies are all equal"),
    ("copies_least", "copies", "complete copies of the database that has fewest"),
    ("copies_mean", "copies", "complete copies of a database, on average"),
    ("copies_most", "copies", "complete copies of the database that has most"),
    ("below_min", "databases", "databases with fewer complete copies than min asks for"),
    ("above_max", "databases", "databases with more complete copies than max allows"),
    ("stored_bytes", "bytes", "keys and values of all copies together"),
    ("bytes_push", "bytes/s", "new writes, sent to holders"),
    ("bytes_acknowledge", "bytes/s", "offers and acknowledgements"),
    ("bytes_pull", "bytes/s", "catching up and joining"),
    ("bytes_compare", "bytes/s", "comparing copies and putting rows back"),
    ("bytes_request", "bytes/s", "work done for peers without a copy"),
    ("bytes_membership", "bytes/s", "hellos and good-byes"),
    ("bytes_fragment", "bytes/s", "parts of messages that do not fit a frame"),
    ("bytes_probe", "bytes/s", "probes of the failure detector"),
    ("propagation_p50", "ms", "a write to a holder, half of them"),
    ("propagation_p99", "ms", "a write to a holder, 99 of 100"),
];

/// The measurements of a run.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// Bytes by kind, as in [`KINDS`].
    pub bytes: [u64; KINDS.len()],
    /// How long writes took to arrive at each other active holder.
    pub arrivals: Arrivals,
    /// The samples.
    pub samples: Vec<Sample>,
    /// The bytes when the run had settled.
    pub(crate) settled_bytes: Option<[u64; KINDS.len()]>,
    /// The run has settled: nothing more is sampled.
    pub(crate) ended: bool,
    window: Arrivals,
    last: (u64, [u64; KINDS.len()]),
    wanted: BTreeMap<DatabaseId, (usize, usize)>,
}

/// The bytes of each kind in a frame.
fn kinds(frame: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut rest = wire::body(frame).unwrap_or_default();
    std::iter::from_fn(move || {
        let message = wire::take_sized(&mut rest).ok()?;
        // An enum is written as the number of its variant; below 251 that is one byte.
        let variant = usize::from(*message.first()?);
        Some((*MESSAGES.get(variant)?, message.len() + 4))
    })
}

impl Measures {
    pub(crate) fn sent(&mut self, parcel: &Parcel) {
        match parcel {
            Parcel::Frame(frame) => {
                let mut left = LENGTH_BYTES + frame.len();
                let mut first = None;
                for (kind, bytes) in kinds(frame) {
                    first.get_or_insert(kind);
                    self.bytes[kind] += bytes as u64;
                    left -= bytes;
                }
                // Its length and version are for what it was begun for.
                if let Some(kind) = first {
                    self.bytes[kind] += left as u64;
                }
            }
            Parcel::Probe(packet) => {
                self.bytes[KINDS.len() - 1] += (LENGTH_BYTES + packet.len()) as u64;
            }
        }
    }
}

/// What is known of one database at a sample.
struct Seen<'a> {
    first: &'a State,
    copies: usize,
    equal: bool,
}

impl World {
    /// Notes writes that arrived at a holder which is complete since before they were asked for.
    pub(crate) fn arrived(&mut self, index: usize, id: DatabaseId, changes: &[(Vec<u8>, Record)]) {
        if self.measures.ended {
            return;
        }
        let process = &mut self.processes[index];
        let Some(node) = &process.node else { return };
        let own = node.directory().holder(id, process.peer);
        if own.is_none_or(|holder| holder.state != HolderState::Active) {
            // What comes now fills the copy, and may be old.
            process.active.remove(&id);
            return;
        }
        let since = *process.active.entry(id).or_insert(self.now);
        for (_, record) in changes {
            let Payload::Value(value, _) = record.payload() else { continue };
            let number = value.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            let attempt = number.and_then(|n| self.checker.attempts().get(n as usize));
            let Some(attempt) = attempt.filter(|attempt| attempt.at >= since) else { continue };
            if record.dot().epoch != node.epoch() {
                self.measures.arrivals.add(self.now - attempt.at);
                self.measures.window.add(self.now - attempt.at);
            }
        }
    }

    /// Takes a last sample, where any are taken.
    pub(crate) fn sample_if_wanted(&mut self) {
        if self.scenario.sample_every > 0 {
            self.sample();
        }
    }

    /// Takes a sample of everything.
    pub(crate) fn sample(&mut self) {
        if self.measures.ended {
            return;
        }
        let mut seen: BTreeMap<DatabaseId, Seen<'_>> = BTreeMap::new();
        let mut wanted = std::mem::take(&mut self.measures.wanted);
        let (mut running, mut stored) = (0, 0);
        for process in &self.processes {
            let Some(node) = &process.node else { continue };
            running += 1;
            for (id, _) in node.copies().filter(|(_, role)| *role == HolderState::Active) {
                let Some(replica) = node.replica(id) else { continue };
                if replica.path.starts_with("_tidings/") {
                    continue;
                }
                stored += replica.state.counts.bytes;
                let state = &replica.state;
                let found = seen.entry(id).or_insert(Seen { first: state, copies: 0, equal: true });
                found.copies += 1;
                found.equal &= found.first.digest == state.digest
                    && found.first.progress.vector == state.progress.vector;
                if !wanted.contains_key(&id)
                    && let Ok(path) = Path::new(&replica.path)
                    && let Ok(definition) = node.open(&path)
                {
                    let copies = definition.replication;
                    wanted.insert(id, (copies.min as usize, copies.max as usize));
                }
            }
        }
        let count = seen.len().max(1) as f64;
        let copies = || seen.values().map(|found| found.copies);
        let bounds = |id: &DatabaseId| wanted.get(id).copied().unwrap_or((0, usize::MAX));
        let below = seen.iter().filter(|(id, found)| found.copies < bounds(id).0.min(running));
        let above = seen.iter().filter(|(id, found)| found.copies > bounds(id).1);
        let mut values = vec![
            ("running_peers", running as f64),
            ("databases", seen.len() as f64),
            ("equal_share", seen.values().filter(|found| found.equal).count() as f64 / count),
            ("copies_least", copies().min().unwrap_or(0) as f64),
            ("copies_mean", copies().sum::<usize>() as f64 / count),
            ("copies_most", copies().max().unwrap_or(0) as f64),
            ("below_min", below.count() as f64),
            ("above_max", above.count() as f64),
            ("stored_bytes", stored as f64),
        ];
        if seen.is_empty() {
            values.retain(|(name, _)| *name != "equal_share");
        }
        drop(seen);
        let measures = &mut self.measures;
        measures.wanted = wanted;
        let seconds = (self.now - measures.last.0).max(1) as f64 / SECOND as f64;
        let names = SERIES.iter().map(|(name, ..)| *name).filter(|name| name.starts_with("bytes_"));
        for (kind, name) in names.enumerate() {
            let bytes = measures.bytes[kind] - measures.last.1[kind];
            values.push((name, bytes as f64 / seconds));
        }
        measures.last = (self.now, measures.bytes);
        let window = std::mem::take(&mut measures.window);
        for (name, per_mille) in [("propagation_p50", 500), ("propagation_p99", 990)] {
            if let Some(micros) = window.percentile(per_mille) {
                values.push((name, micros as f64 / 1_000.0));
            }
        }
        measures.samples.push(Sample { at: self.now, values });
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::message::Message;
    use tidings_core::vector::Vector;

    use super::*;

    /// The kinds follow the numbers that the protocol gives its messages.
    #[test]
    fn messages_are_of_their_kind() {
        let target = tidings_core::message::Target { database: DatabaseId([0; 16]), generation: 0 };
        let messages = [
            (Message::Stale { incarnation: 7 }, "membership"),
            (Message::Fragment { message: 1, index: 0, last: true, bytes: vec![1] }, "fragment"),
            (Message::Credit { session: 1 }, "pull"),
            (
                Message::Refuse { target, session: 1, why: tidings_core::message::Refusal::Busy },
                "pull",
            ),
            (Message::Summary { system: 1, user: 2, answer: false }, "compare"),
            (
                Message::Repair {
                    target,
                    vector: Vector::default(),
                    rows: Vec::new(),
                    wanted: Vec::new(),
                },
                "compare",
            ),
            (
                Message::Response { request: 1, result: Ok(tidings_core::message::Reply::Done) },
                "request",
            ),
            (Message::Unwatch { request: 1 }, "request"),
            (Message::Bye, "membership"),
            (Message::AskEpoch { asked: 1 }, "membership"),
            (Message::TellDeleted { target, asked: 1, deleted: Vec::new() }, "compare"),
        ];
        for (message, kind) in messages {
            let mut frame = vec![wire::FORMAT_VERSION];
            wire::append_sized(&mut frame, &message);
            let found: Vec<_> = kinds(&frame).collect();
            assert_eq!(found.len(), 1, "{message:?}");
            assert_eq!(KINDS[found[0].0], kind, "{message:?}");
        }
    }

    /// What is counted is what a real peer counts: each frame and each probe with its length.
    #[test]
    fn every_byte_is_counted() {
        let mut frame = vec![wire::FORMAT_VERSION];
        wire::append_sized(&mut frame, &Message::Credit { session: 1 });
        wire::append_sized(&mut frame, &Message::Bye);
        let mut measures = Measures::default();
        let bytes = frame.len() as u64;
        measures.sent(&Parcel::Frame(frame));
        assert_eq!(measures.bytes.iter().sum::<u64>(), bytes + 4);
        measures.sent(&Parcel::Probe(vec![0; 10]));
        assert_eq!(measures.bytes[KINDS.len() - 1], 14);
    }

    #[test]
    fn percentiles_are_of_what_was_added() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.percentile(500), None);
        (1..=1_000).for_each(|time| arrivals.add(time));
        assert_eq!(arrivals.percentile(500), Some(500));
        assert_eq!(arrivals.percentile(990), Some(990));
        assert_eq!(arrivals.percentile(1_000), Some(1_000));
    }
}
