//! `INCR`, `DECR`, `INCRBY`, `DECRBY`: counters, which are not offered yet.
//!
//! A counter that is read, added to and written back would lose what two peers count at the same time.
//! Once the library has counters that add up, they are answered here.

use crate::parser::Arguments;
use crate::refusal::{Answer, NOT_AN_INTEGER, Refusal};
use crate::reply::Output;
use crate::session::Session;
use crate::{command::Command, number};

/// Adds to the number under a key.
///
/// # Errors
/// Always, for now.
pub(crate) fn add(
    _session: &mut Session,
    command: Command,
    arguments: Arguments<'_>,
    _out: &mut Output,
) -> Answer {
    if matches!(command, Command::IncrBy | Command::DecrBy)
        && number::parse(arguments.at(2)).is_none()
    {
        return Err(NOT_AN_INTEGER);
    }
    Err(Refusal::new(
        "ERR counters are not offered yet: a number that is read and written back loses what other peers count meanwhile",
    ))
}
