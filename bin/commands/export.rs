//! `tidings export PATH [FILE]`

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use tidings_gateway::client::{Rows, Scan};
use tidings_gateway::json::Row;

use super::{Context, Keyspace, Matching};
use crate::exit::Failure;
use crate::output;

/// Writes a keyspace of a database to a file of JSON lines.
///
/// A line is `{"key":"a","value":"1"}`, and where the entry expires `"expires":"2026-11-21T16:00:00.000Z"`
/// follows. Lines are sorted by the bytes of the key. Equal databases make equal files. A file is in place
/// only once it is whole.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The path of the database.
    path: String,
    /// The file; standard output if left out, or `-`.
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    matching: Matching,
    #[command(flatten)]
    keyspace: Keyspace,
}

impl Export {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client_in(self.keyspace.clone())?;
        let scan = Scan { filter: self.matching.clone().filter(), ..Scan::default() };
        // A status tells how many entries all keyspaces have together.
        let entries = if self.keyspace.is_named() || scan.filter.is_some() {
            None
        } else {
            client.database_status(&self.path).await.ok().map(|status| status.entries)
        };
        let rows = client.scan_with(&self.path, &scan).await?;
        let bar = output::bar(entries, "{bar:40} {pos} of {len}  {per_sec}  eta {eta}");
        let written = if self.file == Path::new("-") {
            write(rows, &mut output::stdout(), &bar, Failure::from).await
        } else {
            match std::fs::metadata(&self.file) {
                // A device or a pipe is written to, and not replaced.
                Ok(there) if !there.is_file() => self.to_special(rows, &bar).await,
                there => self.to_file(rows, there.ok(), &bar).await,
            }
        };
        bar.finish_and_clear();
        eprintln!("{} records", output::count(written?));
        Ok(())
    }

    async fn to_special(&self, rows: Rows, bar: &ProgressBar) -> Result<u64, Failure> {
        let failed = |error: io::Error| Failure::file("export", &self.file, &error);
        let file = File::options().write(true).open(&self.file).map_err(failed)?;
        write(rows, &mut BufWriter::new(file), bar, failed).await
    }

    /// Puts a file into place that is whole; `there`: of the one that it replaces, whose mode it gets.
    async fn to_file(
        &self,
        rows: Rows,
        there: Option<Metadata>,
        bar: &ProgressBar,
    ) -> Result<u64, Failure> {
        let failed = |error: io::Error| Failure::file("export", &self.file, &error);
        // A link goes on to lead to the file.
        let file = match &there {
            Some(_) => std::fs::canonicalize(&self.file).map_err(failed)?,
            None => self.file.clone(),
        };
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = file.with_file_name(name);
        let mut out = BufWriter::new(File::create(&partial).map_err(failed)?);
        let result = async {
            if let Some(there) = there {
                out.get_ref().set_permissions(there.permissions()).map_err(failed)?;
            }
            let written = write(rows, &mut out, bar, failed).await?;
            out.get_ref().sync_all().map_err(failed)?;
            std::fs::rename(&partial, &file).map_err(failed)?;
            Ok(written)
        };
        let result = result.await;
        if result.is_err() {
            // A leftover of a failed export would only be taken for one.
            let _ = std::fs::remove_file(&partial);
        }
        result
    }
}

async fn write(
    mut rows: Rows,
    out: &mut impl Write,
    bar: &ProgressBar,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<u64, Failure> {
    let mut written = 0;
    while let Some(row) = rows.next().await? {
        let row = Row { version: None, ..row };
        output::line(out, &row).map_err(&failed)?;
        written += 1;
        bar.inc(1);
    }
    out.flush().map_err(&failed)?;
    Ok(written)
}
