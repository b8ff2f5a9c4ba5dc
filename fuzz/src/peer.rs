//! Frames and probes of remote peers, fed to a node that holds something, among calls of its users,
//! passing time, lost connections and restarts.
//!
//! The first byte says what the others are: a stream of frames as the network reads it, or a script.
//! A script is one step after the other, each begun by a byte that says what and who; messages stand in
//! it in their own form without a length, so that what is changed in the middle leaves the rest as it is.
//!
//! What must be true: nothing panics, the node goes on serving, what it sends is well-formed and within
//! the bounds of the network, what it stores fits together, and it starts again on what it stored.

use tidings::net::fuzzing;
use tidings_core::definition::Definition;
use tidings_core::message::{Message, Operation, Write};
use tidings_core::name::Path;
use tidings_core::node::Input;
use tidings_core::record::Payload;
use tidings_core::wire;

use super::harness::{Harness, KEYS, OTHERS, PATHS, frame, messages, write};

/// Most steps of one script.
const STEPS_MAX: usize = 400;
/// Milliseconds that pass at the end, and the timers that may fire in them: more than a probe of the
/// membership, a summary, a pull that is overdue and a look at the placement take.
const END_MILLIS: u64 = 8_000;
const END_TIMERS: usize = 60;

/// What a step of a script begins with.
pub mod step {
    /// A message, in a frame of its own.
    pub const MESSAGE: u8 = 0;
    /// Several messages in one frame.
    pub const MESSAGES: u8 = 1;
    /// A frame of any bytes.
    pub const FRAME: u8 = 2;
    /// A probe of any bytes.
    pub const PROBE: u8 = 3;
    /// Time passes, in steps of 16 ms.
    pub const TIME: u8 = 4;
    /// A connection.
    pub const CONNECT: u8 = 5;
    /// The end of one.
    pub const DISCONNECT: u8 = 6;
    /// The store was synced.
    pub const SYNCED: u8 = 7;
    /// A user writes.
    pub const WRITE: u8 = 8;
    /// A user asks something else.
    pub const CALL: u8 = 9;
    /// The process ends and starts again.
    pub const RESTART: u8 = 10;
    /// How many there are.
    pub const COUNT: u8 = 11;
    /// Added for the other one of those who talk to the peer.
    pub const OTHER: u8 = 0x80;
}

/// Takes any bytes.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let mut harness = Harness::prepared();
    if kind % 4 == 0 {
        stream(&mut harness, rest, usize::from(kind / 4) + 1);
    } else {
        script(&mut harness, rest);
    }
    for peer in OTHERS {
        harness.feed(Input::Disconnected(peer));
    }
    harness.pass(END_MILLIS, END_TIMERS);
    harness.check();
    harness.restart(kind % 2 == 1).expect("it starts again on what it stored");
}

/// Bytes as they come off the network.
fn stream(harness: &mut Harness, bytes: &[u8], piece: usize) {
    let peer = OTHERS[0];
    harness.feed(Input::Connected(peer));
    for probes in [false, true] {
        let (frames, ended) = fuzzing::frames(bytes, piece, probes);
        let whole = fuzzing::frames(bytes, bytes.len(), probes);
        assert_eq!((&frames, ended), (&whole.0, whole.1), "in pieces of {piece}");
        let frames: Vec<Vec<u8>> = frames.into_iter().flatten().collect();
        if let Some(first) = frames.first() {
            let _ = fuzzing::greeting(first);
        }
        if probes {
            for packet in frames {
                harness.feed(Input::Probe(peer, packet));
            }
        } else {
            harness.feed(Input::Frames(peer, frames));
        }
    }
}

/// Takes a script step by step.
fn script(harness: &mut Harness, mut rest: &[u8]) {
    for _ in 0..STEPS_MAX {
        let done = take_step(harness, &mut rest);
        assert!(harness.node.failure().is_none(), "{:?}", harness.node.failure());
        if done.is_none() {
            break;
        }
    }
}

