//! One of each thing that has a format.

use std::collections::BTreeMap;

use tidings_core::ident::{DatabaseId, Epoch, PeerId};
use tidings_core::interval::{Interval, Intervals};
use tidings_core::membership::Identity;
use tidings_core::message::Target;
use tidings_core::position::Position;
use tidings_core::record::{Payload, Record, Sent};
use tidings_core::rows::stored_key;
use tidings_core::stamp::{Dot, Time};
use tidings_core::status::{DatabaseStatus, HolderState, HolderStatus};
use tidings_core::vector::Vector;

pub(crate) const E: Epoch = Epoch(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
pub(crate) const TARGET: Target = Target { database: DatabaseId([0xdb; 16]), generation: 3 };
pub(crate) const INTERVAL: Interval = Interval { epoch: E, from: 4, upto: 300 };

pub(crate) fn sent() -> Sent {
    let payload = Payload::Value(b"value".to_vec(), Some(70_000));
    Sent { key: stored_key(b"key"), sequence: 300, time: Time(1 << 40), payload }
}

pub(crate) fn record() -> Record {
    Record::new(Time(1 << 40), Dot { epoch: E, sequence: 300 }, Payload::Tombstone)
}

pub(crate) fn vector() -> Vector {
    let mut vector = Vector::default();
    vector.raise(E, 300);
    vector.raise(Epoch(1), 2);
    vector
}

pub(crate) fn position() -> Position {
    let (pending, lost) = ([INTERVAL].into_iter().collect(), Intervals::default());
    let Target { database, generation } = TARGET;
    Position { database, generation, vector: vector(), pending, lost, ahead: vector() }
}

pub(crate) fn identity() -> Identity {
    Identity {
        peer: PeerId([1; 32]),
        incarnation: 1_750_000_000_000,
        name: "ann".into(),
        zone: "z".into(),
        weight: 100,
        addresses: vec!["/ip4/192.0.2.1/tcp/1".into()],
    }
}

pub(crate) fn status() -> DatabaseStatus {
    DatabaseStatus {
        path: "a/b".into(),
        id: "00".into(),
        definition: Some("d".into()),
        generation: 1,
        peer: "p".into(),
        digest: "ff".into(),
        vector: BTreeMap::from([("e".into(), 2)]),
        entries: 3,
        tombstones: 4,
        bytes: 5,
        limit: Some(6),
        holders: vec![HolderStatus {
            peer: "p".into(),
            state: HolderState::Leaving,
            live: true,
            since: 7,
            behind: Some(8),
        }],
        verdict: vec!["fine".into()],
    }
}
