//! `tidings get PATH KEY`

use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;

use super::{Context, bytes_of};
use crate::exit::{Code, Failure};
use crate::output::{self, Format, say};

/// Prints the value of a key.
///
/// The bytes come as they are, with a line end after them only on a terminal.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// The key is given in base64.
    #[arg(long)]
    base64: bool,
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let Some(row) = context.client()?.get(&self.path, &key).await? else {
            return Err(Failure::new(
                Code::NotFound,
                format!("the key {:?} is not in the database {:?}", output::shown(&key), self.path),
            ));
        };
        let value = row.value.as_deref().unwrap_or_default();
        match context.format(Format::Raw) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &row)?,
            Format::Table => say!("{}", output::shown(value)),
            Format::Raw => {
                let mut out = output::stdout();
                out.write_all(value)?;
                if output::on_terminal() {
                    out.write_all(b"\n")?;
                }
                out.flush()?;
            }
        }
        Ok(())
    }
}
