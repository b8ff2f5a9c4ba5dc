//! `INCR`, `DECR`, `INCRBY` and `DECRBY`: counters that add up, whoever counts at the same time.

use crate::command::Command;
use crate::number;
use crate::parser::Arguments;
use crate::refusal::{NOT_AN_INTEGER, Refusal};

/// What a command adds.
///
/// # Errors
/// When that is no number, or there is none that takes it away.
pub(crate) fn by(command: Command, arguments: Arguments<'_>) -> Result<i64, Refusal> {
    let number = || number::parse(arguments.at(2)).ok_or(NOT_AN_INTEGER);
    match command {
        Command::Incr => Ok(1),
        Command::Decr => Ok(-1),
        Command::IncrBy => number(),
        _ => number()?.checked_neg().ok_or(Refusal::new("ERR decrement would overflow")),
    }
}
