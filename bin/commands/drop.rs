//! `tidings drop`

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Args;

use super::Context;
use crate::exit::Failure;

/// Drops a database: all of it, on every peer, for good.
///
/// Peers that are away remove their copies when they are back. What they accept before they hear of
/// it is dropped with the rest. The next write begins the database anew; its definition stays. There is no
/// way back: `tidings export` first, if in doubt. Exits with 1 if there is no such database.
#[derive(Args, Debug)]
pub(crate) struct Drop {
    /// The database.
    path: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Drop {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { path, yes } = self;
        if !yes && !agrees(&path)? {
            return Err(Failure::refused("nothing was dropped"));
        }
        context.client()?.drop_database(&path).await?;
        eprintln!("dropped {path:?}");
        Ok(())
    }
}

fn agrees(path: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{path:?} would be dropped for good, and nobody is there to ask; say --yes to drop it"
        )));
    }
    eprint!("drop {path:?} and everything in it, on every peer, for good? [y/N] ");
    io::stderr().flush().map_err(|error| Failure::usage(format!("cannot ask: {error}")))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::usage(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
