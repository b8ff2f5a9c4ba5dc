//! Stored rows. The first byte says what the others are: one row, which is decoded as every kind there
//! is, or changes to the rows of a peer that then starts on them.
//!
//! What decodes is encoded to bytes that decode to the same. A peer on damaged rows starts or refuses to,
//! and does not panic, whatever happens then.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_core::directory::Holder;
use tidings_core::ident::{DatabaseId, Epoch};
use tidings_core::interval::Intervals;
use tidings_core::membership::Identity;
use tidings_core::message::Message;
use tidings_core::name::{Key, Path};
use tidings_core::node::Input;
use tidings_core::record::{Payload, Record, Sent};
use tidings_core::replica::{Base, StateRow, decode_record};
use tidings_core::rows::{self, Interned, Prefix};
use tidings_core::stamp::{Dot, Time, Version};
use tidings_core::status::DatabaseStatus;
use tidings_core::store::{Batch, Space, Store as _};
use tidings_core::vector::{Progress, Vector};
use tidings_core::wire;

use super::harness::{Harness, KEYS, OTHERS, OWN, PATHS, write};

/// Most rows that are changed.
const ROWS_MAX: usize = 16;

/// Takes any bytes.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    if kind % 2 == 0 {
        one_row(rest);
    } else {
        disk(rest);
    }
}

/// Decodes a row as every kind that there is.
fn one_row(bytes: &[u8]) {
    comes_back::<Record>(bytes);
    comes_back::<StateRow>(bytes);
    comes_back::<Base>(bytes);
    comes_back::<Interned>(bytes);
    comes_back::<Vector>(bytes);
    comes_back::<Progress>(bytes);
    comes_back::<Intervals>(bytes);
    comes_back::<Holder>(bytes);
    comes_back::<Identity>(bytes);
    comes_back::<Payload>(bytes);
    comes_back::<Sent>(bytes);
    comes_back::<Time>(bytes);
    comes_back::<Version>(bytes);
    comes_back::<Message>(bytes);
    comes_back::<DatabaseStatus>(bytes);
    if let Ok(record) = decode_record(bytes) {
        assert_eq!(decode_record(&wire::encode(&record)).ok(), Some(record));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(version) = text.parse::<Version>() {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        if let Ok(path) = Path::new(text) {
            assert_eq!(path.as_str(), text);
        }
    }
    if let Ok(key) = Key::new(bytes) {
        assert_eq!(rows::split_key(&rows::stored_key(key.as_bytes())), Some((&b""[..], bytes)));
    }
}

/// What decodes is encoded to bytes that decode to the same, and to the same bytes again.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(item) = wire::decode::<T>(bytes) else { return };
    let written = wire::encode(&item);
    let again: T = wire::decode(&written).expect("what is written can be read");
    assert_eq!(again, item);
    assert_eq!(wire::encode(&again), written);
}

/// Starts a peer on a disk of which some rows were changed, and uses it.
fn disk(mut rest: &[u8]) {
    let store = Harness::prepared_store();
    for _ in 0..ROWS_MAX {
        let Some((space, key, value)) = row(&mut rest) else { break };
        store.commit(Batch { writes: vec![(space, key, value)] }).expect("memory does not fail");
    }
    let Ok(mut harness) = Harness::start(store, OWN) else { return };
    for path in PATHS {
        let known = Path::new(path).expect("a path");
        drop(harness.node.database_status(&known, harness.now));
        harness.write(path, vec![write(KEYS[0], Payload::Value(vec![1], None))]);
        harness.write(path, vec![write(KEYS[1], Payload::Tombstone)]);
    }
    harness.feed(Input::Connected(OTHERS[0]));
    harness.pass(5_000, 40);
    harness.feed(Input::Disconnected(OTHERS[0]));
    drop((harness.node.databases(None, 10), harness.node.status("1")));
    let _ = harness.restart(true);
}

/// A key that there is, or could be, and the new value; none: the row is gone.
fn row(rest: &mut &[u8]) -> Option<(Space, Vec<u8>, Option<Vec<u8>>)> {
    let (kind, number) = (wire::take::<u8>(rest).ok()?, wire::take::<u8>(rest).ok()?);
    // The system databases have the first local numbers, users' the next.
    let prefix = Prefix::from(number % 32);
    let own = KEYS[usize::from(number >> 6)];
    let (space, key) = match kind % 10 {
        0 => (Space::Meta, rows::state_key(prefix)),
        1 => (Space::Meta, rows::base_key(prefix)),
        2 => (Space::Meta, rows::unlinked_key(prefix)),
        3 => {
            let names = ["own", "clean", "drain", "peers", "prefix", "absent", "late", "x"];
            (Space::Meta, rows::peer_key(names[usize::from(number) % names.len()]))
        }
        4 => {
            let id = tidings_core::node::database_id(&[7; 32], PATHS[usize::from(number % 4)]);
            (Space::Meta, rows::intern_key(id))
        }
        5 => (Space::Data, rows::data_key(prefix, &rows::stored_key(own))),
        6 => {
            let dot = Dot { epoch: Epoch(wire::take(rest).ok()?), sequence: number.into() };
            (Space::Log, rows::log_key(prefix, dot))
        }
        7 => (Space::Meta, rows::intern_key(DatabaseId(wire::take(rest).ok()?))),
        8 => (Space::Data, rows::data_key(prefix, &short(rest)?)),
        _ => {
            let key = short(rest).filter(|key| !key.is_empty())?;
            (Space::ALL[usize::from(number) % Space::ALL.len()], key)
        }
    };
    let value = if kind >= 128 { None } else { Some(short(rest)?) };
    Some((space, key, value))
}

/// Bytes behind their length.
fn short(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length: u16 = wire::take(rest).ok()?;
    let (own, others) = rest.split_at(rest.len().min(usize::from(length)));
    *rest = others;
    Some(own.to_vec())
}
