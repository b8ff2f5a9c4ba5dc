//! `tidings list PATH [PREFIX]`

use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use tidings_gateway::client;

use super::{Context, Keyspace, Matching, bytes_of};
use crate::exit::Failure;
use crate::output::{self, Format};

/// Lists keys.
///
/// They ascend by bytes, and all are listed unless `--limit` says less.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// The path of the database.
    path: String,
    /// Only keys that start with this.
    prefix: Option<OsString>,
    /// The prefix is given in base64.
    #[arg(long)]
    base64: bool,
    /// With values.
    #[arg(long)]
    values: bool,
    /// Descending.
    #[arg(long)]
    reverse: bool,
    /// At most this many, at least 1.
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: Option<usize>,
    /// Go on where an earlier list with `--limit` stopped.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    matching: Matching,
    #[command(flatten)]
    keyspace: Keyspace,
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format(Format::Table);
        let client = context.client_in(self.keyspace)?;
        let prefix =
            self.prefix.as_ref().map(|prefix| bytes_of(prefix, self.base64)).transpose()?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut ask = client::List {
            prefix: prefix.unwrap_or_default(),
            limit: 0,
            cursor: self.cursor,
            reverse: self.reverse,
            values: self.values,
            filter: self.matching.filter(),
            budget: 0,
        };
        let mut all = Vec::new();
        let mut out = output::stdout();
        loop {
            // 0 asks for as many as a page may have.
            ask.limit = if left == usize::MAX { 0 } else { left };
            let page = client.list(&self.path, &ask).await?;
            left = left.saturating_sub(page.entries.len());
            for row in page.entries {
                if format == Format::Json {
                    all.push(row);
                } else {
                    output::row(&mut out, format, &row)?;
                }
            }
            ask.cursor = page.cursor;
            if ask.cursor.is_none() || left == 0 {
                break;
            }
        }
        if format == Format::Json {
            let truncated = ask.cursor.is_some();
            let page =
                tidings_gateway::json::RowPage { entries: all, truncated, cursor: ask.cursor };
            output::document(format, &page)?;
            return Ok(());
        }
        out.flush()?;
        if let Some(cursor) = ask.cursor {
            let follow = if ask.filter.is_some() { "may follow" } else { "follow" };
            eprintln!("more keys {follow}; go on with --cursor {cursor}");
        }
        Ok(())
    }
}
