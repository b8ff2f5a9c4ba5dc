//! `tidings get PATH KEY`

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use tidings_core::stamp::Version;
use tidings_gateway::client::Since;
use tidings_gateway::{duration, moment};

use super::{Context, Keyspace, absent, bytes_of, version};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Prints the value of a key.
///
/// The bytes come as they are, with a line end after them only on a terminal. `-o json` has its version
/// and its expiry as well.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// The key is given in base64.
    #[arg(long)]
    base64: bool,
    /// Print when the entry expires instead of its value, or `never`.
    #[arg(long)]
    expires: bool,
    /// Wait until the copy that is read reflects the write with this version, which a put printed.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    min_version: Option<Version>,
    /// How long to wait for it, such as 10s; 5s unless given.
    #[arg(long, value_name = "DURATION", requires = "min_version", value_parser = duration::parse)]
    timeout: Option<Duration>,
    #[command(flatten)]
    keyspace: Keyspace,
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let since = Since { min_version: self.min_version, timeout: self.timeout };
        let client = context.client_in(self.keyspace)?;
        let Some(row) = client.get(&self.path, &key, &since).await? else {
            return Err(absent(&self.path, &key));
        };
        if self.expires && matches!(context.format(Format::Raw), Format::Raw | Format::Table) {
            say!("{}", row.expires.map_or_else(|| "never".into(), moment::format));
            return Ok(());
        }
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
