//! `tidings completions SHELL`

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::exit::Failure;
use crate::{Arguments, output};

/// Prints what a shell needs to complete commands and flags.
///
/// For bash: `tidings completions bash >/etc/bash_completion.d/tidings`. For zsh, into a file `_tidings` in
/// a directory of `fpath`; for fish, into `~/.config/fish/completions/tidings.fish`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "tidings", &mut script);
        let mut out = output::stdout();
        out.write_all(&script)?;
        out.flush()?;
        Ok(())
    }
}
