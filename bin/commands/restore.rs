//! `tidings restore FILE --data DIR`

use std::path::PathBuf;

use clap::Args;
use tidings::backup::{RestoreOptions, restore, verify};

use super::Context;
use super::backup::{Told, bar_of};
use crate::exit::Failure;
use crate::output::Format;

/// Makes a data directory of a backup, for a peer that is not running.
///
/// The directory is a new or an empty one. The peer that `tidings serve` then runs on it is another one than
/// the one that was backed up, which may go on beside it; it needs the same secret. It joins the others with
/// what the backup has, gets what was written since, and gives what they lack. Where no complete copy of a
/// database is alive, it serves what it has: at once where no other peer is known, else after 30 s.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// A file that `tidings backup` wrote.
    file: PathBuf,
    /// The data directory, which is not there yet or empty.
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA", required_unless_present = "check")]
    data: Option<PathBuf>,
    /// Leave out where the other peers were, to look at the backup by itself: `tidings serve --no-mdns` then
    /// finds nobody, and serves what the backup has.
    #[arg(long, conflicts_with = "check")]
    alone: bool,
    /// Only read the backup to its end, to see whether it is whole.
    #[arg(long)]
    check: bool,
}

impl Restore {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let Self { file, data, alone, check } = self;
        let options = RestoreOptions { alone };
        let data = data.filter(|_| !check);
        let bar = bar_of(if data.is_some() { "restored" } else { "checked" });
        let (of_file, of_data, shown) = (file.clone(), data.clone(), bar.clone());
        let work = tokio::task::spawn_blocking(move || {
            let progress = |read, of| {
                shown.set_length(of);
                shown.set_position(read);
            };
            match of_data {
                Some(data) => restore(&of_file, &data, &options, progress),
                None => verify(&of_file, progress),
            }
        });
        let report = work.await;
        bar.finish_and_clear();
        let report =
            report.map_err(|error| Failure::internal(format!("reading a backup: {error}")))??;
        Told::new(&file, &report)
            .print(format, if data.is_some() { "restored" } else { "whole" })?;
        if let Some(data) = data.filter(|_| format == Format::Table) {
            eprintln!(
                "start a peer on it with the secret of its cluster: tidings serve --data {} --secret-file FILE",
                data.display()
            );
        }
        Ok(())
    }
}