/// Takes one step; `None`: there is none, or it is not all there.
///
/// # Panics
/// When something is wrong.
pub fn take_step(harness: &mut Harness, rest: &mut &[u8]) -> Option<()> {
    let first = byte(rest)?;
    let peer = OTHERS[usize::from(first & step::OTHER != 0)];
    match (first & !step::OTHER) % step::COUNT {
        step::MESSAGE => {
            let message = message(rest)?;
            harness.feed(Input::Frames(peer, vec![frame(&[message])]));
        }
        step::MESSAGES => {
            let count = byte(rest)? % 8;
            let several: Vec<Message> = (0..count).map_while(|_| message(rest)).collect();
            harness.feed(Input::Frames(peer, vec![frame(&several)]));
        }
        step::FRAME => harness.feed(Input::Frames(peer, vec![bytes(rest)?])),
        step::PROBE => harness.feed(Input::Probe(peer, bytes(rest)?)),
        step::TIME => harness.pass(u64::from(byte(rest)?) * 16, END_TIMERS),
        step::CONNECT => harness.feed(Input::Connected(peer)),
        step::DISCONNECT => harness.feed(Input::Disconnected(peer)),
        step::SYNCED => harness.feed(Input::Synced(harness.ticket)),
        step::WRITE => user_writes(harness, rest)?,
        step::CALL => call(harness, rest)?,
        _ => harness.restart(first & step::OTHER != 0).expect("it starts again"),
    }
    Some(())
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(*first)
}

/// Bytes behind their length.
fn bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length: u16 = wire::take(rest).ok()?;
    let (own, others) = rest.split_at(rest.len().min(usize::from(length)));
    *rest = others;
    Some(own.to_vec())
}

/// A message in its own form, which is found again in what it is encoded to.
fn message(rest: &mut &[u8]) -> Option<Message> {
    let message: Message = wire::take(rest).ok()?;
    let one = std::slice::from_ref(&message);
    assert_eq!(messages(&frame(one)), one);
    Some(message)
}

fn user_writes(harness: &mut Harness, rest: &mut &[u8]) -> Option<()> {
    let what = byte(rest)?;
    let path = PATHS[usize::from(what & 3)];
    let key = KEYS[usize::from(what >> 2 & 3)];
    let payload = match what >> 4 {
        0 => Payload::Tombstone,
        1 => Payload::Value(vec![7; 40_000], None),
        length => Payload::Value(vec![length; usize::from(length)], None),
    };
    harness.write(path, vec![write(key, payload)]);
    Some(())
}

/// Everything else that a user does.
fn call(harness: &mut Harness, rest: &mut &[u8]) -> Option<()> {
    let what = byte(rest)?;
    let path = Path::new(PATHS[usize::from(what & 3)]).expect("a path");
    let (node, now) = (&mut harness.node, harness.now);
    let id = node.database_id(path.as_str());
    match what >> 2 & 15 {
        0 => drop(node.open(&path)),
        1 => drop(node.place_for_use(&path, now)),
        2 => drop(node.database_status(&path, now)),
        3 => drop(node.drop_database(&path, now)),
        4 => drop(node.sync(&path, 500, now)),
        5 => drop(node.watch(id)),
        6 => node.unwatch(id),
        7 => drop(node.drain(what & 1 == 1, now)),
        8 => drop(node.remove_definition(["notes", "log"][usize::from(what & 1)], now)),
        9 => {
            let wide = Definition::new("notes", "notes/**", 1, u32::from(what & 3) + 1);
            drop(node.apply(&[wide], now));
        }
        10 => node.scrub_everything(now),
        11 => {
            drop((node.databases(None, 10), node.definitions(), node.peers(), node.status("1")));
        }
        12 => node.handle(Input::Addresses(vec![format!("/ip4/192.0.2.1/tcp/{what}")]), now),
        13 => {
            let several: Vec<Write> =
                KEYS.iter().map(|key| write(key, Payload::Value(vec![what], None))).collect();
            harness.write(path.as_str(), several);
        }
        _ => {
            let operation: Operation = wire::take(rest).ok()?;
            node.request(&path, operation, 500, now);
        }
    }
    harness.drain();
    Some(())
}
