//! `tidings scan PATH [START [END]]`

use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;
use tidings_gateway::client;

use super::{Context, Keyspace, Matching, bytes_of};
use crate::exit::Failure;
use crate::output::{self, Format};

/// Prints every entry between two keys.
///
/// START is included, END is not; all entries are of one moment.
#[derive(Args, Debug)]
pub(crate) struct Scan {
    /// The path of the database.
    path: String,
    /// The first key.
    start: Option<OsString>,
    /// Where to stop, before this key.
    end: Option<OsString>,
    /// The keys are given in base64.
    #[arg(long)]
    base64: bool,
    #[command(flatten)]
    matching: Matching,
    #[command(flatten)]
    keyspace: Keyspace,
}

impl Scan {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let bound = |key: &Option<OsString>| match key {
            Some(key) => bytes_of(key, self.base64),
            None => Ok(Vec::new()),
        };
        let (start, end) = (bound(&self.start)?, bound(&self.end)?);
        let scan = client::Scan { start, end, filter: self.matching.filter() };
        let format = context.format(Format::Table);
        let mut rows = context.client_in(self.keyspace)?.scan_with(&self.path, &scan).await?;
        let mut out = output::stdout();
        let mut separator = "[\n";
        while let Some(row) = rows.next().await? {
            if format == Format::Json {
                write!(out, "{separator}")?;
                serde_json::to_writer(&mut out, &row).map_err(std::io::Error::from)?;
                separator = ",\n";
            } else {
                output::row(&mut out, format, &row)?;
            }
        }
        if format == Format::Json {
            writeln!(out, "{}", if separator == "[\n" { "[]" } else { "\n]" })?;
        }
        out.flush()?;
        Ok(())
    }
}
