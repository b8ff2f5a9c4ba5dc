//! A peer that has the secret and means harm: beside what it rightly says, it sends what its program
//! never would. It does not lie about what others may have to believe: what that can spoil is written
//! down in `docs/guarantees.md`.

use tidings_core::definition::Durability;
use tidings_core::filter::Pattern;
use tidings_core::ident::{Epoch, PeerId};
use tidings_core::interval::Interval;
use tidings_core::membership::Identity;
use tidings_core::message::{
    Message, Operation, PageRequest, Range, RangeSum, Refusal, Reply, Span, Target,
};
use tidings_core::outline::Outline;
use tidings_core::record::{Payload, Sent};
use tidings_core::rows::stored_key;
use tidings_core::stamp::{Dot, Time};
use tidings_core::vector::Vector;
use tidings_core::wire;

use crate::disk::Crash;
use crate::faults::Act;
use crate::history::{Attempt, Fate};
use crate::network::Parcel;
use crate::random::Random;
use crate::scenario::MILLISECOND;
use crate::timeline::{Call, What};
use crate::world::{Event, World};

/// How far ahead of true time a hostile peer stamps its writes, at most, in milliseconds.
const AHEAD: u64 = 7_200_000;

/// What a peer does in its own name while it is hostile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hostile {
    /// The epoch of its own under which it writes: nobody else's, and not its live one.
    epoch: Epoch,
    /// The last write under it.
    sequence: u64,
}

/// Whom something is said to, and of which database.
struct Victim {
    peer: PeerId,
    target: Target,
    path: String,
}

impl World {
    /// A peer begins to do harm.
    pub(super) fn turn_hostile(&mut self, index: usize, lasts: Option<u64>) {
        let mut random = self.random_of("hostile", index);
        let process = &mut self.processes[index];
        let epoch = Epoch::new(random.any(), process.peer);
        process.hostile = Some(Hostile { epoch, sequence: 0 });
        self.hostile.insert(process.peer);
        let life = process.life;
        let until = lasts.map_or(self.scenario.duration, |time| self.now + time);
        self.schedule(self.now, Event::Act(Act::Harm(index, life, until)));
    }

    /// Says something harmful, unless its time is over: then the process starts anew, with an honest
    /// program.
    pub(super) fn harm(&mut self, index: usize, life: u64, until: u64) {
        if self.processes[index].life != life || self.processes[index].hostile.is_none() {
            return;
        }
        let mut random = self.random_of("harm", index);
        if self.now >= until || self.faults.stopped {
            self.crash(index, Crash::Process);
            self.start_later(index, 10 * MILLISECOND);
            return;
        }
        if self.processes[index].is_awake(self.now) {
            let peers: Vec<PeerId> = self.processes[index].known.keys().copied().collect();
            // Mostly a few, now and then a flood.
            let count = if random.chance(50) { 200 } else { 1 + random.below(10) };
            for _ in 0..count {
                if let Some(&peer) = random.pick(&peers) {
                    let parcel = self.harmful(index, peer, &mut random);
                    self.send(index, peer, parcel);
                }
            }
        }
        let again = MILLISECOND + random.below(200 * MILLISECOND);
        self.schedule(self.now + again, Event::Act(Act::Harm(index, life, until)));
    }

    fn harmful(&mut self, index: usize, peer: PeerId, random: &mut Random) -> Parcel {
        let Some((path, key)) = self.some_place(random) else { return garbage(random) };
        let Some(node) = &self.processes[index].node else { return garbage(random) };
        let database = node.database_id(&path);
        let target = Target { database, generation: u64::from(random.chance(50)) };
        let victim = Victim { peer, target, path };
        let message = match random.below(10) {
            0 => return garbage(random),
            1 => return Parcel::Probe(bytes(random, 300)),
            2 | 3 => match self.future_write(index, &victim, key, random) {
                Some(push) => push,
                None => return garbage(random),
            },
            4..7 => self.senseless(index, &victim, random),
            _ => endless(&victim, random),
        };
        let mut frame = vec![wire::FORMAT_VERSION];
        wire::append_sized(&mut frame, &message);
        if random.chance(100) {
            frame.truncate(1 + random.index(frame.len()));
        }
        Parcel::Frame(frame)
    }

