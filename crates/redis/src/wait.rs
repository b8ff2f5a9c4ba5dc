//! `WAIT`: how many other holders have everything that this one has.
//!
//! Redis counts replicas that have what the connection wrote. Here it is all of the database that the
//! answering holder has, so what the connection wrote is among it. It is asked again and again: that a
//! holder acknowledged is not told by itself.

use std::time::Duration;

use tidings::status::{DatabaseStatus, HolderState};
use tokio::time::Instant;

use crate::number;
use crate::parser::Arguments;
use crate::refusal::{Answer, NOT_AN_INTEGER, Refusal};
use crate::reply::Output;
use crate::session::Session;

/// Pause between two looks: a few round trips of a local network.
const LOOK: Duration = Duration::from_millis(5);
/// Longest wait, also where the command names none: a client that is gone shall not be waited for
/// for ever.
const LONGEST: Duration = Duration::from_mins(10);

/// `WAIT replicas milliseconds`.
pub(crate) async fn wait(
    session: &mut Session,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let wanted = number::parse(arguments.at(1)).ok_or(NOT_AN_INTEGER)?;
    let timeout = number::parse(arguments.at(2))
        .ok_or(Refusal::new("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| Refusal::new("ERR timeout is negative"))?;
    let timeout = match Duration::from_millis(timeout) {
        Duration::ZERO => LONGEST,
        timeout => timeout.min(LONGEST),
    };
    let deadline = Instant::now() + timeout;
    let database = session.database().await?;
    loop {
        let count = up_to_date(&database.status().await?);
        if count >= wanted || Instant::now() >= deadline {
            out.integer(count);
            return Ok(());
        }
        tokio::time::sleep(LOOK.min(timeout)).await;
    }
}

/// Active holders beside the answering one that acknowledged all that it has.
fn up_to_date(status: &DatabaseStatus) -> i64 {
    let others = status.holders.iter().filter(|holder| holder.peer != status.peer);
    let current = others.filter(|holder| {
        holder.state == HolderState::Active && holder.live && holder.behind == Some(0)
    });
    current.count() as i64
}
