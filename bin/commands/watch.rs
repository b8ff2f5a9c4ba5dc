//! `tidings watch PATH [PREFIX]`

use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;
use tidings_gateway::json::Operation;

use super::{Context, Keyspace, bytes_of};
use crate::exit::{Code, Failure};
use crate::output::{self, Format, shown};

/// Prints changes as they happen.
///
/// Every winning change counts, whichever peer accepted it, until interrupted.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// The path of the database.
    path: String,
    /// Only keys that start with this.
    prefix: Option<OsString>,
    /// The prefix is given in base64.
    #[arg(long)]
    base64: bool,
    /// Go on after a token, which `-o json` prints with the last change of each write: nothing in between
    /// is missed.
    #[arg(long, value_name = "TOKEN")]
    after: Option<String>,
    /// Stop after this many changes.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    keyspace: Keyspace,
}

impl Watch {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format(Format::Table);
        let prefix =
            self.prefix.as_ref().map(|prefix| bytes_of(prefix, self.base64)).transpose()?;
        let client = context.client_in(self.keyspace)?;
        let prefix = prefix.unwrap_or_default();
        let mut changes = client.watch(&self.path, &prefix, self.after.as_deref()).await?;
        let mut token = changes.token().to_owned();
        // A script that waits for this line knows that no later change is missed.
        eprintln!("watching {}", self.path);
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut out = output::stdout();
        while left > 0 {
            let Some(change) = changes.next().await? else {
                return Err(Failure::new(Code::Unreachable, "the peer closed the watch"));
            };
            let moved = Some(changes.token()).filter(|now| *now != token);
            print(&mut out, format, &change, moved)?;
            changes.token().clone_into(&mut token);
            out.flush()?;
            left -= 1;
        }
        Ok(())
    }
}

/// A change, and the token after it.
#[derive(serde::Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    change: &'a Operation,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

fn print(
    out: &mut impl std::io::Write,
    format: Format,
    change: &Operation,
    token: Option<&str>,
) -> std::io::Result<()> {
    match (format, change) {
        (Format::Json | Format::Jsonl, change) => output::line(out, &Told { change, token }),
        (Format::Table, Operation::Put(row)) => {
            let value = row.value.as_deref().unwrap_or_default();
            writeln!(out, "put     {}\t{}", shown(&row.key), shown(value))
        }
        (Format::Table, Operation::Delete(row)) => writeln!(out, "delete  {}", shown(&row.key)),
        (Format::Raw, Operation::Put(row) | Operation::Delete(row)) => {
            output::row(out, Format::Raw, row)
        }
    }
}
