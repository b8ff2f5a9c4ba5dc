//! `tidings delete PATH KEY`

use std::ffi::OsString;

use clap::Args;
use tidings_gateway::client::Write;

use super::{Context, WriteArguments, bytes_of};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Deletes a key.
///
/// Prints the version of the delete. Deleting what is absent is fine.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// The key is given in base64.
    #[arg(long)]
    base64: bool,
    /// Only if the value has this version, at the holder that accepts the delete.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
    #[command(flatten)]
    write: WriteArguments,
}

impl Delete {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let write = Write { if_version: self.if_version, ..self.write.write(None) };
        let written = context.client()?.delete(&self.path, &key, &write).await?;
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &written)?,
            Format::Table | Format::Raw => say!("{}", written.version),
        }
        Ok(())
    }
}