    /// A database and a key that users write to.
    fn some_place(&self, random: &mut Random) -> Option<(String, Vec<u8>)> {
        let timeline = &self.scenario.timeline;
        let tries = (0..16).filter_map(|_| timeline.get(random.index(timeline.len())));
        let mut writes = tries.filter_map(|timed| {
            let What::Operation(operation) = &timed.what else { return None };
            let Call::Write { batches, .. } = &operation.call else { return None };
            let (key, _) = batches.first()?.first()?;
            Some((operation.database.clone(), stored_key(key.as_bytes())))
        });
        writes.next()
    }

    /// A write under an epoch of its own, stamped ahead of time; or one with a gap before it. To the
    /// checker it is a write of which nobody knows whether it happened.
    fn future_write(
        &mut self,
        index: usize,
        victim: &Victim,
        key: Vec<u8>,
        random: &mut Random,
    ) -> Option<Message> {
        let length = random.index(100);
        let value = self.checker.value(0, length);
        let at = self.processes[index].clocks(self.now).wall + random.below(AHEAD);
        let hostile = self.processes[index].hostile.as_mut()?;
        let from = hostile.sequence + if random.chance(200) { random.below(100) } else { 0 };
        hostile.sequence = from + 1;
        let interval = Interval { epoch: hostile.epoch, from, upto: from + 1 };
        let payload = Payload::Value(value.clone(), None);
        // The checkers take two values under one stamp for a defect.
        let time = Time(at << 16 | hostile.sequence & 0xffff);
        let sent = Sent { key: key.clone(), sequence: from + 1, time, payload };
        self.sometimes.saw("hostile write");
        let database = victim.target.database;
        let attempt = Attempt::new(index, self.now, database, key, Some(value));
        self.checker.submitted(Attempt { fate: Fate::Unknown, ..attempt });
        Some(Message::Push {
            target: victim.target,
            interval,
            records: vec![sent],
            durability: Durability::Synced,
            unreached: Vec::new(),
        })
    }

    /// What makes no sense where it is said, or contradicts itself.
    fn senseless(&self, index: usize, victim: &Victim, random: &mut Random) -> Message {
        let Victim { peer, target, .. } = *victim;
        let session = random.any();
        let own = self.processes[index].peer;
        let epoch = Epoch::new(random.any(), own);
        match random.below(21) {
            0 => {
                let addresses = vec!["x".repeat(random.index(1_000)); random.index(20)];
                let name = "n".repeat(random.index(1_000));
                let zone = String::new();
                let of = if random.chance(500) { peer } else { own };
                let identity =
                    Identity { peer: of, incarnation: 1, name, zone, weight: u32::MAX, addresses };
                // One that is in bounds, under its own name, would be a hello.
                if identity.is_sane() && of == own {
                    return Message::Bye;
                }
                Message::Hello { identity, epoch, protocol: u16::MAX, features: u64::MAX }
            }
            1 => Message::Stale { incarnation: random.below(1 << 60) },
            2 => Message::Fragment {
                message: random.below(4),
                index: random.below(3) as u32,
                last: random.chance(300),
                bytes: bytes(random, 2_000),
            },
            3 => {
                let interval = Interval { epoch, from: random.any(), upto: random.any() };
                let (records, unreached) = (Vec::new(), vec![peer; random.index(400)]);
                if interval.from < interval.upto {
                    return Message::Credit { session };
                }
                let durability = Durability::Buffered;
                Message::Push { target, interval, records, durability, unreached }
            }
            4 => {
                Message::Offer { target, epoch, upto: random.any(), durability: Durability::Synced }
            }
            5 => {
                let durability = Durability::Synced;
                Message::Acknowledge { target, epoch, upto: random.any(), durability }
            }
            6 => Message::Chunk {
                target,
                session,
                index: random.below(3) as u32,
                records: vec![(epoch, Vec::new())],
                cut: None,
                span: random.chance(500).then(|| Span { upto: None, present: Vec::new() }),
            },
            7 => Message::Credit { session },
            8 => Message::Refuse { target, session, why: Refusal::Generation(random.any()) },
            9 => Message::Response { request: session, result: Ok(Reply::Done) },
            10 => Message::Changes {
                request: session,
                index: session,
                changes: Vec::new(),
                position: None,
            },
            11 => Message::Unwatch { request: session },
            12 => Message::TellEpoch { asked: session, epoch },
            13 => Message::Stay { target, asked: session },
            14 => Message::Repair {
                target,
                vector: Vector::default(),
                rows: Vec::new(),
                wanted: vec![bytes(random, 40)],
            },
            15 => Message::Buckets {
                target,
                vector: Vector::default(),
                sums: vec![session; random.index(300)],
            },
            16 => Message::AskDeleted {
                target,
                asked: session,
                floor: Vector::default(),
                rows: vec![(bytes(random, 40), Dot { epoch, sequence: session })],
            },
            17 => {
                let deleted = vec![Some(true); random.index(9)];
                Message::TellDeleted { target, asked: session, deleted }
            }
            18 => Message::AskDurable { target, asked: session },
            19 => Message::AskShare { target, asked: session, keep: random.below(1_000) },
            _ => Message::Bye,
        }
    }
}

