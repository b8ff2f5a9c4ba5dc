//! `tidings incr PATH KEY [N]`

use std::ffi::OsString;

use clap::Args;
use tidings_core::stamp::Version;
use tidings_gateway::client::Write;

use super::{Context, Keyspace, WriteArguments, bytes_of, version};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Adds to a counter.
///
/// Prints what it says then, at the holder that accepted the increment. What is absent counts from 0, and
/// a value that is a whole number in decimal digits from that number. Increments at several peers at the
/// same time all count.
#[derive(Args, Debug)]
pub(crate) struct Incr {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// How much is added; below zero takes from the counter.
    #[arg(value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    by: i64,
    /// The key is given in base64.
    #[arg(long)]
    base64: bool,
    /// Only if the value has this version, at the holder that accepts the increment.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    if_version: Option<Version>,
    #[command(flatten)]
    keyspace: Keyspace,
    #[command(flatten)]
    write: WriteArguments,
}

impl Incr {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let write = Write { if_version: self.if_version, ..self.write.write(None) };
        let client = context.client_in(self.keyspace)?;
        let counted = client.incr(&self.path, &key, self.by, &write).await?;
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &counted)?,
            Format::Table | Format::Raw => say!("{}", counted.value),
        }
        Ok(())
    }
}
