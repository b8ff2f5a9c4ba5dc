//! `tidings man [--dir DIR]`

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_mangen::Man as Page;

use crate::exit::Failure;
use crate::{Arguments, output};

/// Prints the manual page, or writes one page for each command.
///
/// To read it: `tidings man | man -l -`. To install all of them:
/// `tidings man --dir /usr/local/share/man/man1`.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write a page for each command into this directory, which must be there.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let command = Arguments::command();
        if let Some(directory) = self.dir {
            return clap_mangen::generate_to(command, &directory)
                .map_err(|error| Failure::file("directory", &directory, &error));
        }
        let mut page = Vec::new();
        Page::new(command).render(&mut page)?;
        let mut out = output::stdout();
        out.write_all(&page)?;
        out.flush()?;
        Ok(())
    }
}