/// What makes the receiver work: an honest peer asks for it too, but not without end.
fn endless(victim: &Victim, random: &mut Random) -> Message {
    let Victim { target, ref path, .. } = *victim;
    let number = random.any();
    let request = |operation| Message::Request {
        request: number,
        path: path.clone(),
        operation,
        again: number.is_multiple_of(3).then_some(Epoch(u128::from(number))),
    };
    let mut vector = Vector::default();
    match random.below(12) {
        0 => request(Operation::Get {
            keys: vec![bytes(random, 40); random.index(100)],
            least: None,
        }),
        1 => request(Operation::Page(PageRequest {
            start: std::ops::Bound::Unbounded,
            end: std::ops::Bound::Unbounded,
            limit: u32::MAX,
            reverse: random.chance(500),
            keys_only: false,
            filter: number.is_multiple_of(2).then(|| Pattern::Regex("(?s-u).*(".into())),
            budget: u32::MAX,
        })),
        2 => request(Operation::Status),
        3 | 4 => request(Operation::Watch { prefix: bytes(random, 3), after: None }),
        5 | 6 => {
            for _ in 0..random.below(20) {
                vector.raise(Epoch(u128::from(random.any())), random.any());
            }
            let (digest, whole) = (u128::from(number), random.chance(500));
            let (vector, floor) = if number.is_multiple_of(2) {
                (Outline::All(vector), None)
            } else {
                let others = random.below(20);
                (Outline::Part { named: vector, others, sum: digest }, Some(digest))
            };
            Message::Pull {
                target,
                session: number,
                vector,
                floor,
                digest,
                whole,
                lost: Vec::new(),
            }
        }
        7 => Message::Summary { system: number, user: random.any(), answer: true },
        8 => {
            let range = Range { bits: 4 * random.below(20) as u8, prefix: number };
            Message::Ranges(vec![RangeSum { range, sum: number }; 1 + random.index(64)])
        }
        9 => Message::Items { items: vec![(target.database, number); 1 + random.index(64)] },
        10 => Message::BucketNext { target, buckets: [0xff; 32], start: bytes(random, 10) },
        _ => Message::AskEpoch { asked: number },
    }
}

fn bytes(random: &mut Random, most: u64) -> Vec<u8> {
    (0..random.below(most)).map(|_| random.any() as u8).collect()
}

fn garbage(random: &mut Random) -> Parcel {
    let mut frame = bytes(random, 1_000);
    if let Some(first) = frame.first_mut()
        && random.chance(500)
    {
        *first = wire::FORMAT_VERSION;
    }
    Parcel::Frame(frame)
}
